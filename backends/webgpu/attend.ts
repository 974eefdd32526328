/**
 * Dispatches of attention.
 * @module
 */
import type { OpParams } from "../ops.ts";
import { NONE } from "../program.ts";
import {
  type Dispatch,
  formOf,
  groups,
  type InstrOf,
  invocations,
  type Kernel,
  operands,
  paramWords,
  plain,
  slotOf,
  slotsIn,
  storedAs,
} from "./kernel.ts";

/** Work items that keep a device busy, over all tiles of queries. */
const enough = 256;
/** Queries of a group that one workgroup takes. */
const tileRows = 8;

/** Work items, tiles of queries, and numbers of all parts. */
const shares = ({ m, heads, kvHeads, valueDim }: OpParams["attend"]) => {
  const perHead = m * heads / kvHeads;
  const tiles = Math.ceil(perHead / tileRows);
  const items = Math.max(2 * kvHeads, Math.ceil(enough / Math.max(1, tiles)));
  return { items, tiles, words: items * perHead * (valueDim + 2) };
};

/** Workgroups that can have a part: one begins every 64 rows at most, and one in every head. */
const workgroups = (instr: InstrOf<"attend"> | InstrOf<"attendRows">, items: number, tiles: number): Dispatch["grid"] => {
  const slots = slotsIn(instr, "position");
  return (size) => [Math.min(items, instr.params.kvHeads + Math.ceil(slots(size) / 64)), tiles, 1];
};

const forms = ({ keyDim, valueDim, keyCodec, valueCodec }: OpParams["attend"]) => ({
  ...storedAs("keys", formOf(keyCodec, keyDim)),
  ...storedAs("values", formOf(valueCodec, valueDim)),
});

/** A workgroup per query head. */
const perQueryHead = ({ m, heads }: OpParams["attend"]) => () => groups(m * heads);

/** Parts of every head's rows, then the parts of each query head together. */
export const attend: Kernel<"attend"> = (instr) => {
  const { items, tiles, words } = shares(instr.params);
  const common = { constants: forms(instr.params), words: () => paramWords(instr, [items]) };
  const parts = [10, { _tag: "Scratch" }] as const;
  return {
    scratch: words * 4,
    dispatches: [
      plain(instr, workgroups(instr, items, tiles), {
        ...common,
        entry: "partial",
        bound: [...operands(instr, "q", "keys", "values", "position", "layout", "queryPosition"), parts],
      }),
      plain(instr, perQueryHead(instr.params), { ...common, entry: "merge", bound: [...operands(instr, "layout", "out", "lse"), parts] }),
    ],
  };
};

/** The same over chosen rows: first a table of how many there are. */
export const attendRows: Kernel<"attendRows"> = (instr) => {
  const { items, tiles, words } = shares(instr.params);
  const common = { constants: forms(instr.params), words: () => paramWords(instr, [items, words]) };
  const parts = [12, { _tag: "Scratch" }] as const;
  return {
    scratch: (words + 1 + 2 * instr.params.kvHeads) * 4,
    dispatches: [
      plain(instr, () => groups(1), {
        ...common,
        entry: "prepare",
        bound: [...operands(instr, "layout", "queryPosition", "counts"), parts],
      }),
      plain(instr, workgroups(instr, items, tiles), {
        ...common,
        entry: "partial",
        bound: [...operands(instr, "q", "keys", "values", "position", "keep"), parts],
      }),
      plain(instr, perQueryHead(instr.params), { ...common, entry: "merge", bound: [...operands(instr, "out", "lse"), parts] }),
    ],
  };
};

/** A table of the queries, then an invocation per slot. */
export const attendReduce: Kernel<"attendReduce"> = (instr) => {
  const { queries, heads } = instr.params;
  const slots = slotsIn(instr, "out");
  const rows = storedAs("keys", formOf(instr.params.keyCodec, instr.params.keyDim));
  const constants = { ...rows, isDivided: Number(slotOf(instr, "divisor") !== NONE), isGained: Number(slotOf(instr, "gain") !== NONE) };
  return {
    scratch: (2 * queries * heads + 1) * 4,
    dispatches: [
      plain(instr, () => invocations(queries * heads + 1), {
        entry: "prepare",
        constants,
        bound: [...operands(instr, "queryPosition", "lse", "divisor"), [11, { _tag: "Scratch" }]],
        words: () => paramWords(instr, [0]),
      }),
      plain(instr, (size) => invocations(slots(size)), {
        constants,
        bound: [...operands(instr, "q", "keys", "position", "layout", "gain", "out"), [12, { _tag: "Scratch" }]],
        words: (size) => paramWords(instr, [slots(size)]),
      }),
    ],
  };
};
