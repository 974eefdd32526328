/**
 * Dispatches of the ops over two tiers at once.
 * @module
 */
import {
  apart,
  type Bound,
  type Dispatch,
  formOf,
  groups,
  invocations,
  isSame,
  type Kernel,
  only,
  operands,
  paramWords,
  plain,
  slotOf,
  slotsIn,
  storedAs,
} from "./kernel.ts";
import { pieces, strips } from "./rows.ts";

/** An invocation per slot of either tier, and enough for the layout. */
export const weave: Kernel<"weave"> = (instr) => {
  const [first, second] = [slotsIn(instr, "firstPosition"), slotsIn(instr, "secondPosition")];
  return only(plain(instr, (size) => invocations(Math.max(3 * instr.params.heads, first(size) + second(size))), {
    words: (size) => paramWords(instr, [first(size), second(size)]),
  }));
};

/** An invocation per piece of a row of the list. */
export const weaveRows: Kernel<"weaveRows"> = (instr) => {
  const { dim, firstCodec, secondCodec, wovenCodec } = instr.params;
  const form = formOf(wovenCodec, dim);
  const slots = slotsIn(instr, "out");
  return only(plain(instr, (size) => invocations(slots(size) * Math.max(1, pieces(dim, form))), {
    constants: {
      ...storedAs("firstRows", formOf(firstCodec, dim)),
      ...storedAs("secondRows", formOf(secondCodec, dim)),
      ...storedAs("wovenRows", form),
      firstIsCopied: Number(firstCodec === wovenCodec),
      secondIsCopied: Number(secondCodec === wovenCodec),
    },
    words: (size) => paramWords(instr, [slots(size)]),
  }));
};

/** A workgroup per head, for one tier after the other, whose operands take the same bindings. */
export const unweave: Kernel<"unweave"> = (instr) => {
  const tier = (name: string, number: number): Dispatch => {
    const own = [[6, `${name}Layout`], [8, `${name}Keep`], [9, `${name}Counts`]] as const;
    return plain(instr, () => groups(instr.params.heads), {
      constants: { tier: number },
      bound: [
        ...operands(instr, "keep", "counts", "order", "wovenLayout"),
        ...own.map(([binding, operand]): readonly [number, Bound] => [binding, { _tag: "Slot", slot: slotOf(instr, operand) }]),
      ],
    });
  };
  return { scratch: 0, dispatches: [tier("first", 0), tier("second", 1)] };
};

/** A workgroup per head and strip of its rows. */
export const insertRows: Kernel<"insertRows"> = (instr) =>
  only(plain(instr, () => [instr.params.heads, strips(instr.params.rowBytes), 1], {
    constants: { isItself: Number(isSame(instr, "position", "rows")) },
    bound: apart(instr, "rows"),
  }));

/** A workgroup per head, for the choice and then for each tier. */
export const demote: Kernel<"demote"> = (instr) => {
  const stage = (entry: string, ...names: ReadonlyArray<string>): Dispatch =>
    plain(instr, () => groups(instr.params.heads), { entry, bound: [...operands(instr, ...names), [14, { _tag: "Scratch" }]] });
  return {
    scratch: 3 * 4 * instr.params.heads,
    dispatches: [
      stage("judge", "firstScore", "firstPosition", "firstLayout", "secondScore", "secondLayout", "newest"),
      stage("first", "firstLayout", "firstKeep", "firstCounts", "firstLeave", "firstLeaving"),
      stage("second", "secondLayout", "secondKeep", "secondCounts"),
    ],
  };
};
