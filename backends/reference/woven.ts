/**
 * Two tiers as one list of rows: `weave`, `weaveRows`, `unweave`; rows that find their place in a tier: `insertRows`; how long rows have
 * been seen, and the one that passes on or leaves: `queriesSeen`, `demote`.
 * @module
 */
import { codecName, codecOf, rowBytes } from "../../cache/codec.ts";
import { decodeRows, encodeRows } from "../../cache/encode.ts";
import type { Codec } from "../../cache/types.ts";
import { at, type Head, headsOf, type Kernel, type Operands } from "./kernel.ts";

const none: Head = { start: 0, length: 0, capacity: 0 };

/** The heads of both tiers, side by side. */
const pairsOf = (operands: Operands, heads: number): ReadonlyArray<readonly [first: Head, second: Head]> => {
  const second = headsOf(operands.u32("secondLayout"), heads);
  return headsOf(operands.u32("firstLayout"), heads).map((first, h) => [first, second[h] ?? none]);
};

/** Rows of both, ascending by position. */
export const weave: Kernel<"weave"> = ({ heads }, operands) => {
  const [order, layout] = [operands.u32("order"), operands.u32("wovenLayout")];
  for (const [h, [first, second]] of pairsOf(operands, heads).entries()) {
    const start = first.start + second.start;
    const rows = [
      ...Array.from({ length: first.length }, (_, i) => ({ code: 2 * i, position: at(operands.u32("firstPosition"), first.start + i) })),
      ...Array.from(
        { length: second.length },
        (_, i) => ({ code: 2 * i + 1, position: at(operands.u32("secondPosition"), second.start + i) }),
      ),
    ];
    order.set(rows.sort((a, b) => a.position - b.position).map(({ code }) => code), start);
    layout.set([start, first.length + second.length, first.capacity + second.capacity], 3 * h);
  }
};

/** Stored bytes of one row under another codec. */
const recode = (from: Codec, to: Codec, dim: number) => (bytes: Uint8Array, slot: number): Uint8Array => {
  const width = rowBytes(from, dim);
  if (codecName(from) === codecName(to)) return bytes.subarray(slot * width, (slot + 1) * width);
  return encodeRows(to, readOne(from, bytes, slot, dim), dim);
};

/** One row as numbers; of a block, the row in it. */
function readOne(codec: Codec, bytes: Uint8Array, slot: number, dim: number): Float32Array {
  const block = codec._tag === "Affine" && codec.axis === "channel" ? codec.group ?? 1 : 1;
  const first = slot - slot % block;
  const rows = decodeRows(codec, bytes.subarray(first * rowBytes(codec, dim), (first + block) * rowBytes(codec, dim)), dim);
  return rows.slice((slot - first) * dim, (slot - first + 1) * dim);
}

/** The rows themselves. */
export const weaveRows: Kernel<"weaveRows"> = ({ heads, dim, firstCodec, secondCodec, wovenCodec }, operands) => {
  const to = codecOf(wovenCodec);
  const [order, out, width] = [operands.u32("order"), operands.bytes("out"), rowBytes(to, dim)];
  const read = [
    { of: operands.bytes("first"), row: recode(codecOf(firstCodec), to, dim) },
    { of: operands.bytes("second"), row: recode(codecOf(secondCodec), to, dim) },
  ];
  const woven = headsOf(operands.u32("wovenLayout"), heads);
  for (const [h, pair] of pairsOf(operands, heads).entries()) {
    const { start, length } = woven[h] ?? none;
    for (let slot = start; slot < start + length; slot++) {
      const code = at(order, slot);
      const [tier, from] = [read[code & 1], pair[code & 1] ?? none];
      if (tier !== undefined) out.set(tier.row(tier.of, from.start + (code >>> 1)), slot * width);
    }
  }
};

/** Which of the kept rows are whose. */
export const unweave: Kernel<"unweave"> = ({ heads }, operands) => {
  const [keep, counts, order] = [operands.u32("keep"), operands.u32("counts"), operands.u32("order")];
  const targets = [
    [operands.u32("firstKeep"), operands.u32("firstCounts")],
    [operands.u32("secondKeep"), operands.u32("secondCounts")],
  ] as const;
  const woven = headsOf(operands.u32("wovenLayout"), heads);
  for (const [h, pair] of pairsOf(operands, heads).entries()) {
    const { start } = woven[h] ?? none;
    const codes = Array.from({ length: at(counts, h) }, (_, i) => at(order, start + at(keep, start + i)));
    for (const [tier, [kept, count]] of targets.entries()) {
      const head = pair[tier] ?? none;
      const own = codes.filter((code) => (code & 1) === tier).map((code) => code >>> 1).slice(0, head.length);
      kept.set(own, head.start);
      count[h] = own.length;
    }
  }
};

/** The newest arrivals go where their positions belong. */
export const insertRows: Kernel<"insertRows"> = ({ heads, rowBytes: width }, operands) => {
  const [position, counts, rows] = [operands.u32("position"), operands.u32("counts"), operands.bytes("rows")];
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), heads).entries()) {
    const old = length - at(counts, h);
    const key = Array.from({ length }, (_, i) => at(position, start + i));
    const order = Array.from(key.keys()).sort((a, b) => at(key, a) - at(key, b) || a - b);
    if (old === length || order.every((from, i) => from === i)) continue;
    const before = rows.slice(start * width, (start + length) * width);
    order.forEach((from, i) => rows.set(before.subarray(from * width, (from + 1) * width), (start + i) * width));
  }
};

/** How many queries have weighed each row. */
export const queriesSeen: Kernel<"queriesSeen"> = ({ heads, prompt, window }, operands) => {
  const [position, out, newest] = [operands.u32("position"), operands.f32("out"), at(operands.u32("newest"), 0)];
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    for (let slot = start; slot < start + length; slot++) {
      const p = at(position, slot);
      out[slot] = (newest + 1 - Math.max(p, prompt) + Math.min(window, Math.max(0, prompt - p))) >>> 0;
    }
  }
};

/** The row that scores least of those that may go, and its score; no row scores infinity. */
function victim(score: Float32Array, { start, length }: Head, may: (slot: number) => boolean): readonly [index: number, score: number] {
  let [index, least] = [-1, Infinity];
  for (let i = 0; i < length; i++) {
    const s = Number.isNaN(at(score, start + i)) ? -Infinity : at(score, start + i);
    if (may(start + i) && s < least) [index, least] = [i, s];
  }
  return [index, least];
}

/** One row passes on, or leaves. */
export const demote: Kernel<"demote"> = ({ heads, high, low, recent }, operands) => {
  const [position, newest] = [operands.u32("firstPosition"), at(operands.u32("newest"), 0)];
  const [limit, floor] = [Math.fround(high), Math.fround(low)];
  const stay = (name: string, h: number, { start, length }: Head, gone: number): void => {
    const rows = Array.from({ length }, (_, i) => i).filter((i) => i !== gone);
    operands.u32(`${name}Keep`).set(rows, start);
    operands.u32(`${name}Counts`)[h] = rows.length;
  };
  for (const [h, [first, second]] of pairsOf(operands, heads).entries()) {
    const [fine, least] = victim(operands.f32("firstScore"), first, (slot) => at(position, slot) + recent <= newest);
    const [coarse, other] = victim(operands.f32("secondScore"), second, () => true);
    const leaves = least < floor && least < other;
    const passes = !leaves && least < limit;
    stay("first", h, first, leaves || passes ? fine : -1);
    stay("second", h, second, passes && other < floor ? coarse : -1);
    if (passes) operands.u32("firstLeave")[first.start] = fine;
    operands.u32("firstLeaving")[h] = Number(passes);
  }
};
