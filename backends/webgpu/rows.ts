/**
 * Dispatches of the ops that move rows.
 * @module
 */
import { type Dispatch, type Grid, invocations, isSame, type Kernel, only, operands, plain, type SizeOf, slotOf } from "./kernel.ts";

/** Words of a row of f32 or f16. */
const rowWords = (dim: number, codec: string): number => codec === "f16" ? dim / 2 : dim;

/** Rows and positions, then lengths. */
export const append: Kernel<"append"> = (instr) => {
  const { m, heads, keyDim, valueDim, keyCodec, valueCodec } = instr.params;
  const wide = Math.max(1, rowWords(keyDim, keyCodec), rowWords(valueDim, valueCodec));
  return {
    scratch: 0,
    dispatches: [
      plain(instr, () => invocations(m * heads * wide), { entry: "rows" }),
      plain(instr, () => invocations(heads), { entry: "lengths", bound: operands(instr, "layout") }),
    ],
  };
};

/** An invocation per new row of a head. */
export const extend: Kernel<"extend"> = (instr) => only(plain(instr, () => invocations(instr.params.m * instr.params.heads)));

/** Words of the rows that an operand has memory for. */
const words = (instr: { readonly params: { readonly rowBytes: number } }, slot: number) => (size: SizeOf): Grid =>
  invocations(Math.floor(size(slot) / Math.max(4, instr.params.rowBytes)) * instr.params.rowBytes / 4);

/** An invocation per word of the source, or in place a workgroup per head and strip of its rows. */
export const compact: Kernel<"compact"> = (instr) => {
  const { heads, rowBytes } = instr.params;
  const strips = rowBytes === 0 ? 0 : Math.ceil(rowBytes / 4 / Math.min(rowBytes / 4, 16));
  const dispatch: Dispatch = isSame(instr, "source", "target")
    ? plain(instr, () => [heads, strips, 1], {
      entry: "within",
      bound: operands(instr, "keep", "counts", "sourceLayout", "targetLayout", "target"),
    })
    : plain(instr, words(instr, slotOf(instr, "source")), { entry: "apart" });
  return only(dispatch);
};

/** An invocation per head. */
export const truncate: Kernel<"truncate"> = (instr) => only(plain(instr, () => invocations(instr.params.heads)));

/** An invocation per head. */
export const rejoin: Kernel<"rejoin"> = (instr) => only(plain(instr, () => invocations(instr.params.heads)));

/** An invocation per word of the source. */
export const copyRows: Kernel<"copyRows"> = (instr) => only(plain(instr, words(instr, slotOf(instr, "source"))));

/** An invocation per column. */
export const slide: Kernel<"slide"> = (instr) => only(plain(instr, () => invocations(instr.params.width)));

/** An invocation per word. */
export const slice: Kernel<"slice"> = (instr) => only(plain(instr, () => invocations(instr.params.rows * instr.params.width)));
