/** Laws of attention that hold for any rows, on the reference; conformance carries them over to the other backends. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { attend, attendReduce } from "../backends/reference/attend.ts";
import { pool } from "../backends/reference/columns.ts";
import { rank } from "../backends/reference/rank.ts";
import { compact, truncate } from "../backends/reference/rows.ts";
import { layoutOf, layoutWords, positionsOf, rowsOf } from "../conformance/layouts.ts";
import { type Random, randomOf } from "../conformance/random.ts";
import { blank, blankWords, operandsOf, u32 } from "./kernel_operands.ts";

const runs = { numRuns: 200 };
const [heads, group, dim] = [2, 2, 4];

const seeds = fc.integer({ min: 0, max: 2 ** 30 }).map((seed) => randomOf("laws", seed));
const twoLengths = fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 12 }));

/** Rows of a tier as plain arrays. */
interface Tier {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly position: Uint32Array;
  readonly layout: Uint32Array;
}

function tierOf(random: Random, lengths: ReadonlyArray<number>): Tier {
  const layout = layoutOf(random, lengths);
  const rows = (): Float32Array => Float32Array.from(rowsOf(random, layout, dim, "f32"));
  return { keys: rows(), values: rows(), position: positionsOf(random, layout), layout: layoutWords(layout) };
}

interface Attended {
  readonly out: Float32Array;
  readonly lse: Float32Array;
}

const nothing = (m: number): Attended => ({
  out: new Float32Array(m * heads * group * dim),
  lse: new Float32Array(m * heads * group).fill(-1e30),
});

/** Attention of `m` queries over a tier, merged into what `before` holds. */
function attendTo(tier: Tier, q: Float32Array, queryPosition: Uint32Array, before: Attended): Attended {
  const [out, lse] = [before.out.slice(), before.lse.slice()];
  attend({
    m: queryPosition.length,
    heads: heads * group,
    kvHeads: heads,
    keyDim: dim,
    valueDim: dim,
    keyCodec: "f32",
    valueCodec: "f32",
    scale: 0.5,
    window: 0,
    softcap: 0,
    merge: true,
  }, operandsOf({ q, ...tier, queryPosition, out, lse }));
  return { out, lse };
}

/** The rows of each head for which `stays` holds, as a tier of their own. */
function evict(tier: Tier, stays: (slot: number) => boolean): Tier {
  const keep = blankWords(tier.position.length);
  const counts = Uint32Array.from({ length: heads }, (_, h) => {
    const [start, length] = [tier.layout[3 * h] ?? 0, tier.layout[3 * h + 1] ?? 0];
    const kept = Array.from({ length }, (_, t) => t).filter((t) => stays(start + t));
    keep.set(kept, start);
    return kept.length;
  });
  const moved = <A extends Float32Array | Uint32Array>(source: A, rowBytes: number): A => {
    const rows = operandsOf({ source, target: source, keep, counts, sourceLayout: tier.layout, targetLayout: tier.layout });
    compact({ heads, rowBytes }, rows);
    return source;
  };
  const layout = tier.layout.slice();
  truncate({ heads }, operandsOf({ counts, layout }));
  return {
    keys: moved(tier.keys.slice(), dim * 4),
    values: moved(tier.values.slice(), dim * 4),
    position: moved(tier.position.slice(), 4),
    layout,
  };
}

const close = (a: Float32Array, b: Float32Array, relative: number): boolean =>
  a.every((x, i) => Math.abs(x - (b[i] ?? NaN)) <= relative * Math.max(1, Math.abs(x)));

Deno.test("attending over any partition into tiers and merging equals attending over the whole", () => {
  fc.assert(
    fc.property(seeds, twoLengths, fc.integer({ min: 1, max: 4 }), (random, lengths, parts) => {
      const whole = tierOf(random, lengths);
      const q = random.normals(3 * heads * group * dim, 2);
      const at = u32(5, 12, 30);
      const part = Array.from(whole.position, () => random.integer(parts));
      const tiers = Array.from({ length: parts }, (_, p) => evict(whole, (slot) => part[slot] === p));
      const merged = tiers.reduce((done, tier) => attendTo(tier, q, at, done), nothing(3));
      const direct = attendTo(whole, q, at, nothing(3));
      // One rounding to f32 per tier and result.
      return close(direct.out, merged.out, parts * 2 ** -22) && close(direct.lse, merged.lse, parts * 2 ** -22);
    }),
    runs,
  );
});

Deno.test("attending after eviction equals attending with the evicted rows masked", () => {
  fc.assert(
    fc.property(seeds, twoLengths, (random, lengths) => {
      const whole = tierOf(random, lengths);
      const [q, at] = [random.normals(2 * heads * group * dim, 2), u32(9, 40)];
      const stays = Array.from(whole.position, () => random.integer(3) > 0);
      const masked = { ...whole, position: whole.position.map((p, slot) => stays[slot] === true ? p : 0xFFFFFFFE) };
      // The same numbers in the same order: the same bits.
      assertEquals(attendTo(evict(whole, (slot) => stays[slot] === true), q, at, nothing(2)), attendTo(masked, q, at, nothing(2)));
    }),
    runs,
  );
});

Deno.test("the attention mass of one query sums to one over the rows, or to nothing where nothing is visible", () => {
  fc.assert(
    fc.property(seeds, twoLengths, fc.integer({ min: 0, max: 40 }), (random, lengths, position) => {
      const tier = tierOf(random, lengths);
      const [q, queryPosition] = [random.normals(heads * group * dim, 2), u32(position)];
      const { lse } = attendTo(tier, q, queryPosition, nothing(1));
      const out = blank(tier.position.length);
      attendReduce({
        queries: 1,
        heads: heads * group,
        kvHeads: heads,
        keyDim: dim,
        keyCodec: "f32",
        scale: 0.5,
        window: 0,
        softcap: 0,
        overQueries: "sum",
        overGroup: "mean",
        accumulate: false,
      }, operandsOf({ q, ...tier, queryPosition, lse, out }));
      for (let h = 0; h < heads; h++) {
        const [start, length] = [tier.layout[3 * h] ?? 0, tier.layout[3 * h + 1] ?? 0];
        const seen = tier.position.subarray(start, start + length).some((p) => p <= position);
        const total = out.subarray(start, start + length).reduce((a, b) => a + b, 0);
        // f32 log-sum-exps up to about 8: their rounding is 2^-21 of the mass.
        assert(Math.abs(total - (seen ? 1 : 0)) < 1e-5, `${total}`);
      }
    }),
    runs,
  );
});

Deno.test("permuting the heads permutes the results of attention, pooling and ranking", () => {
  fc.assert(
    fc.property(seeds, twoLengths, fc.integer({ min: 0, max: 22 }), (random, lengths, budget) => {
      const tier = tierOf(random, lengths);
      const swapped = { ...tier, layout: u32(...tier.layout.subarray(3), ...tier.layout.subarray(0, 3)) };
      const [q, at] = [random.normals(heads * group * dim), u32(40)];
      const swap = (a: Float32Array): Float32Array => Float32Array.of(...a.subarray(a.length / 2), ...a.subarray(0, a.length / 2));
      const [one, other] = [attendTo(tier, q, at, nothing(1)), attendTo(swapped, swap(q), at, nothing(1))];
      assertEquals([swap(one.out), swap(one.lse)], [other.out, other.lse]);
      // Columns lie at slots, not at heads: the same layout in another order gives the same column and swapped counts.
      const score = Float32Array.from(tier.position, () => random.integer(4));
      const choose = ({ layout, position }: Tier) => {
        const [keep, counts, pooled] = [blankWords(score.length), blankWords(2), blank(score.length)];
        const rows = operandsOf({ score, a: score, position, layout, newest: u32(40), keep, counts, out: pooled });
        rank({ heads, mode: "perHead", count: budget, floor: 0, sinks: 2, recent: 0 }, rows);
        pool({ heads, by: "mean", size: 3, dropLast: 1 }, rows);
        return { keep, pooled, counts: [...counts] };
      };
      const [a, b] = [choose(tier), choose(swapped)];
      assertEquals([a.keep, a.pooled, a.counts.toReversed()], [b.keep, b.pooled, b.counts]);
    }),
    runs,
  );
});
