/**
 * Every op this backend has, and what it cannot do of them.
 * @module
 */
import { codecOf, rowCodecs } from "../../cache/codec.ts";
import type { OpName } from "../ops.ts";
import type { Instr, Slot } from "../program.ts";
import { attend, attendReduce, attendRows } from "./attend.ts";
import {
  blockRank,
  groupVotes,
  headMean,
  leaving,
  meanUnit,
  newestLike,
  perToken,
  pool,
  positions,
  projectedNorm,
  queriesSeen,
  rank,
  reduce,
  redundancy,
  similarity,
  softmax,
  tailLoss,
  threshold,
} from "./columns.ts";
import { centroids, clusterScores, kmeans } from "./cluster.ts";
import { argmax, embed, glu, map, matmul, norm, rope, sinkGate } from "./dense.ts";
import { expectedAttention, rerotate } from "./future.ts";
import type { InstrOf, Kernel, WeightForm, Work } from "./kernel.ts";
import { append, compact, copyRows, extend, lengthen, rejoin, slice, slide, transfer, truncate } from "./rows.ts";
import { dropChannels, foldValues, lagSpread, obey, profile, promote, split } from "./rules.ts";
import { boundQuery, minmaxPages, pageScores } from "./select.ts";
import { demote, insertRows, unweave, weave, weaveRows } from "./woven.ts";

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
  split,
  transfer,
  lengthen,
  profile,
  obey,
  lagSpread,
  blockRank,
  promote,
  foldValues,
  minmaxPages,
  boundQuery,
  pageScores,
  attendRows,
  sinkGate,
  weave,
  weaveRows,
  unweave,
  insertRows,
  queriesSeen,
  demote,
  kmeans,
  centroids,
  clusterScores,
  rerotate,
  expectedAttention,
  dropChannels,
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

/** Channels per row up to which workgroup memory holds the queries of a tile, and up to which `stored.wgsl` finds channels of thinned rows. */
const mostChannels = 256;

/** Which parameter is the codec of which. */
const codecs = [
  ["keyDim", "keyCodec"],
  ["valueDim", "valueCodec"],
  ...["codec", "sourceCodec", "targetCodec", "firstCodec", "secondCodec", "wovenCodec"].map((codec) => ["dim", codec] as const),
] as const;

/** Why an instruction cannot run here, or null. */
export function refusal(instr: Instr): string | null {
  if (!hasKernel(instr.op)) return "it has no shader";
  const params: Readonly<Record<string, number | string | boolean>> = instr.params;
  for (const [dim, codec] of codecs) {
    if (params[codec] === "f16" && Number(params[dim]) % 2 === 1) return `rows of f16 are read by pairs, and ${dim} ${params[dim]} is odd`;
    const name = rowCodecs.find((known) => known === params[codec]);
    const isThinned = name !== undefined && codecOf(name)._tag === "Channels";
    if (isThinned && Number(params[dim] ?? 0) > mostChannels) {
      return `rows of ${name} have at most ${mostChannels} channels, not ${params[dim]}`;
    }
    const isAttention = instr.op === "attend" || instr.op === "attendRows";
    if (isAttention && Number(params[dim] ?? 0) > mostChannels) return `${dim} is at most ${mostChannels}, not ${params[dim]}`;
  }
  const bytes = params["rowBytes"];
  return typeof bytes === "number" && bytes % 4 !== 0 ? `rows are moved by words, and ${bytes} bytes are not whole words` : null;
}
