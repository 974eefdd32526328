/**
 * Checks that need the contents of memory: layouts that lie in their buffers, ids and kept indices that exist. They run
 * before a kernel, so that a kernel never reads or writes outside its rows.
 * @module
 */
import { blockRows, codecOf, type RowCodec } from "../../cache/codec.ts";
import type { Instr } from "../program.ts";
import { layoutNameOf } from "../sizes.ts";
import { at, type Head, headsOf, type Operands } from "./kernel.ts";
import { noRow } from "./pairs.ts";

/** What was expected and what was found, or null if all is well. */
export type Complaint = readonly [expected: string, actual: string] | null;

/** Number of heads a layout of this instruction has, 0 if it has no layout. */
function layoutHeads(instr: Instr): number {
  const params: Readonly<Record<string, number | string | boolean>> = instr.params;
  const heads = params["kvHeads"] ?? params["heads"];
  return typeof heads === "number" ? heads : 0;
}

/** Every head of every layout lies in the memory it addresses. `slots(operand)` is how many slots an operand has. */
export function checkRagged(instr: Instr, operands: Operands, slots: ReadonlyMap<string, number>): Complaint {
  const heads = layoutHeads(instr);
  const growth = instr.op === "append" ? instr.params.m : 0;
  for (const [operand, available] of slots) {
    const name = layoutNameOf(instr.op, operand);
    if (name === null || !operands.given(name) || (instr.op === "weave" && operand === "order")) continue;
    for (const [h, head] of headsOf(operands.u32(name), heads).entries()) {
      const length = operand === "target" ? lengthAt(operands, instr, h) : reaches.has(operand) ? roomOf(head) : head.length + growth;
      const complaint = checkHead(h, head, length, available, operand);
      if (complaint !== null) return complaint;
    }
  }
  return instr.op === "weave" ? checkWoven(instr.params.heads, operands, slots.get("order") ?? 0) : checkContents(instr, operands);
}

/** Operands with something for each label, of which a head may have as many as its slots hold. */
const reaches: ReadonlySet<string> = new Set(["index", "promises"]);

const roomOf = ({ length, capacity }: Head): number => length > 0 ? capacity : 0;

/** A list of the rows of both tiers fits into its memory. */
function checkWoven(heads: number, operands: Operands, available: number): Complaint {
  const second = headsOf(operands.u32("secondLayout"), heads);
  for (const [h, a] of headsOf(operands.u32("firstLayout"), heads).entries()) {
    const b = second[h] ?? { start: 0, length: 0, capacity: 0 };
    const end = a.start + b.start + a.length + b.length;
    if (a.length + b.length > 0 && end > available) return [`head ${h} within the ${available} slots of order`, `slots to ${end}`];
  }
  return null;
}

/** Every code of a woven list names a row of its tier. */
function checkOrder(heads: number, operands: Operands): Complaint {
  const [order, tiers] = [operands.u32("order"), ["firstLayout", "secondLayout"].map((name) => headsOf(operands.u32(name), heads))];
  for (const [h, { start, length }] of headsOf(operands.u32("wovenLayout"), heads).entries()) {
    const wrong = order.subarray(start, start + length).find((code) => code >>> 1 >= (tiers[code & 1]?.[h]?.length ?? 0));
    if (wrong !== undefined) return [`rows of both tiers in head ${h}`, `${wrong >>> 1} of tier ${wrong & 1}`];
  }
  return null;
}

/** Rows that reach head h of a target: its count when compacting, the source's length when copying. */
function lengthAt(operands: Operands, instr: Instr, h: number): number {
  const [count, kept] = [at(operands.u32("counts"), h), at(operands.u32("targetLayout"), 3 * h + 1)];
  return instr.op === "compact" ? count : instr.op === "transfer" ? kept + count : at(operands.u32("sourceLayout"), 3 * h + 1);
}

function checkHead(h: number, { start, capacity }: Head, length: number, available: number, operand: string): Complaint {
  if (length > capacity) return [`at most ${capacity} rows in head ${h}`, `${length}`];
  return start + length <= available || length === 0
    ? null
    : [`head ${h} within the ${available} slots of ${operand}`, `slots ${start} to ${start + length}`];
}

/** Every kept index names a row. */
function checkKept(heads: ReadonlyArray<Head>, counts: Uint32Array, keep: Uint32Array): Complaint {
  for (const [h, { start, length }] of heads.entries()) {
    const count = at(counts, h);
    if (count > length) return [`at most ${length} kept rows in head ${h}`, `${count}`];
    const wrong = keep.subarray(start, start + count).find((index) => index >= length);
    if (wrong !== undefined) return [`kept indices of head ${h} below ${length}`, `${wrong}`];
  }
  return null;
}

/** Numbers in memory that index other memory. */
function checkContents(instr: Instr, operands: Operands): Complaint {
  switch (instr.op) {
    case "embed": {
      const { m, dim } = instr.params;
      const rows = dim === 0 ? 0 : operands.f32("table").length / dim;
      const wrong = operands.u32("ids").subarray(0, m).find((id) => id >= rows);
      return wrong === undefined ? null : [`ids below ${rows}`, `${wrong}`];
    }
    case "transfer":
    case "compact": {
      const [counts, keep] = [operands.u32("counts"), operands.u32("keep")];
      const kept = checkKept(headsOf(operands.u32("sourceLayout"), instr.params.heads), counts, keep);
      return kept !== null ? kept : instr.op === "transfer" ? checkBlocks(instr.params.targetCodec, instr.params.heads, operands) : null;
    }
    case "lengthen": {
      const [counts, layout] = [operands.u32("counts"), operands.u32("layout")];
      const wrong = headsOf(layout, instr.params.heads).findIndex(({ length, capacity }, h) => length + at(counts, h) > capacity);
      return wrong < 0 ? null : [`room for the rows in head ${wrong}`, `${at(counts, wrong)} more`];
    }
    case "weaveRows":
      return checkOrder(instr.params.heads, operands);
    case "unweave": {
      const kept = checkKept(headsOf(operands.u32("wovenLayout"), instr.params.heads), operands.u32("counts"), operands.u32("keep"));
      return kept ?? checkOrder(instr.params.heads, operands);
    }
    case "insertRows": {
      const counts = operands.u32("counts");
      const wrong = headsOf(operands.u32("layout"), instr.params.heads).findIndex(({ length }, h) => at(counts, h) > length);
      return wrong < 0 ? null : [`at most all rows of head ${wrong}`, `${at(counts, wrong)}`];
    }
    case "dropChannels": {
      const [counts, leave] = [operands.u32("leaving"), operands.u32("leave")];
      return checkKept(headsOf(operands.u32("layout"), instr.params.kvHeads), counts, leave);
    }
    case "attendRows": {
      const [counts, keep] = [operands.u32("counts"), operands.u32("keep")];
      return checkKept(headsOf(operands.u32("layout"), instr.params.kvHeads), counts, keep);
    }
    case "truncate": {
      const [counts, layout] = [operands.u32("counts"), operands.u32("layout")];
      const wrong = headsOf(layout, instr.params.heads).findIndex(({ capacity }, h) => at(counts, h) > capacity);
      return wrong < 0 ? null : [`at most ${at(layout, 3 * wrong + 2)} rows in head ${wrong}`, `${at(counts, wrong)}`];
    }
    case "rejoin": {
      const [counts, tails] = [operands.u32("counts"), headsOf(operands.u32("tail"), instr.params.heads)];
      for (const [h, { start, capacity }] of headsOf(operands.u32("layout"), instr.params.heads).entries()) {
        const from = tails[h]?.start ?? 0;
        const end = from + at(counts, h);
        if (from < start || end > start + capacity) {
          return [`an end of head ${h} within slots ${start} to ${start + capacity}`, `${from} to ${end}`];
        }
      }
      return null;
    }
    case "foldValues": {
      const [counts, keep] = [operands.u32("counts"), operands.u32("keep")];
      for (const [h, { start, length }] of headsOf(operands.u32("layout"), instr.params.heads).entries()) {
        const count = at(counts, h);
        if (count > length) return [`at most ${length} kept rows in head ${h}`, `${count}`];
        const wrong = keep.subarray(start, start + count).findIndex((index, i) =>
          index >= length || (i > 0 && index <= at(keep, start + i - 1))
        );
        if (wrong >= 0) return [`ascending kept indices of head ${h} below ${length}`, `${at(keep, start + wrong)}`];
      }
      return null;
    }
    case "redundancy": {
      const like = operands.u32("like");
      for (const [h, { start, length }] of headsOf(operands.u32("layout"), instr.params.heads).entries()) {
        const wrong = like.subarray(start, start + length).find((index) => index >= length && index !== noRow);
        if (wrong !== undefined) return [`likenesses of head ${h} below ${length}, or none`, `${wrong}`];
      }
      return null;
    }
    default:
      return null;
  }
}

/** Rows that are stored in blocks come in whole blocks, behind whole blocks. */
function checkBlocks(codec: RowCodec, heads: number, operands: Operands): Complaint {
  const block = blockRows(codecOf(codec));
  const counts = operands.u32("counts");
  const wrong = headsOf(operands.u32("targetLayout"), heads).findIndex(({ start, length }, h) =>
    at(counts, h) > 0 && [start, length, at(counts, h)].some((n) => n % block !== 0)
  );
  return wrong < 0 ? null : [`whole blocks of ${block} rows in head ${wrong}`, `${at(counts, wrong)} rows`];
}
