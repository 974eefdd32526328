/**
 * Dispatches of the ops about positions to come.
 * @module
 */
import { type Dispatch, formOf, groups, invocations, type Kernel, only, operands, paramWords, plain, slotsIn, storedAs } from "./kernel.ts";

/** An invocation per slot. */
export const rerotate: Kernel<"rerotate"> = (instr) => {
  const slots = slotsIn(instr, "position");
  return only(plain(instr, (size) => invocations(slots(size)), {
    constants: storedAs("keys", formOf(instr.params.codec, instr.params.dim)),
    words: (size) => paramWords(instr, [slots(size)]),
  }));
};

/** The queries, mapped; then for each query head of a group an invocation per slot and a workgroup per KV head. */
export const expectedAttention: Kernel<"expectedAttention"> = (instr) => {
  const { queries, heads, kvHeads, keyDim, keyCodec } = instr.params;
  const slots = slotsIn(instr, "out");
  const mapped = [9, { _tag: "Scratch" }] as const;
  const common = (member: number) => ({
    constants: storedAs("keys", formOf(keyCodec, keyDim)),
    words: (size) => paramWords(instr, [slots(size), member]),
  } satisfies Partial<Dispatch>);
  const members = Array.from({ length: heads / kvHeads }, (_, member) => [
    plain(instr, (size) => invocations(slots(size)), {
      ...common(member),
      entry: "measure",
      bound: [...operands(instr, "queryPosition", "keys", "layout", "logits"), mapped],
    }),
    plain(instr, () => groups(kvHeads), { ...common(member), entry: "share", bound: operands(instr, "layout", "out", "logits") }),
  ]);
  return {
    scratch: queries * heads * keyDim * 4,
    dispatches: [
      plain(instr, () => invocations(queries * heads * keyDim), {
        ...common(0),
        entry: "prepare",
        bound: [...operands(instr, "q", "table"), mapped],
      }),
      ...members.flat(),
    ],
  };
};
