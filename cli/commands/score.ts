/**
 * `kvfold score`: one number per token and KV head, for comparison with other implementations.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../../cache/error.ts";
import { chatParts } from "../../model/chat_parts.ts";
import type { Model } from "../../model/model.ts";
import { reconstruct, type RowScores } from "../../model/reconstruct.ts";
import type { Scoring } from "../../model/reconstruct_plan.ts";
import { type TensorToWrite, writeSafetensors } from "../../model/safetensors.ts";
import { disposeSession, observePrompt, type Session } from "../../model/session.ts";
import { keepAll, parsePolicy } from "../../papers/mod.ts";
import { read } from "../../run/mod.ts";
import type { Command } from "../command.ts";
import { readText, writeWhole } from "../files.ts";
import { RUNNING, withModel } from "../models.ts";
import { all, oneOf, required } from "../options.ts";
import { MODEL } from "../shared.ts";

const SCORERS = ["kvzip", "kvzip+", "kvzip-training", "kvzip+-training", "kvzap-linear", "kvzap-mlp"] as const;
type Scorer = (typeof SCORERS)[number];

/** The command. */
export const score: Command = {
  name: "score",
  summary: "writes the scores of a text's rows to a safetensors file",
  about: "Reads the text as a user's message with the full cache and writes tensors layer.{l} of shape [kvHeads, tokens of the text]. " +
    "kvzip and kvzip+ have the denominators of a pruned run, the -training ones those that surrogates learn; kvzap-* give logarithms.",
  options: [
    MODEL,
    { name: "text", kind: "text", value: "FILE", about: "a text file" },
    { name: "scorer", kind: "text", value: "NAME", about: SCORERS.join(", ") },
    { name: "out", kind: "text", value: "FILE", about: "where the scores go" },
    ...RUNNING,
  ],
  examples: [{
    line: "score --model SmolLM2-135M-Instruct --text page.txt --scorer kvzip+ --out page.safetensors",
    does: "writes the KVzip+ score of every row of page.txt",
  }],
  run: (given, io) => async () => {
    const options = all({
      model: required(given, "model", MODEL.about),
      text: required(given, "text", "a text file"),
      scorer: oneOf(given, "scorer", SCORERS, "kvzip+"),
      out: required(given, "out", "a file to write"),
    });
    if (E.isLeft(options)) return options;
    const { model: name, text: path, scorer, out } = options.right;
    const progress = (done: number, total: number): void => io.progress("scoring", done, total);
    const written = await pipe(
      readText("--text", path),
      TE.chain((text) => withModel(given, io, name, (model) => scoreText(model, scorer, text, progress))),
      TE.chain((bytes) => writeWhole(out, bytes)),
    )();
    if (E.isLeft(written)) return written;
    io.clear();
    io.out(given.flag("json") ? `${JSON.stringify({ out, scorer })}\n` : `${out}\n`);
    return E.right(undefined);
  },
};

/** The file's bytes. */
const scoreText = (
  model: Model,
  scorer: Scorer,
  text: string,
  progress: (done: number, total: number) => void,
): TE.TaskEither<KvError, Uint8Array> =>
  pipe(
    TE.fromEither(model.tokenizer()),
    TE.chain((tokenizer) => {
      const parts = chatParts(tokenizer);
      const prefix = parts.prefix.length;
      const tokens = [...parts.prefix, ...tokenizer.encode(text)];
      const scoring: Scoring = { plus: scorer.startsWith("kvzip+"), denominators: scorer.endsWith("-training") ? "training" : "inference" };
      const scores = scorer === "kvzap-linear" || scorer === "kvzap-mlp"
        ? learnedScores(model, scorer, tokens)
        : withSession(model, tokens, (session) => reconstruct(session, { ...scoring, parts, prefix, progress })(tokens));
      return pipe(
        scores,
        TE.chainEitherK((layers) =>
          writeSafetensors(
            layers.flatMap((s, l) => s === null ? [] : [withoutPrefix(s, l, tokens.length, prefix)]),
            new Map([["scorer", scorer]]),
          )
        ),
      );
    }),
  );

const withSession = (
  model: Model,
  tokens: ReadonlyArray<number>,
  use: (session: Session) => TE.TaskEither<KvError, RowScores>,
): TE.TaskEither<KvError, RowScores> =>
  pipe(
    observePrompt(model, keepAll)(tokens),
    TE.chain((session) => pipe(use(session), TE.chainFirst(() => TE.fromIOEither(disposeSession(session))))),
  );

/** The column that KVzap decides by, of a run that removes nothing. */
const learnedScores = (
  model: Model,
  scorer: "kvzap-linear" | "kvzap-mlp",
  tokens: ReadonlyArray<number>,
): TE.TaskEither<KvError, RowScores> =>
  pipe(
    TE.fromEither(parsePolicy(`kvzap(-1e30, scorer=${scorer === "kvzap-mlp" ? "mlp" : "linear"}, prefill=dense)`)),
    TE.chain((policy) => observePrompt(model, policy)(tokens)),
    TE.chain((session) =>
      pipe(
        read(model.memory)(session.cache),
        TE.chainFirst(() => TE.fromIOEither(disposeSession(session))),
        TE.map(({ layers }) => layers.map((heads) => Float32Array.from(heads.flatMap((h) => [...h.columns["kvzap"] ?? []])))),
      )
    ),
  );

function withoutPrefix(scores: Float32Array, layer: number, rows: number, prefix: number): TensorToWrite {
  const heads = scores.length / rows;
  const numbers = new Float32Array(heads * (rows - prefix));
  for (let h = 0; h < heads; h++) numbers.set(scores.subarray(h * rows + prefix, (h + 1) * rows), h * (rows - prefix));
  return { name: `layer.${layer}`, type: "F32", shape: [heads, rows - prefix], numbers };
}
