/**
 * Dispatches of the ops that give or change one number per row, and of those that decide which rows stay.
 * @module
 */
import type { OpName, RowCodec } from "../ops.ts";
import type { Instr } from "../program.ts";
import {
  apart,
  type Dispatch,
  formOf,
  type Grid,
  groups,
  type InstrOf,
  invocations,
  isSame,
  type Kernel,
  only,
  operands,
  paramWords,
  plain,
  type ShaderName,
  slotsIn,
  storedAs,
  type Work,
} from "./kernel.ts";

/** An invocation per slot of the result; the number of slots is the extra word. */
function perSlot<O extends OpName & ShaderName>(instr: InstrOf<O> & Instr & { readonly op: ShaderName }, changes: PerSlot = {}): Work {
  const slots = slotsIn(instr, "out");
  return only(plain(instr, (size) => invocations(slots(size) * (changes.per ?? 1)), {
    constants: changes.constants ?? {},
    words: (size) => paramWords(instr, [slots(size)]),
  }));
}

/** Invocations per slot, and constants. */
interface PerSlot {
  readonly per?: number;
  readonly constants?: Readonly<Record<string, number>>;
}

/** The form of the rows in the operand `rows`. */
const rowsForm = ({ dim, codec }: { readonly dim: number; readonly codec: RowCodec }) => storedAs("rows", formOf(codec, dim));

/** The form of the keys of an op over them. */
const keysForm = ({ keyDim, keyCodec }: { readonly keyDim: number; readonly keyCodec: RowCodec }) =>
  storedAs("keys", formOf(keyCodec, keyDim));

/** One number per row. */
export const reduce: Kernel<"reduce"> = (instr) => perSlot(instr, { constants: rowsForm(instr.params) });
/** Cosines. */
export const similarity: Kernel<"similarity"> = (instr) => perSlot(instr, { constants: rowsForm(instr.params) });
/** Positions as numbers. */
export const positions: Kernel<"positions"> = (instr) => perSlot(instr);
/** Windows along a segment. */
export const pool: Kernel<"pool"> = (instr) => perSlot(instr);
/** Means over heads. */
export const headMean: Kernel<"headMean"> = (instr) => perSlot(instr);
/** One number per row and query head. */
export const projectedNorm: Kernel<"projectedNorm"> = (instr) =>
  perSlot(instr, { per: instr.params.heads / instr.params.kvHeads, constants: rowsForm(instr.params) });

/** A workgroup per slot. */
export const newestLike: Kernel<"newestLike"> = (instr) => {
  const slots = slotsIn(instr, "out");
  return only(plain(instr, (size) => groups(slots(size)), {
    constants: rowsForm(instr.params),
    words: (size) => paramWords(instr, [slots(size)]),
  }));
};
/** What a row has in common with others. */
export const redundancy: Kernel<"redundancy"> = (instr) => perSlot(instr, { constants: rowsForm(instr.params) });
/** Queries that have weighed a row. */
export const queriesSeen: Kernel<"queriesSeen"> = (instr) => perSlot(instr);
/** Ranks inside blocks. */
export const blockRank: Kernel<"blockRank"> = (instr) => perSlot(instr);

/** Numbers of tokens into a column. */
export const perToken: Kernel<"perToken"> = (instr) => {
  const slots = slotsIn(instr, "column");
  return only(plain(instr, (size) => invocations(slots(size)), { words: (size) => paramWords(instr, [slots(size)]) }));
};

/** A workgroup per head. */
export const leaving: Kernel<"leaving"> = (instr) => only(plain(instr, () => [instr.params.heads, 1, 1]));

/** A workgroup per head. */
export const softmax: Kernel<"softmax"> = (instr) =>
  only(plain(instr, () => [instr.params.heads, 1, 1], {
    constants: { isOnA: Number(isSame(instr, "a", "out")) },
    bound: apart(instr, "out"),
  }));

/** A workgroup per KV head. */
export const groupVotes: Kernel<"groupVotes"> = (instr) =>
  only(plain(instr, () => [instr.params.kvHeads, 1, 1], { constants: keysForm(instr.params) }));

/** One workgroup: what remains is summed over heads. */
export const tailLoss: Kernel<"tailLoss"> = (instr) => only(plain(instr, () => [1, 1, 1], { constants: keysForm(instr.params) }));

/** A workgroup per head and 64 channels. */
export const meanUnit: Kernel<"meanUnit"> = (instr) =>
  only(plain(instr, () => [instr.params.heads, Math.ceil(instr.params.dim / 64), 1], { constants: rowsForm(instr.params) }));

/** The stages of a choice: flags, then indices. */
const stages = (instr: InstrOf<"rank"> | InstrOf<"threshold">, words: Uint32Array<ArrayBuffer>, entries: ReadonlyArray<string>): Work => {
  const perHead: Grid = [instr.params.heads, 1, 1];
  const stage = (entry: string): Dispatch => ({
    shader: "rank",
    entry,
    constants: {},
    bound: entry === "collect"
      ? operands(instr, "layout", "keep", "counts")
      : operands(instr, "score", "position", "layout", "newest", "keep"),
    words: () => words,
    grid: () => entry === "share" ? [1, 1, 1] : perHead,
  });
  return { scratch: 0, dispatches: [...entries, "collect"].map(stage) };
};

/** By count, per head or shared. */
export const rank: Kernel<"rank"> = (instr) =>
  stages(instr, paramWords(instr, [0]), instr.params.mode === "pooled" ? ["secure", "share"] : ["secure"]);

/** By value. */
export const threshold: Kernel<"threshold"> = (instr) => {
  const { heads, value, floor, sinks, recent } = instr.params;
  const [valueWord = 0] = new Uint32Array(Float32Array.of(value).buffer);
  return stages(instr, Uint32Array.of(heads, 0, 0, floor, sinks, recent, valueWord), ["passing"]);
};
