/**
 * Running a program: bind its values, then for each instruction check the operands and call its kernel.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Binding, Prepared, Weight } from "../backend.ts";
import { type OpName, type OpParams, ops } from "../ops.ts";
import type { Instr, Program, Value } from "../program.ts";
import { operandSizes } from "../sizes.ts";
import { attend, attendReduce, attendRows } from "./attend.ts";
import { headMean, meanUnit, perToken, pool, positions, projectedNorm, reduce, similarity } from "./columns.ts";
import { argmax, embed, matmul, norm } from "./dense.ts";
import { sinkGate } from "./gate.ts";
import { glu, map, rope } from "./elementwise.ts";
import { type Kernel, type Operands, viewOperands } from "./kernel.ts";
import { checkRange, held, showBuffer } from "../held.ts";
import { admit, alignment, rounded, type Store } from "./memory.ts";
import { checkRagged, type Complaint } from "./ragged.ts";
import { leaving, rank, split, threshold } from "./rank.ts";
import { append, compact, copyRows, extend, rejoin, slice, slide, truncate } from "./rows.ts";
import { newestLike, redundancy } from "./pairs.ts";
import { lengthen, transfer } from "./transfer.ts";
import { foldValues } from "./fold_values.ts";
import { blockRank, lagSpread, obey, profile, promote } from "./rules.ts";
import { expectedAttention, rerotate } from "./future.ts";
import { dropChannels } from "./channels.ts";
import { centroids, clusterScores, kmeans } from "./cluster.ts";
import { boundQuery, minmaxPages, pageScores } from "./select.ts";
import { groupVotes, softmax, tailLoss } from "./votes.ts";
import { demote, insertRows, queriesSeen, unweave, weave, weaveRows } from "./woven.ts";

const kernels: { readonly [O in OpName]: Kernel<O> } = {
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

/** Ops with a kernel. */
export const hasKernel = (op: OpName): boolean => Object.hasOwn(kernels, op);

/** Weights a program was prepared with, by the names it uses. */
export type Weights = Readonly<Record<string, Weight>>;

type Bindings = Readonly<Record<string, Binding>>;

/** Scratch of a program: every temporary has memory of its own. Bytes. */
export const scratchBytes = ({ values }: Program): number =>
  values.reduce((sum, value) => sum + (value._tag === "Temp" ? rounded(value.bytes) : 0), 0);

/** Runs a prepared program. The first instruction whose operands do not fit ends the run; those before it have acted. */
export function runProgram(store: Store, { program }: Prepared, weights: Weights, bindings: Bindings): E.Either<KvError, void> {
  const room = admit(store, scratchBytes(program));
  if (E.isLeft(room)) return room;
  const memory: Uint8Array[] = [];
  for (const value of program.values) {
    const bound = bind(store, program, weights, bindings, value);
    if (E.isLeft(bound)) return bound;
    memory.push(bound.right);
  }
  for (const [index, instr] of program.body.entries()) {
    const complaint = step(instr, memory);
    if (complaint !== null) {
      const [expected, actual] = complaint;
      return E.left({ _tag: "ShapeMismatch", at: `${program.label}[${index}] ${instr.op}`, expected, actual });
    }
  }
  return E.right(undefined);
}

/** Memory of one value. Temporaries start as NaN, so that a program that reads one before writing it cannot pass a test. */
function bind(store: Store, program: Program, weights: Weights, bindings: Bindings, value: Value): E.Either<KvError, Uint8Array> {
  switch (value._tag) {
    case "Temp":
      return E.right(new Uint8Array(new Uint32Array(rounded(value.bytes) / 4).fill(0x7FC00000).buffer, 0, value.bytes));
    case "Weight": {
      const weight = weights[value.name];
      const found = held(store.weights, weight?.id ?? 0, `weight ${value.name}`);
      return E.isLeft(found) ? found : E.right(found.right.numbers);
    }
    case "Bound": {
      const binding = Object.hasOwn(bindings, value.name) ? bindings[value.name] : undefined;
      const at = `${program.label} binding ${value.name}`;
      if (binding === undefined) return E.left({ _tag: "ShapeMismatch", at, expected: "a buffer", actual: "none" });
      return bindBuffer(store, binding, at);
    }
  }
}

function bindBuffer(store: Store, { buffer, offset = 0 }: Binding, at: string): E.Either<KvError, Uint8Array> {
  const found = held(store.buffers, buffer.id, showBuffer(buffer));
  if (E.isLeft(found)) return found;
  const { memory, buffer: { bytes } } = found.right;
  const range = checkRange(at, offset, 0, bytes);
  if (E.isLeft(range)) return range;
  if (offset % alignment !== 0) {
    return E.left({ _tag: "ShapeMismatch", at, expected: `an offset that is a multiple of ${alignment}`, actual: `${offset}` });
  }
  return E.right(memory.subarray(offset, bytes));
}

function step(instr: Instr, memory: ReadonlyArray<Uint8Array>): Complaint {
  const bytesOf = new Map<string, Uint8Array>();
  const slots = new Map<string, number>();
  const sizes = operandSizes(instr);
  for (const [i, { name }] of ops[instr.op].operands.entries()) {
    const bytes = memory[instr.args[i] ?? -1];
    if (bytes === undefined) continue;
    bytesOf.set(name, bytes);
    const size = sizes[i];
    if (size?._tag === "Bytes" && bytes.length < size.bytes) return [`${size.bytes} bytes for ${name}`, `${bytes.length}`];
    if (size?._tag === "PerSlot" && size.bytes > 0) slots.set(name, Math.floor(bytes.length / size.bytes));
  }
  const operands = viewOperands(bytesOf);
  const complaint = checkRagged(instr, operands, slots);
  if (complaint === null) compute<OpName>(instr, operands);
  return complaint;
}

/** An instruction of the op O, so that the compiler sees that its parameters are those of its kernel. */
type InstrOf<O extends OpName> = { readonly [P in O]: { readonly op: P; readonly params: OpParams[P] } }[O];

function compute<O extends OpName>(instr: InstrOf<O>, operands: Operands): void {
  kernels[instr.op](instr.params, operands);
}
