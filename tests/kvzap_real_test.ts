/**
 * KVzap on SmolLM2 with the networks that come along: which rows stay does not depend on chunks or builds, but for scores at the threshold.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { disposeSession, openModel, prefill, readModelFile, shippedSurrogates } from "../model/mod.ts";
import { kvzap, type KvzapOptions } from "../papers/mod.ts";
import { orThrow, read } from "../run/mod.ts";
import { wasmBuilds } from "./support/backends.ts";
import { realModel } from "./support/real_model.ts";

const real = await realModel();
const text = "The Nile floods every summer. In Cairo, on 14 May 1897, Dr. Ada Brenner wrote: the river is late; nobody knows why. " +
  "Her notebook lists 37 gauges, each with its height in cubits, and one word that she never explained: kestrel.";

/** The score of every row, and the rows of each head that stay, by chunk. */
type Kept = ReadonlyArray<{ readonly positions: ReadonlySet<number>; readonly scores: ReadonlyMap<number, number> }>;

async function keptBy(open: (typeof wasmBuilds)[number]["open"], how: ReadonlyArray<readonly [Partial<KvzapOptions>, number]>) {
  await using backend = await orThrow(open());
  const file = await orThrow(readModelFile("m", real ?? new Uint8Array()));
  await using model = await orThrow(openModel(backend, file, { surrogates: await orThrow(shippedSurrogates(file)) }));
  const tokens = (await orThrow(model.tokenizer())).encode(text);
  const all: Kept[] = [];
  for (const [options, chunk] of how) {
    const session = await orThrow(prefill(model, kvzap({ window: 8, decode: false, ...options }), { chunk })(tokens));
    const { layers } = await orThrow(read(model.memory)(session.cache));
    all.push(
      layers.flat().map(({ positions, columns }) => ({
        positions: new Set(positions),
        scores: new Map([...positions].map((p, i) => [p, columns["kvzap"]?.[i] ?? NaN])),
      })),
    );
    await orThrow(disposeSession(session));
  }
  return all;
}

/** Rows that one keeps and the other does not, with the distance of their score from the threshold. */
const margins = (one: Kept, other: Kept, scores: Kept, threshold: number): ReadonlyArray<number> =>
  one.flatMap(({ positions }, h) =>
    [...positions.symmetricDifference(other[h]?.positions ?? new Set<number>())]
      .map((p) => Math.abs((scores[h]?.scores.get(p) ?? NaN) - threshold))
  );

// Hidden states that are read in other chunks, or by another build, differ by the order of f32 sums through 30 layers; of scores, which are
// logarithms between -12 and 0, one was found 5e-5 from the threshold on the other side.
const margin = 2e-3;

Deno.test({
  name: "SmolLM2, dense prefill: any chunk, and both builds, keep the same rows but for scores at the threshold",
  ignore: real === null,
  fn: async () => {
    const threshold = -4;
    const dense = { prefill: "dense" } as const;
    const [first, second] = wasmBuilds;
    if (first === undefined || second === undefined) throw new Error("two builds");
    const [scores = [], ...kept] = await keptBy(second.open, [
      [{ ...dense, threshold: -Infinity }, 256],
      ...[256, 13, 40].map((chunk) => [{ ...dense, threshold }, chunk] as const),
    ]);
    const [portable = []] = await keptBy(first.open, [[{ ...dense, threshold }, 256]]);
    const rows = (of: Kept) => of.reduce((sum, { positions }) => sum + positions.size, 0);
    const [whole = []] = kept;
    for (const other of [...kept.slice(1), portable]) {
      const moved = margins(whole, other, scores, threshold);
      assert(moved.every((m) => m < margin), `a row moved at a distance of ${Math.max(...moved)} from the threshold`);
      assert(moved.length < rows(scores) / 1000, `${moved.length} of ${rows(scores)} rows moved`);
    }
    assert(rows(whole) > rows(scores) / 10 && rows(whole) < 0.9 * rows(scores), "the threshold takes some rows and leaves some");
  },
});

Deno.test({
  name: "SmolLM2, streaming prefill: a chunk size gives the same rows every time, and other sizes other rows in later layers only",
  ignore: real === null,
  fn: async () => {
    const fast = wasmBuilds[1];
    if (fast === undefined) throw new Error("no fast build");
    const streaming = { prefill: "streaming", decode: true, threshold: -4 } as const;
    const [a = [], b = [], c = []] = await keptBy(fast.open, [[streaming, 16], [streaming, 16], [streaming, 50]]);
    const positions = (of: Kept) => of.map((head) => [...head.positions]);
    assertEquals(positions(a), positions(b));
    assertEquals(
      positions(a).slice(0, 3),
      positions(c).slice(0, 3),
      "the hidden states of layer 0 are embeddings, whatever was read before",
    );
    assert(positions(a).some((head, h) => head.join() !== positions(c)[h]?.join()), "later layers see what the chunks before left");
  },
});
