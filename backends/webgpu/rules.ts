/**
 * Dispatches of the ops that keep rows by rules or in stages, pass them to other tiers, or fold them into others.
 * @module
 */
import {
  type Dispatch,
  formOf,
  groups,
  invocations,
  type Kernel,
  mostShares,
  only,
  operands,
  paramWords,
  plain,
  slotsIn,
  storedAs,
} from "./kernel.ts";

/** A workgroup per KV head. */
export const dropChannels: Kernel<"dropChannels"> = (instr) => {
  const { kvHeads, keyCodec, keyDim } = instr.params;
  return only(plain(instr, () => groups(kvHeads), { constants: storedAs("keys", formOf(keyCodec, keyDim)) }));
};

/** A workgroup per head. */
export const profile: Kernel<"profile"> = (instr) => only(plain(instr, () => groups(instr.params.heads)));

/** A workgroup per head. */
export const obey: Kernel<"obey"> = (instr) => only(plain(instr, () => groups(instr.params.heads)));

/** A workgroup per head. */
export const promote: Kernel<"promote"> = (instr) =>
  only(plain(instr, () => groups(instr.params.heads), { bound: operands(instr, "score", "then", "layout", "out") }));

/** Workgroups that share the blocks of a head, for all heads. */
export const lagSpread: Kernel<"lagSpread"> = (instr) => {
  const { heads, dim, codec, lag } = instr.params;
  const slots = slotsIn(instr, "out");
  return only(plain(instr, (size) => [Math.min(mostShares, Math.ceil(slots(size) / lag)), heads, 1], {
    constants: storedAs("rows", formOf(codec, dim)),
  }));
};

/** Rows that pass on, a workgroup per head; then the others, an invocation per slot. */
export const split: Kernel<"split"> = (instr) => {
  const slots = slotsIn(instr, "keep");
  const words: Dispatch["words"] = (size) => paramWords(instr, [slots(size)]);
  return {
    scratch: 0,
    dispatches: [
      plain(instr, () => groups(instr.params.heads), {
        entry: "choose",
        bound: operands(instr, "score", "position", "layout", "newest", "counts", "leave", "leaving"),
        words,
      }),
      plain(instr, (size) => invocations(slots(size)), {
        entry: "rest",
        bound: operands(instr, "layout", "keep", "leave", "leaving"),
        words,
      }),
    ],
  };
};

/** Norms of kept keys, then what the others choose, both an invocation per slot; then a workgroup per kept row. */
export const foldValues: Kernel<"foldValues"> = (instr) => {
  const { keyDim, valueDim, keyCodec, valueCodec } = instr.params;
  const slots = slotsIn(instr, "keep");
  const common = {
    constants: { ...storedAs("keys", formOf(keyCodec, keyDim)), ...storedAs("values", formOf(valueCodec, valueDim)) },
    words: (size) => paramWords(instr, [slots(size)]),
  } satisfies Partial<Dispatch>;
  const perSlot: Dispatch["grid"] = (size) => invocations(slots(size));
  return {
    scratch: 0,
    dispatches: [
      plain(instr, perSlot, { ...common, entry: "norms", bound: operands(instr, "keys", "counts", "layout", "keep", "weight") }),
      plain(instr, perSlot, { ...common, entry: "nearest" }),
      plain(instr, (size) => groups(slots(size)), {
        ...common,
        entry: "fold",
        bound: operands(instr, "counts", "layout", "keep", "values", "weight"),
      }),
    ],
  };
};
