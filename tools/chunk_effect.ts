/**
 * What the chunk size does in streaming prefill: `deno run -A tools/chunk_effect.ts [DOCUMENTS [TOKENS]]` reads items of T1 under KVzap, chunk
 * size by chunk size, and writes `docs/results/data/chunks.json`, which `deno task results` shows.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { corpusTexts } from "../cli/corpora.ts";
import { processIo } from "../cli/io.ts";
import { resolveModel, SMOLLM2 } from "../cli/catalogue.ts";
import { documentsOf } from "../eval/documents.ts";
import { frameOf } from "../eval/frame.ts";
import { itemsOf } from "../eval/items.ts";
import { nll } from "../eval/metrics.ts";
import type { Item } from "../eval/item.ts";
import {
  disposeSession,
  forced,
  forkSession,
  type Model,
  openModel,
  prefill as prefillBy,
  readModelFile,
  shippedSurrogates,
} from "../model/mod.ts";
import { keepAll, kvzap } from "../papers/mod.ts";
import type { Policy } from "../policy/mod.ts";
import { orThrow, readPositions } from "../run/mod.ts";
import { fromEither } from "fp-ts/TaskEither.js";

const THRESHOLD = -4;
/** The paper's order first: what the others are compared with. */
const WAYS: ReadonlyArray<{ readonly way: string; readonly chunk: number; readonly prefill: "dense" | "streaming" }> = [
  { way: "after the prompt", chunk: 256, prefill: "dense" },
  ...[32, 64, 128, 256, 512].map((chunk) => ({ way: `every ${chunk} tokens`, chunk, prefill: "streaming" as const })),
];

/** One way to read, on one document. */
interface Read {
  readonly nll: number;
  /** `layer head position` of every row. */
  readonly rows: ReadonlySet<string>;
}

async function readBy(
  model: Model,
  policy: Policy,
  chunk: number,
  { turns: [turn] }: Item,
): Promise<Read> {
  const answer = turn?.probes[0]?.answer ?? [];
  const session = await orThrow(prefillBy(model, policy, { chunk })(turn?.tokens ?? []));
  const positions = await orThrow(readPositions(model.memory)(session.cache));
  const rows = positions.flatMap((heads, l) => heads.flatMap((head, h) => [...head].map((p) => `${l} ${h} ${p}`)));
  const logits = await orThrow(forced(answer)(await orThrow(forkSession(session))));
  await orThrow(disposeSession(session));
  return { nll: await orThrow(fromEither(nll(logits, answer))), rows: new Set(rows) };
}

/** Numbers of one way to read, next to the whole cache and to deciding after the prompt. */
const compared = ({ nll: own, rows }: Read, full: Read, dense: Read) => ({
  kept: rows.size / full.rows.size,
  moved: rows.symmetricDifference(dense.rows).size / full.rows.size,
  delta: own - full.nll,
});

if (import.meta.main) {
  const [documents = 4, tokens = 512] = Deno.args.map(Number);
  const io = processIo();
  const source = await orThrow(resolveModel(SMOLLM2.name, io));
  if (source._tag !== "File") throw new Error("the model is not a file");
  const file = await orThrow(readModelFile(SMOLLM2.name, await Deno.readFile(source.path)));
  await using backend = await orThrow(openWasm({ threads: 1 }));
  await using model = await orThrow(openModel(backend, file, { surrogates: await orThrow(shippedSurrogates(file)) }));
  const frame = frameOf(await orThrow(fromEither(model.tokenizer())));
  const texts = documentsOf(await orThrow(corpusTexts(io)));
  const items = await orThrow(fromEither(itemsOf("T1", texts, { frame, seed: 1, tokens, scored: 64 }, documents)));
  const found = WAYS.map(({ way }) => ({ way, kept: [] as number[], moved: [] as number[], delta: [] as number[] }));
  for (const item of items) {
    const full = await readBy(model, keepAll, 256, item);
    let dense = full;
    for (const [i, { chunk, prefill }] of WAYS.entries()) {
      const own = await readBy(model, kvzap({ threshold: THRESHOLD, prefill, decode: false }), chunk, item);
      if (i === 0) dense = own;
      const { kept, moved, delta } = compared(own, full, dense);
      found[i]?.kept.push(kept);
      found[i]?.moved.push(moved);
      found[i]?.delta.push(delta);
    }
    console.error(found.map(({ way, kept, moved, delta }) => [way, kept.at(-1), moved.at(-1), delta.at(-1)].join(" ")).join("\n"));
  }
  const stored = { tokens, threshold: THRESHOLD, documents: items.map(({ document }) => document), ways: found };
  const short = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
  await Deno.writeTextFile(new URL("../docs/results/data/chunks.json", import.meta.url), `${JSON.stringify(stored, short)}\n`);
}
