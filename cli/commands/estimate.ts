/**
 * `kvfold estimate`: what a cache will hold, before any weight is loaded.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { ModelShape } from "../../cache/shape.ts";
import { uniformShape } from "../../cache/uniform.ts";
import { type Estimate, estimate as estimateOf } from "../../eval/estimate.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { all, type Given, invalid, MANY, type Option, required, whole, wholeOf } from "../options.ts";
import { readModel } from "../models.ts";
import { CHUNK, chunkOf, CODEC, dtypeOf, MODEL, POLICIES, policiesOf } from "../shared.ts";
import { grouped, megabytes, table } from "../table.ts";

/** The shape of a model that is described instead of read. */
const GEOMETRY: ReadonlyArray<Option> = [
  { name: "layers", kind: "text", value: "N", about: "instead of a model: its layers" },
  { name: "kv-heads", kind: "text", value: "N", about: "instead of a model: key-value heads per layer" },
  { name: "head-dim", kind: "text", value: "N", about: "instead of a model: channels per head" },
  { name: "query-heads", kind: "text", value: "N", about: "instead of a model: query heads per layer (as many as key-value heads)" },
  { name: "window", kind: "text", value: "N", about: "instead of a model: sliding window in tokens (none)" },
];

/** The command. */
export const estimate: Command = {
  name: "estimate",
  summary: "says how many bytes a cache will take, before anything is loaded",
  about:
    "Counts grouped heads, sliding windows, codecs and what policies keep, by the planner that a real run uses. The peak is what the cache holds " +
    "when it is largest during the prefill. Room that allocation leaves free is not counted.",
  options: [
    MODEL,
    ...GEOMETRY,
    { name: "tokens", kind: "text", value: "N", about: "length of the prompt" },
    POLICIES,
    CODEC,
    CHUNK,
  ],
  examples: [
    {
      line: "estimate --layers 32 --kv-heads 8 --head-dim 128 --tokens 131072 --policy 'snapkv(2048)'",
      does: "the cache of a model of the size of Llama 3.1 8B at its full context, whole and pruned",
    },
    { line: "estimate --model SmolLM2-135M-Instruct --tokens 8192 --policy 'streamingllm(1024)'", does: "the same for a model file" },
  ],
  run: (given, io) => async () => {
    const options = all({
      tokens: E.chain((text: string) => wholeOf("--tokens", text, { from: 1, to: MANY }))(
        required(given, "tokens", "the length of the prompt"),
      ),
      policies: policiesOf(given, []),
      dtype: dtypeOf(given, "f16"),
      chunk: chunkOf(given),
    });
    if (E.isLeft(options)) return options;
    const model = await shapeOf(given, io);
    if (E.isLeft(model)) return model;
    const { tokens, policies, dtype, chunk } = options.right;
    const whole = { _tag: "Policy", blocks: [], text: "keepall" } as const;
    const runs: Estimate[] = [];
    for (const policy of [whole, ...policies]) {
      const run = estimateOf(policy, { shape: model.right.shape, tokens, chunk, codec: { _tag: "Plain", dtype } });
      if (E.isLeft(run)) return run;
      runs.push(run.right);
    }
    io.out(given.flag("json") ? `${JSON.stringify({ model: model.right.name, tokens, runs })}\n` : report(model.right.name, tokens, runs));
    return E.right(undefined);
  },
};

/** What is estimated for: a model file's shape, or the one that the options describe. */
async function shapeOf(given: Given, io: Io): Promise<E.Either<KvError, { readonly name: string; readonly shape: ModelShape }>> {
  const described = GEOMETRY.filter(({ name }) => given.text(name) !== null);
  const model = given.text("model");
  if (model !== null) {
    if (described[0] !== undefined) {
      return invalid(`--${described[0].name}`, given.text(described[0].name) ?? "", "either --model or a described shape");
    }
    const file = await readModel(model, io)();
    return E.isLeft(file) ? file : E.right({ name: file.right.name, shape: file.right.file.spec.shape });
  }
  const size = (name: string, to: number): E.Either<KvError, number> =>
    E.chain((text: string) => wholeOf(`--${name}`, text, { from: 1, to }))(
      required(given, name, "a whole number, or --model in place of a shape"),
    );
  const parts = all({
    layers: size("layers", 4096),
    kvHeads: size("kv-heads", 65_536),
    headDim: size("head-dim", 65_536),
    queryHeads: whole(given, "query-heads", { from: 1, to: 65_536 }, null),
    window: whole(given, "window", { from: 1, to: MANY }, 0),
  });
  if (E.isLeft(parts)) return parts;
  const { layers, kvHeads, headDim, window } = parts.right;
  const queryHeads = parts.right.queryHeads ?? kvHeads;
  return queryHeads % kvHeads === 0
    ? E.right({ name: "described", shape: uniformShape({ layers, kvHeads, headDim, queryHeads, window, context: MANY }) })
    : invalid("--query-heads", String(queryHeads), `a multiple of the ${kvHeads} key-value heads`);
}

function report(name: string, tokens: number, runs: ReadonlyArray<Estimate>): string {
  const columns = [
    { title: "policy", align: "left" },
    { title: "rows kept", align: "right" },
    { title: "MB", align: "right" },
    { title: "of full", align: "right" },
    { title: "peak MB", align: "right" },
  ] as const;
  const rows = runs.map((run) => [
    run.policy,
    `${run.atMost ? "≤ " : ""}${grouped(run.rowsKept)}`,
    megabytes(run.bytes),
    `${(100 * run.bytes / run.bytesFull).toFixed(1)} %`,
    megabytes(run.peakBytes),
  ]);
  return `model ${name}, ${grouped(tokens)} tokens; the whole cache in f16 is ${megabytes(runs[0]?.bytesFull ?? 0)} MB\n\n${
    table(columns, rows)
  }${runs.map(proposalText).join("")}`;
}

/** What a budget has room for at every precision, and which the planner proposes. */
function proposalText({ policy, rowsTotal, proposal }: Estimate): string {
  if (proposal === null) return "";
  const columns = [
    { title: "keys", align: "left" },
    { title: "values", align: "left" },
    { title: "rows kept", align: "right" },
    { title: "of all", align: "right" },
    { title: "MB", align: "right" },
    { title: "", align: "left" },
  ] as const;
  const rows = proposal.candidates.map(({ keys, values, rows, bytes, layers }) => [
    keys,
    values,
    grouped(rows),
    `${(100 * rows / rowsTotal).toFixed(1)} %`,
    megabytes(bytes),
    layers === 0 ? "" : `proposed for ${layers === 1 ? "1 layer" : `${layers} layers`}`,
  ]);
  return `\n${policy}: ${proposal.budget} in 16-bit rows has room, counting ${
    proposal.counted === "bytes" ? "codes with scales and offsets" : "nominal bits"
  }, for\n\n${table(columns, rows)}`;
}
