/**
 * Dispatches of the ops that move rows.
 * @module
 */
import { codecOf, rowBytes } from "../../cache/codec.ts";
import { nests } from "../../cache/coarsen.ts";
import {
  type Dispatch,
  formOf,
  type Grid,
  invocations,
  isSame,
  type Kernel,
  only,
  operands,
  paramWords,
  plain,
  type RowForm,
  type SizeOf,
  slotOf,
  slotsIn,
  storedAs,
} from "./kernel.ts";

/** Pieces that the shaders write a row in: words of plain rows, groups of codes, a whole row of some channels. */
export const pieces = (dim: number, { bits, group, kept }: RowForm): number =>
  Math.floor(dim / (bits >= 16 && kept === 0 ? 32 / bits : group));

/** Rows and positions, then lengths. */
export const append: Kernel<"append"> = (instr) => {
  const { m, heads, keyDim, valueDim, keyCodec, valueCodec } = instr.params;
  const [keys, values] = [formOf(keyCodec, keyDim), formOf(valueCodec, valueDim)];
  const wide = Math.max(1, pieces(keyDim, keys), pieces(valueDim, values));
  const constants = { ...storedAs("keys", keys), ...storedAs("values", values) };
  return {
    scratch: 0,
    dispatches: [
      plain(instr, () => invocations(m * heads * wide), { entry: "rows", constants }),
      plain(instr, () => invocations(heads), { entry: "lengths", bound: operands(instr, "layout"), constants }),
    ],
  };
};

/** An invocation per piece of every source slot; per block and word of channels where the target's codes are per channel. */
export const transfer: Kernel<"transfer"> = (instr) => {
  const { dim, sourceCodec, targetCodec } = instr.params;
  const [source, target] = [formOf(sourceCodec, dim), formOf(targetCodec, dim)];
  const isNested = nests(codecOf(sourceCodec), codecOf(targetCodec));
  const entry = sourceCodec === targetCodec ? "copy" : isNested ? "coarsen" : target.block > 1 ? "blocks" : "rows";
  const per = entry === "copy"
    ? rowBytes(codecOf(sourceCodec), dim) / 4
    : entry === "blocks"
    ? dim * target.bits / 32
    : pieces(dim, target);
  const slots = slotsIn(instr, "keep");
  return only(plain(instr, (size) => invocations(slots(size) * Math.max(1, per)), {
    entry,
    constants: { ...storedAs("source", source), ...storedAs("destination", target) },
    words: (size) => paramWords(instr, [slots(size)]),
  }));
};

/** An invocation per head. */
export const lengthen: Kernel<"lengthen"> = (instr) => only(plain(instr, () => invocations(instr.params.heads)));

/** An invocation per new row of a head. */
export const extend: Kernel<"extend"> = (instr) => only(plain(instr, () => invocations(instr.params.m * instr.params.heads)));

/** Words of the rows that an operand has memory for. */
const words = (instr: { readonly params: { readonly rowBytes: number } }, slot: number) => (size: SizeOf): Grid =>
  invocations(Math.floor(size(slot) / Math.max(4, instr.params.rowBytes)) * instr.params.rowBytes / 4);

/** Strips of up to 16 words that a workgroup moves of each row. */
export const strips = (rowBytes: number): number => Math.ceil(rowBytes / 4 / 16);

/** An invocation per word of the source, or in place a workgroup per head and strip of its rows. */
export const compact: Kernel<"compact"> = (instr) => {
  const { heads, rowBytes } = instr.params;
  const dispatch: Dispatch = isSame(instr, "source", "target")
    ? plain(instr, () => [heads, strips(rowBytes), 1], {
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
