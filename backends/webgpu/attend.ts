/**
 * Dispatches of attention.
 * @module
 */
import { NONE } from "../program.ts";
import { invocations, type Kernel, operands, paramWords, plain, slotOf, slotsIn } from "./kernel.ts";

/** Work items that keep a device busy, over all tiles of queries. */
const enough = 256;
/** Queries of a group that one workgroup takes. */
const tileRows = 8;

/** Parts of every head's rows, then the parts of each query head together. */
export const attend: Kernel<"attend"> = (instr) => {
  const { m, heads, kvHeads, valueDim } = instr.params;
  const perHead = m * heads / kvHeads;
  const tiles = Math.ceil(perHead / tileRows);
  const items = Math.max(2 * kvHeads, Math.ceil(enough / Math.max(1, tiles)));
  const words = () => paramWords(instr, [items]);
  return {
    scratch: items * perHead * (valueDim + 2) * 4,
    dispatches: [
      plain(instr, () => [items, tiles, 1], {
        entry: "partial",
        bound: [...operands(instr, "q", "keys", "values", "position", "layout", "queryPosition"), [10, { _tag: "Scratch" }]],
        words,
      }),
      plain(instr, () => [Math.min(m * heads, 32768), Math.ceil(m * heads / 32768), 1], {
        entry: "merge",
        bound: [...operands(instr, "layout", "out", "lse"), [11, { _tag: "Scratch" }]],
        words,
      }),
    ],
  };
};

/** A table of the queries, then an invocation per slot. */
export const attendReduce: Kernel<"attendReduce"> = (instr) => {
  const { queries, heads } = instr.params;
  const slots = slotsIn(instr, "out");
  const constants = { isDivided: Number(slotOf(instr, "divisor") !== NONE), isGained: Number(slotOf(instr, "gain") !== NONE) };
  return {
    scratch: (2 * queries * heads + 1) * 4,
    dispatches: [
      plain(instr, () => invocations(queries * heads + 1), {
        entry: "prepare",
        constants: { isDivided: constants.isDivided },
        bound: [...operands(instr, "queryPosition", "lse", "divisor"), [11, { _tag: "Scratch" }]],
        words: () => paramWords(instr, [0]),
      }),
      plain(instr, (size) => invocations(slots(size)), {
        constants: { isGained: constants.isGained },
        bound: [...operands(instr, "q", "keys", "position", "layout", "gain", "out"), [12, { _tag: "Scratch" }]],
        words: (size) => paramWords(instr, [slots(size)]),
      }),
    ],
  };
};
