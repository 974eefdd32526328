/**
 * Dispatches of the ops by which a query reads some of the rows only.
 * @module
 */
import { NONE } from "../program.ts";
import { formOf, groups, invocations, type Kernel, only, operands, paramWords, plain, slotOf, slotsIn, storedAs } from "./kernel.ts";

/** An invocation per word of the bounds of every page that may be due. */
export const minmaxPages: Kernel<"minmaxPages"> = (instr) => {
  const { heads, dim, codec, page, m } = instr.params;
  const slots = slotsIn(instr, "keys");
  const form = formOf(codec, dim);
  const words = Math.max(1, 2 * dim * form.bits / 32);
  const all = (size: Parameters<typeof slots>[0]): number => Math.max(1, Math.ceil(slots(size) / page));
  const pages = (size: Parameters<typeof slots>[0]): number => m === 0 ? all(size) : Math.min(all(size), Math.ceil(m / page) + 1);
  return only(plain(instr, (size) => invocations(heads * pages(size) * words), {
    constants: storedAs("keys", form),
    words: (size) => paramWords(instr, [pages(size)]),
  }));
};

/** A workgroup per query head. */
export const boundQuery: Kernel<"boundQuery"> = (instr) => only(plain(instr, () => groups(instr.params.heads)));

/** An invocation per page of every head, or a workgroup per head. */
export const pageScores: Kernel<"pageScores"> = (instr) => {
  const { kvHeads, dim, codec, page, by } = instr.params;
  const slots = slotsIn(instr, "out");
  const pages = (size: Parameters<typeof slots>[0]): number => Math.max(1, Math.ceil(slots(size) / page));
  return only(plain(instr, (size) => by === "max" ? invocations(kvHeads * pages(size)) : groups(kvHeads), {
    entry: by === "max" ? "most" : "shares",
    constants: { ...storedAs("keys", formOf(codec, dim)), isPartial: Number(slotOf(instr, "within") !== NONE) },
    bound: operands(instr),
    words: (size) => paramWords(instr, [pages(size)]),
  }));
};
