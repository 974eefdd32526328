/**
 * Every op this backend has, and what it cannot do of them.
 * @module
 */
import { mapFns, type OpName } from "../ops.ts";
import type { Instr, Slot } from "../program.ts";
import { attend, attendReduce } from "./attend.ts";
import {
  groupVotes,
  headMean,
  leaving,
  meanUnit,
  newestLike,
  perToken,
  pool,
  positions,
  projectedNorm,
  rank,
  reduce,
  redundancy,
  similarity,
  softmax,
  tailLoss,
  threshold,
} from "./columns.ts";
import { argmax, embed, glu, map, matmul, norm, rope } from "./dense.ts";
import type { InstrOf, Kernel, WeightForm, Work } from "./kernel.ts";
import { append, compact, copyRows, extend, rejoin, slice, slide, truncate } from "./rows.ts";

const kernels: { readonly [O in OpName]?: Kernel<O> } = {
  embed,
  norm,
  matmul,
  rope,
  glu,
  map,
  append,
  extend,
  attend,
  attendReduce,
  reduce,
  meanUnit,
  similarity,
  positions,
  pool,
  headMean,
  rank,
  threshold,
  compact,
  truncate,
  copyRows,
  slide,
  slice,
  argmax,
  projectedNorm,
  perToken,
  leaving,
  rejoin,
  softmax,
  groupVotes,
  newestLike,
  redundancy,
  tailLoss,
};

/** Ops with a shader. */
export const hasKernel = (op: OpName): boolean => Object.hasOwn(kernels, op);

/** An instruction of any op, so that the compiler sees that its parameters are those of its kernel. */
type Any<O extends OpName> = { readonly [P in O]: InstrOf<P> }[O];

/** The dispatches of an instruction; none for an op without a shader, which {@link refusal} names first. */
export function workOf<O extends OpName>(instr: Any<O>, weightAt: (slot: Slot) => WeightForm): Work {
  const kernel: Kernel<O> | undefined = kernels[instr.op];
  return kernel?.(instr, weightAt) ?? { dispatches: [], scratch: 0 };
}

/** Channels per row up to which workgroup memory holds the queries of a tile. */
const mostChannels = 256;

/** The last function of `map` that its shader has. */
const lastMapFn = "gelu";

/** Why an instruction cannot run here, or null. */
export function refusal(instr: Instr): string | null {
  if (!hasKernel(instr.op)) return "it has no shader";
  if (instr.op === "map" && mapFns.indexOf(instr.params.fn) > mapFns.indexOf(lastMapFn)) return `its shader has no ${instr.params.fn}`;
  const params: Readonly<Record<string, number | string | boolean>> = instr.params;
  const pairs = [["keyDim", "keyCodec"], ["valueDim", "valueCodec"], ["dim", "codec"]] as const;
  for (const [dim, codec] of pairs) {
    const stored = params[codec];
    if (stored !== undefined && stored !== "f32" && stored !== "f16") return `its shader reads rows of f32 and f16, not ${stored}`;
    if (stored === "f16" && Number(params[dim]) % 2 === 1) return `rows of f16 are read by pairs, and ${dim} ${params[dim]} is odd`;
    if (instr.op === "attend" && Number(params[dim]) > mostChannels) return `${dim} is at most ${mostChannels}, not ${params[dim]}`;
  }
  const rowBytes = params["rowBytes"];
  return typeof rowBytes === "number" && rowBytes % 4 !== 0 ? `rows are moved by words, and ${rowBytes} bytes are not whole words` : null;
}
