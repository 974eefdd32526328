/**
 * `kvfold compare`: the full cache against policies on a model and a text of yours.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import { compare as compareOf, type Comparison } from "../../eval/compare.ts";
import { taskOf } from "../../eval/task.ts";
import type { Policy } from "../../policy/types.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { RUNNING, withModel } from "../models.ts";
import { all, type Given, MANY, required, whole } from "../options.ts";
import type { Model } from "../../model/model.ts";
import { kvzap } from "../../papers/mod.ts";
import { readText } from "../files.ts";
import { report } from "../report.ts";
import { CHUNK, chunkOf, CODEC, dtypeOf, MODEL, POLICIES, policiesOf } from "../shared.ts";

/** The command. */
export const compare: Command = {
  name: "compare",
  summary: "runs a text with the full cache and with policies, and shows what each keeps and costs",
  about:
    "The document is read into the cache and compressed without knowing what comes next. Then the 128 tokens that follow it are decoded one by one, " +
    "and the question is answered.",
  options: [
    MODEL,
    { name: "document", kind: "text", value: "FILE", about: "a text file" },
    { name: "question", kind: "text", value: "TEXT", about: "asked about the document; without it the document is continued" },
    { name: "tokens", kind: "text", value: "N", about: "most tokens of the document that are cached (all)" },
    { name: "max-new-tokens", kind: "text", value: "N", about: "longest answer (48)" },
    { ...POLICIES, about: `${POLICIES.about}; without any, kvzap where the model has its network` },
    CODEC,
    CHUNK,
    ...RUNNING,
  ],
  examples: [{
    line:
      "compare --model SmolLM2-135M-Instruct --document README.md --question 'What is a row?' --policy 'snapkv(25%)' --policy 'tova(256)'",
    does: "the whole cache against a quarter of it chosen by SnapKV, and 256 rows per head chosen by TOVA",
  }],
  run: (given, io) => async () => {
    const options = all({
      model: required(given, "model", MODEL.about),
      document: required(given, "document", "a text file"),
      policies: policiesOf(given, []),
    });
    if (E.isLeft(options)) return options;
    const { model, document, policies } = options.right;
    const text = await readText("--document", document)();
    if (E.isLeft(text)) return text;
    const asked = { document: text.right, question: given.text("question") };
    const result = await comparison(given, io, { model, policies, ...asked });
    if (E.isLeft(result)) return result;
    io.clear();
    io.out(given.flag("json") ? `${JSON.stringify(result.right)}\n` : report(result.right, { title: document, question: asked.question }));
    return E.right(undefined);
  },
};

/** What is compared. */
export interface Job {
  readonly model: string;
  readonly policies: ReadonlyArray<Policy>;
  readonly document: string;
  readonly question: string | null;
  /** Where the options do not say. */
  readonly tokens?: number;
  readonly maxNewTokens?: number;
}

/** Where nobody names a policy: KVzap, if the model has its network. */
const defaultsFor = ({ learned }: Model): ReadonlyArray<Policy> => learned["kvzap-mlp"] === undefined ? [] : [kvzap()];

/** Opens what the options ask for and compares. */
export async function comparison(given: Given, io: Io, job: Job): Promise<E.Either<KvError, Comparison>> {
  const options = all({
    tokens: whole(given, "tokens", { from: 1, to: MANY }, job.tokens ?? MANY),
    maxNewTokens: whole(given, "max-new-tokens", { from: 1, to: MANY }, job.maxNewTokens ?? 48),
    codec: dtypeOf(given, "f16"),
    chunk: chunkOf(given),
  });
  if (E.isLeft(options)) return options;
  const { tokens, ...rest } = options.right;
  return await withModel(given, io, job.model, (model, name) => async () => {
    const tokenizer = model.tokenizer();
    if (E.isLeft(tokenizer)) return tokenizer;
    const task = taskOf(tokenizer.right, { document: job.document, question: job.question, tokens });
    if (E.isLeft(task)) return task;
    const policies = job.policies.length > 0 ? job.policies : defaultsFor(model);
    return await compareOf(model, policies, { name, ...rest, progress: io.progress })(task.right)();
  })();
}
