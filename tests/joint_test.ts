/**
 * Evictions across layers: one cut through the rows of all of them, against the definition in plain loops.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/mod.ts";
import { block, layersFrom, neg, norm, onLayers, pipe, type Policy, policy, prefillEnd, type Ratio, rows } from "../policy/mod.ts";
import { append, budgetPerLayer, evict } from "../policy/mod.ts";
import { compress, dispose, orThrow, read } from "../run/mod.ts";
import { cacheOf, onEveryBackend, type Sample, sampleOf, seen } from "./support.ts";

interface Cut {
  readonly count: number;
  readonly floor: Ratio | null;
  readonly sinks: number;
  readonly recent: number;
}

const across = ({ count, floor, sinks, recent }: Cut): Policy =>
  policy("joint", [
    block(prefillEnd, [
      pipe(norm("keys", "l1"), neg, evict({ budget: rows(count), across: "model", floor, protect: { sinks, recent } })),
    ]),
  ]);

/** Protected rows and each head's floor first, then the best of all; equal scores by layer, head, position. */
function expected(
  { shape, dense, tokens }: Sample,
  { count, floor, sinks, recent }: Cut,
): ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>> {
  const least = floor === null ? 0 : Math.floor(count * floor.numerator / floor.denominator);
  const all = shape.layers.flatMap(({ kvHeads, keyDim }, l) =>
    Array.from({ length: kvHeads * tokens }, (_, i) => {
      const key = dense.layers[l]?.keys.subarray(i * keyDim, (i + 1) * keyDim) ?? new Float32Array();
      const at = i % tokens;
      return {
        head: `${l} ${Math.floor(i / tokens)}`,
        at,
        score: -key.reduce((sum, x) => sum + Math.abs(x), 0),
        safe: at < sinks || at + recent > tokens - 1,
      };
    })
  );
  const secured = new Set([...new Set(all.map(({ head }) => head))].flatMap((head) => {
    const own = all.filter((row) => row.head === head);
    const best = own.toSorted((a, b) => Number(b.safe) - Number(a.safe) || b.score - a.score || a.at - b.at);
    return best.slice(0, Math.max(least, own.filter(({ safe }) => safe).length));
  }));
  const heads = new Set(all.map(({ head }) => head)).size;
  const open = Math.max(0, heads * count - secured.size);
  // `sort` is stable, and `all` is in the order of layers, heads and positions.
  const best = new Set(all.filter((row) => !secured.has(row)).sort((a, b) => b.score - a.score).slice(0, open));
  return shape.layers.map(({ kvHeads }, l) =>
    Array.from(
      { length: kvHeads },
      (_, h) => all.filter((row) => row.head === `${l} ${h}` && (secured.has(row) || best.has(row))).map(({ at }) => at),
    )
  );
}

const anyCase = fc.tuple(
  fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 33 }), fc.nat()),
  fc.integer({ min: 4, max: 20 }),
  fc.constantFrom(null, { numerator: 1, denominator: 4 }, { numerator: 1, denominator: 1 }),
  fc.tuple(fc.nat(2), fc.nat(2)),
);

onEveryBackend("100 random cuts through all layers keep exactly the budget, the best rows of the model", async (memory) => {
  await fc.assert(
    fc.asyncProperty(anyCase, async ([[layers, heads, tokens, seed], count, floor, [sinks, recent]]) => {
      const sample = sampleOf(layers, heads, 2, 4, tokens, seed);
      const cut = { count, floor, sinks, recent };
      const cache = await cacheOf(memory, sample);
      const before = seen(await orThrow(read(memory)(cache)));
      const pruned = await orThrow(compress(memory, across(cut))(cache));
      const kept = (await orThrow(read(memory)(pruned))).layers.map((of) => of.map(({ positions }) => [...positions]));
      assertEquals(kept, expected(sample, cut));
      assertEquals(kept.flat(2).length, layers * heads * Math.min(tokens, count));
      assertEquals(seen(await orThrow(read(memory)(cache))), before);
      for (const each of [pruned, cache]) await orThrow(dispose(memory)(each));
      assertEquals(memory.backend.liveBytes().buffers, 0);
    }),
    { numRuns: 100 },
  );
});

onEveryBackend("layers that a cut does not touch stay whole, and what follows the cut acts on what it left", async (memory) => {
  const sample = sampleOf(3, 2, 1, 4, 12, 3);
  const cut: Cut = { count: 5, floor: null, sinks: 0, recent: 0 };
  const after = policy("after", [block(prefillEnd, [pipe(norm("keys", "l1"), neg, evict({ budget: rows(2) }))])]);
  const how: Policy = {
    ...pipe(across(cut), onLayers(layersFrom(1))),
    blocks: [...onLayers(layersFrom(1))(across(cut)).blocks, ...after.blocks],
  };
  const cache = await cacheOf(memory, sample);
  const kept = (await orThrow(read(memory)(await orThrow(compress(memory, how)(cache))))).layers.map((of) =>
    of.map((h) => [...h.positions])
  );
  const upper = { ...sample, shape: { ...sample.shape, layers: sample.shape.layers.slice(1) } };
  const chosen = expected({ ...upper, dense: { ...sample.dense, layers: sample.dense.layers.slice(1) } }, cut);
  assertEquals(kept[0]?.map(({ length }) => length), [2, 2]);
  for (const [l, of] of kept.slice(1).entries()) {
    for (const [h, positions] of of.entries()) {
      assert(positions.every((p) => chosen[l]?.[h]?.includes(p)));
      assertEquals(positions.length, Math.min(2, chosen[l]?.[h]?.length ?? 0));
    }
  }
});

onEveryBackend("a cut across layers is refused after another eviction, and with a budget per layer", async (memory) => {
  const cache = await cacheOf(memory, sampleOf(2, 1, 1, 4, 12, 3));
  const cut = pipe(norm("keys", "l1"), evict({ budget: rows(5), across: "model" }));
  const first = block(append, [pipe(norm("keys", "l1"), evict({ budget: rows(8) }))]);
  const uneven = evict({ budget: budgetPerLayer([rows(4), rows(6)]), across: "model" })(norm("keys", "l1"));
  const said: string[] = [];
  for (const how of [policy("late", [first, block(prefillEnd, [cut])]), policy("uneven", [block(prefillEnd, [uneven])])]) {
    const refused = await compress(memory, how)(cache)();
    said.push(E.isLeft(refused) ? showError(refused.left) : "");
  }
  assertEquals(said, [
    "Evict across the model (layer 0) is not supported by the planner: rows of that layer leave before; it must be the first eviction",
    "Evict across the model (budgets) is not supported by the planner: all layers must have one budget and protect the same rows",
  ]);
});
