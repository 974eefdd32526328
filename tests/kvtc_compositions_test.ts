/**
 * KVTC after other methods: what they leave is coded and comes back, row for row, on every backend that computes it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { bytesOf, type Rope, rowsPerHead, showError } from "../cache/mod.ts";
import { disposeSession, type Model, prefill, type Session } from "../model/mod.ts";
import { planAt, type Stream, type Transform } from "../model/transform.ts";
import { parsePolicy } from "../papers/mod.ts";
import { type HeadRows, orThrow, read } from "../run/mod.ts";
import { begin, randomBytes } from "./model_support.ts";
import { onEveryTransformed } from "./transform_support.ts";

const prompt = [...begin("red=7341, green=9920, "), ...randomBytes(5, 80)];
const tokens = prompt.length;

type Rows = ReadonlyArray<ReadonlyArray<HeadRows>>;

/** The session of a policy, and its rows by layer and head. */
async function made(model: Model, text: string): Promise<{ readonly session: Session; readonly rows: Rows }> {
  const session = await orThrow(prefill(model, await orThrow(parsePolicy(text)))(prompt));
  return { session, rows: (await orThrow(read(model.memory)(session.cache))).layers };
}

/** A key turned from position 0 to its own, or back (`way` -1); in f64. */
function turned(key: ArrayLike<number>, position: number, { theta, dims, divisors }: Rope, way: 1 | -1): ReadonlyArray<number> {
  const half = dims / 2;
  return Array.from(key, (x, c) => {
    const angle = way * position * theta ** (-2 * (c % half) / dims) / (divisors?.[c % half] ?? 1);
    const [a, b] = [key[c % half] ?? 0, key[c % half + half] ?? 0];
    return c >= dims ? x : c < half ? a * Math.cos(angle) - b * Math.sin(angle) : b * Math.cos(angle) + a * Math.sin(angle);
  });
}

const square = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, v) => sum + v * v, 0);

/** Squared length that a token's rows in all heads, less the mean, have outside the first `used` components: it is lost. A head without the
 * token counts as its mean. */
function unplanned({ mean, basis, width, rank }: Transform, used: number, rows: ReadonlyArray<ReadonlyArray<number> | null>): number {
  const dim = width / rows.length;
  const x = rows.flatMap((row, h) => Array.from({ length: dim }, (_, c) => row === null ? 0 : (row[c] ?? 0) - (mean[h * dim + c] ?? 0)));
  const components = new Float16Array(basis.buffer, basis.byteOffset, basis.length);
  const inside = Array.from(
    { length: Math.min(used, rank) },
    (_, i) => x.reduce((sum, v, c) => sum + v * (components[i * width + c] ?? 0), 0),
  );
  return Math.max(0, square(x) - square(inside));
}

/** The same of all tokens of a layer that are coded, by the bit plan of the ratio 1.5. */
function lostBy(model: Model, layer: number, stream: Stream, heads: ReadonlyArray<HeadRows>, coded: (position: number) => boolean): number {
  const [shape, transform] = [model.spec.shape.layers[layer], model.transforms?.groups[layer]?.[stream]];
  if (shape === undefined || transform === undefined) return NaN;
  const used = planAt(transform, 1.5).groups.reduce((sum, { size, type }) => sum + (type === "none" ? 0 : size), 0);
  const dim = stream === "keys" ? shape.keyDim : shape.valueDim;
  const positions = [...new Set(heads.flatMap((h) => [...h.positions]))].filter(coded);
  return positions.reduce((sum, position) => {
    const rows = heads.map((head) => {
      const row = head.positions.indexOf(position);
      const own = row < 0 ? null : head[stream].subarray(row * dim, (row + 1) * dim);
      return own === null ? null : stream === "values" ? [...own] : turned(own, position, shape.rope, -1);
    });
    return sum + unplanned(transform, used, rows);
  }, 0);
}

/** Evictions by rows, by layer, by head and chunk by chunk, and a reader of pages. */
const before = [
  "snapkv(50%, window=8)",
  "knorm(60)|ada(20%)",
  "streamingllm(50, sinks=4)|streaming",
  "tova(40)|pyramid(4)",
  "snapkv(50%, window=8)+quest(16, page=4, dense=0)",
  "knorm(70%)|layers(1..)",
  // Two tiers of a layer, of 32-bit and of 16-bit rows.
  "encode(f32, values=f32, at=prefill, recent=30)",
];

/** Rows that are exact are; what the others lose is what has no bits, and at most a step of a grid of what has. */
function compareRows(model: Model, text: string, was: Rows, is: Rows): void {
  const coded = (position: number): boolean => position >= 4 && position + 16 < tokens;
  for (const [l, heads] of is.entries()) {
    const old = was[l] ?? [];
    assertEquals(heads.map((h) => [...h.positions]), old.map((h) => [...h.positions]), text);
    for (const stream of ["keys", "values"] as const) {
      let [energy, lost] = [0, 0];
      for (const [h, head] of heads.entries()) {
        const width = head[stream].length / Math.max(1, head.positions.length);
        head[stream].forEach((x, i) => {
          const one = old[h]?.[stream][i] ?? NaN;
          if (!coded(head.positions[Math.floor(i / width)] ?? 0)) assertEquals(x, one, text);
          energy += one ** 2;
          lost += (x - one) ** 2;
        });
      }
      // 8-bit grids of one token's coefficients: a step is 1/255 of their range.
      const allowed = lostBy(model, l, stream, old, coded) + 2e-4 * energy;
      assert(lost > 0 && lost <= allowed, `${text}: ${stream} of layer ${l} lost ${lost} of ${energy}, allowed is ${allowed}`);
    }
  }
}

onEveryTransformed("after any eviction the same rows come back in the same bytes, and lose what the bit plan says", async (model) => {
  for (const text of before) {
    const apart = await made(model, text);
    const [held, kept] = [bytesOf(apart.session.cache), rowsPerHead(apart.session.cache)];
    await orThrow(disposeSession(apart.session));
    const { session, rows } = await made(model, `${text}+kvtc(1.5, sinks=4, recent=16)`);
    assertEquals(rowsPerHead(session.cache), kept, text);
    assertEquals(bytesOf(session.cache).rows, held.rows, text);
    assertEquals(bytesOf(session.cache).total, model.backend.liveBytes().buffers, text);
    compareRows(model, text, apart.rows, rows);
    await orThrow(disposeSession(session));
  }
});

onEveryTransformed("a budget of no bits leaves the mean of each channel, keys turned to their positions", async (model) => {
  const groups = model.transforms?.groups ?? [];
  assert(groups.every((group) => [group.keys, group.values].every((t) => planAt(t, 1024).bits === 0)), "no group has bits");
  assert(groups.every(({ values: { from, to } }) => to - from === 1), "the offsets below are those of groups of one layer");
  const { session, rows } = await made(model, "knorm(50)+kvtc(1024, sinks=2, recent=5)");
  for (const [l, heads] of rows.entries()) {
    const [group, shape] = [groups[l], model.spec.shape.layers[l]];
    assert(group !== undefined && shape !== undefined);
    const { keyDim, valueDim, rope } = shape;
    for (const [h, { positions, keys, values }] of heads.entries()) {
      const [key, value] = [
        group.keys.mean.subarray(h * keyDim, (h + 1) * keyDim),
        group.values.mean.subarray(h * valueDim, (h + 1) * valueDim),
      ];
      for (const [row, position] of positions.entries()) {
        if (position < 2 || position + 5 >= tokens) continue;
        assertEquals([...values.subarray(row * valueDim, (row + 1) * valueDim)], [...value].map(Math.f16round));
        // Rounded to halves, from f32 cosines and sines of numbers up to the largest of the mean.
        const most = 2 ** -10 * key.reduce((a, b) => Math.max(a, Math.abs(b)), 2 ** -6);
        turned(key, position, rope, 1).forEach((k, c) =>
          assert(Math.abs((keys[row * keyDim + c] ?? NaN) - k) <= most, `${l} ${h} ${position} ${c}`)
        );
      }
    }
  }
  await orThrow(disposeSession(session));
});

onEveryTransformed("rows that are codes already stay as they are, beside rows that are coded", async (model) => {
  for (const [text, layers] of [["encode(q8, values=q8, at=prefill, recent=20)", 2], ["think(40%, queries=8, recent=20)", 2]] as const) {
    const apart = await made(model, text);
    const { session, rows } = await made(model, `${text}+kvtc(1.5, sinks=0, recent=4)`);
    assertEquals(rows.length, layers);
    for (const [l, heads] of rows.entries()) {
      for (const [h, head] of heads.entries()) {
        const [one, width] = [apart.rows[l]?.[h], head.keys.length / head.positions.length];
        const old = (tokens - 20) * width;
        assertEquals(head.keys.subarray(0, old), one?.keys.subarray(0, old), text);
        assert(head.keys.some((x, i) => x !== one?.keys[i]), "the others went through coefficients");
      }
    }
    await orThrow(disposeSession(apart.session));
    await orThrow(disposeSession(session));
  }
});

onEveryTransformed("what KVTC does not go with is one sentence, and nothing is left behind", async (model) => {
  const session = await prefill(model, await orThrow(parsePolicy("snapkv(50%)+kvtc(4)|layers(1..)")))(prompt)();
  assertStringIncludes(E.isLeft(session) ? showError(session.left) : "", "a token is transformed over all layers; leave layers() out");
  const early = parsePolicy("kvtc(4)|streaming");
  assertStringIncludes(E.isLeft(early) ? showError(early.left) : "", 'found "Transform at append", allowed is Transform at PrefillEnd');
  assertEquals(model.backend.liveBytes().buffers, 0);
});
