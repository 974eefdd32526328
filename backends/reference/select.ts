/**
 * Bounds of pages of keys, and what they promise a query: minmaxPages, boundQuery, pageScores.
 * @module
 */
import type { RowCodec } from "../ops.ts";
import { at, headsOf, type Kernel, lowest, type Operands } from "./kernel.ts";

/** Numbers of a page's bounds, minima then maxima, at the bytes of its first slot. */
const boundsAt = (operands: Operands, codec: RowCodec, slot: number, rowBytes: number, dim: number): Float32Array | Float16Array => {
  const { buffer, byteOffset } = operands.bytes("bounds");
  const offset = byteOffset + slot * rowBytes;
  return codec === "f16" ? new Float16Array(buffer, offset, 2 * dim) : new Float32Array(buffer, offset, 2 * dim);
};

/** Minima, then maxima, of the channels of `count` rows from `slot` on. */
const boundsOf = (keys: ArrayLike<number>, slot: number, count: number, dim: number): ReadonlyArray<number> => {
  const fold = (f: (a: number, b: number) => number): ReadonlyArray<number> =>
    Array.from(
      { length: dim },
      (_, c) => Array.from({ length: count }, (_, t) => at(keys, (slot + t) * dim + c)).reduce((a, b) => f(a, b)),
    );
  return [...fold(Math.min), ...fold(Math.max)];
};

/** Bounds of the full pages that hold one of the last m rows. */
export const minmaxPages: Kernel<"minmaxPages"> = ({ heads, dim, codec, page, m, rowBytes }, operands) => {
  const keys = operands.rows("keys", codec, dim);
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    const first = m === 0 ? 0 : Math.floor(Math.max(0, length - m) / page);
    for (let p = first; (p + 1) * page <= length; p++) {
      boundsAt(operands, codec, start + p * page, rowBytes, dim).set(boundsOf(keys, start + p * page, page, dim));
    }
  }
};

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0);

/** Weights of bounds: Quest's (arXiv 2406.10774, algorithm 1), or those of hybrid sparse attention (arXiv 2502.14051, section 3.4). */
export const boundQuery: Kernel<"boundQuery"> = ({ heads, kvHeads, dim, channels }, operands) => {
  const [q, out] = [operands.f32("q"), operands.f32("out")];
  const group = heads / kvHeads;
  for (let h = 0; h < heads; h++) {
    const own = Array.from({ length: dim }, (_, c) => at(q, h * dim + c));
    const first = h - h % group;
    const overGroup = (f: (x: number) => number): ReadonlyArray<number> =>
      own.map((_, c) => sum(Array.from({ length: group }, (_, g) => f(at(q, (first + g) * dim + c)))));
    const [size, sign] = [overGroup(Math.abs), overGroup((x) => x)];
    const order = size.map((_, c) => c).sort((a, b) => at(size, b) - at(size, a) || a - b);
    const chosen = new Set(order.slice(0, channels));
    const [part, all] = [sum(own.map((x, c) => chosen.has(c) ? Math.abs(x) : 0)), sum(own.map(Math.abs))];
    const factor = part === 0 ? 0 : 1 / Math.sqrt(dim * part / all);
    own.forEach((x, c) => {
      const upper = channels === 0 ? x > 0 : at(sign, c) > 0;
      const weight = channels === 0 ? x : chosen.has(c) ? x * factor : 0;
      out[2 * h * dim + c] = upper ? 0 : weight;
      out[(2 * h + 1) * dim + c] = upper ? weight : 0;
    });
  }
};

/** What the page of each row promises. */
export const pageScores: Kernel<"pageScores"> = ({ heads, kvHeads, dim, codec, page, rowBytes, by }, operands) => {
  const [weights, keys, out] = [operands.f32("weights"), operands.rows("keys", codec, dim), operands.f32("out")];
  const within = operands.given("within") ? operands.f32("within") : null;
  const group = heads / kvHeads;
  for (const [kvHead, { start, length }] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    const bounds = Array.from({ length: Math.ceil(length / page) }, (_, p): ArrayLike<number> => {
      const count = Math.min(page, length - p * page);
      const stored = page > 1 && count === page;
      return stored ? boundsAt(operands, codec, start + p * page, rowBytes, dim) : boundsOf(keys, start + p * page, count, dim);
    });
    const rows = Array.from({ length }, (_, t) => t).filter((t) => within === null || at(within, start + t) > 0);
    const perHead = Array.from({ length: group }, (_, g) => {
      const w = weights.subarray(2 * (kvHead * group + g) * dim, 2 * (kvHead * group + g + 1) * dim);
      const u = bounds.map((b) => sum(Array.from(w, (x, c) => x * at(b, c))));
      if (by === "max") return u;
      const seen = rows.map((t) => at(u, Math.floor(t / page)));
      const top = Math.max(...seen);
      const total = sum(seen.map((x) => Math.exp(x - top)));
      return u.map((x) => Math.exp(x - top) / total);
    });
    out.fill(lowest, start, start + length);
    for (const t of rows) {
      const ofHeads = perHead.map((u) => at(u, Math.floor(t / page)));
      out[start + t] = by === "max" ? Math.max(...ofHeads) : sum(ofHeads) / group;
    }
  }
};
