/**
 * `kvfold bench`: time and memory of policies next to the full cache.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../../cache/error.ts";
import { type Speed, type SpeedOptions, speeds, TURNS } from "../../eval/speeds.ts";
import type { Model } from "../../model/model.ts";
import type { Policy } from "../../policy/types.ts";
import type { Command } from "../command.ts";
import { type Document, fetchAddress, recallDocument } from "../documents.ts";
import { readText } from "../files.ts";
import type { Io } from "../io.ts";
import { INDUCTION } from "../catalogue.ts";
import { RUNNING, withModel } from "../models.ts";
import { all, type Given, MANY, required, whole, wholes } from "../options.ts";
import { CHUNK, chunkOf, CODEC, dtypeOf, MODEL, POLICIES, policiesOf } from "../shared.ts";
import { grouped, megabytes, table } from "../table.ts";

/** What is asked for. */
interface Job {
  readonly policies: ReadonlyArray<Policy>;
  readonly lengths: ReadonlyArray<number>;
  readonly options: SpeedOptions;
}

/** The command. */
export const bench: Command = {
  name: "bench",
  summary: "times prefill and decode under policies, next to the full cache, and watches the memory they take",
  about:
    `Each policy reads the first tokens of a text; then all decode in turn, ${TURNS.steps} tokens at a time, so that a busy moment of the machine meets ` +
    "all of them. A text that is too short is read again from its beginning.",
  options: [
    MODEL,
    { name: "document", kind: "text", value: "FILE", about: "a text file (the State of the Union address of kvfold start)" },
    { name: "tokens", kind: "text", value: "N,N", about: "lengths of the prompt (2048)" },
    { name: "turns", kind: "text", value: "N", about: `turns of decoding, of which the median counts (${TURNS.turns})` },
    { ...POLICIES, about: `${POLICIES.about}; the full cache comes first anyway` },
    CODEC,
    CHUNK,
    ...RUNNING,
  ],
  examples: [{
    line: "bench --model SmolLM2-135M-Instruct --tokens 512,4096 --policy 'snapkv(25%)' --policy 'kivi(4)'",
    does: "tokens per second and megabytes at two lengths",
  }],
  run: (given, io) => async () => {
    const job = jobOf(given, io);
    if (E.isLeft(job)) return job;
    const model = required(given, "model", MODEL.about);
    if (E.isLeft(model)) return model;
    const document = await documentOf(given, io, model.right)();
    if (E.isLeft(document)) return document;
    const found = await withModel(given, io, model.right, (open, name) =>
      pipe(
        TE.fromEither(open.tokenizer()),
        TE.chain((tokenizer) => measure(open, job.right, tokenizer.encode(document.right.text))),
        TE.map((runs) => ({ model: name, backend: open.backend.name, runs })),
      ))();
    if (E.isLeft(found)) return found;
    io.clear();
    io.out(given.flag("json") ? `${JSON.stringify(found.right)}\n` : page(found.right, document.right.title));
    return E.right(undefined);
  },
};

const jobOf = (given: Given, io: Io): E.Either<KvError, Job> =>
  pipe(
    all({
      policies: policiesOf(given, []),
      lengths: wholes("--tokens", given.text("tokens") ?? "2048", { from: 1, to: MANY }),
      turns: whole(given, "turns", { from: 1, to: 1000 }, TURNS.turns),
      codec: dtypeOf(given, "f16"),
      chunk: chunkOf(given),
    }),
    E.map(({ policies, lengths, ...rest }): Job => ({
      policies,
      lengths,
      options: { ...rest, steps: TURNS.steps, progress: io.progress },
    })),
  );

const documentOf = (given: Given, io: Io, model: string): TE.TaskEither<KvError, Pick<Document, "title" | "text">> => {
  const path = given.text("document");
  if (path !== null) return TE.map((text: string) => ({ title: path, text }))(readText("--document", path));
  return model === INDUCTION ? TE.right(recallDocument()) : fetchAddress(io);
};

/** Length by length; the text goes on from its beginning where it ends. */
const measure = (
  model: Model,
  { policies, lengths, options }: Job,
  ids: ReadonlyArray<number>,
): TE.TaskEither<KvError, ReadonlyArray<Speed>> =>
  ids.length === 0
    ? TE.left({ _tag: "InvalidArgument", argument: "--document", value: "an empty text", allowed: "a text of at least one token" })
    : pipe(
      lengths,
      TE.traverseSeqArray((length) => speeds(model, policies, options)(Array.from({ length }, (_, i) => ids[i % ids.length] ?? 0))),
      TE.map((found) => found.flat()),
    );

/** What is printed. */
interface Found {
  readonly model: string;
  readonly backend: string;
  readonly runs: ReadonlyArray<Speed>;
}

const COLUMNS = [
  { title: "tokens", align: "right" },
  { title: "policy", align: "left" },
  { title: "rows kept", align: "right" },
  { title: "MB", align: "right" },
  { title: "peak MB", align: "right" },
  { title: "of full", align: "right" },
  { title: "prefill tok/s", align: "right" },
  { title: "decode tok/s", align: "right" },
  { title: "of full", align: "right" },
  { title: "rows read", align: "right" },
] as const;

function page({ model, backend, runs }: Found, title: string): string {
  const rows = runs.map((run) => {
    const full = runs.find(({ tokens }) => tokens === run.tokens);
    const [ratio, least, most] = run.decodeRatio;
    return [
      grouped(run.tokens),
      run.policy,
      grouped(run.rowsKept),
      megabytes(run.bytes),
      megabytes(run.bytesPeak),
      `${(run.bytesPeak / (full?.bytesPeak ?? NaN)).toFixed(2)}x`,
      run.prefillTokensPerSecond.toFixed(0),
      run.decodeTokensPerSecond.toFixed(1),
      `${ratio.toFixed(2)}x (${least.toFixed(2)} to ${most.toFixed(2)})`,
      grouped(run.rowsRead),
    ];
  });
  return `${model} on ${backend}: ${title}\n\n${table(COLUMNS, rows)}\n` +
    "Peak: most bytes of rows, and of what they are computed with, while the prompt was read. Decode: the median turn; next to the full cache in " +
    "the same turn, the median and the extremes. Rows read: by the queries of one decoded token, over all layers and heads.\n";
}
