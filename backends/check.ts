/**
 * Is this a program? Slots, operand kinds and parameters against the op table; sizes of weights and of temporaries. Every
 * backend asks this in `prepare`, so that all refuse alike.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { blockRows, codecFault, codecOf, rowCodecs } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Weight } from "./backend.ts";
import { type MapFn, type OperandSpec, type OpParams, ops, type ParamSpec } from "./ops.ts";
import { type Instr, NONE, type Program, type Slot, type Value } from "./program.ts";
import { type OperandSize, operandSizes } from "./sizes.ts";

type Weights = Readonly<Record<string, Weight>>;

/** What was expected and what was found, or null if all is well. */
type Complaint = readonly [expected: string, actual: string] | null;

/** Right if every instruction is well formed and every weight is given in the right shape. A ShapeMismatch names the
 * program, the instruction's index and op, and the operand or parameter. */
export function checkProgram(program: Program, weights: Weights): E.Either<KvError, Program> {
  for (const [index, instr] of program.body.entries()) {
    const where = `${program.label}[${index}] ${String(instr.op)}`;
    const found = checkInstr(program, weights, instr);
    if (found !== null) return E.left({ _tag: "ShapeMismatch", at: `${where}${found.at}`, expected: found.expected, actual: found.actual });
  }
  return E.right(program);
}

interface Found {
  readonly at: string;
  readonly expected: string;
  readonly actual: string;
}

const found = (at: string, [expected, actual]: readonly [string, string]): Found => ({ at, expected, actual });

function checkInstr(program: Program, weights: Weights, instr: Instr): Found | null {
  if (!Object.hasOwn(ops, instr.op)) return found("", ["an op of the table", String(instr.op)]);
  const { operands, params } = ops[instr.op];
  for (const spec of params) {
    const complaint = checkParam(spec, Object.entries<unknown>(instr.params).find(([name]) => name === spec.name)?.[1]);
    if (complaint !== null) return found(`.${spec.name}`, complaint);
  }
  const relation = checkRelations(instr);
  if (relation !== null) return found("", relation);
  if (instr.args.length !== operands.length) return found("", [`${operands.length} operands`, `${instr.args.length}`]);
  const sizes = operandSizes(instr);
  for (const [i, spec] of operands.entries()) {
    const complaint = checkOperand(program.values, weights, spec, instr.args[i] ?? NONE, sizes[i]);
    if (complaint !== null) return found(` ${spec.name}`, complaint);
  }
  return null;
}

function checkParam(spec: ParamSpec, value: unknown): Complaint {
  switch (spec.type) {
    case "u32":
      return typeof value === "number" && value >>> 0 === value ? null : ["a whole number from 0 to 4294967295", String(value)];
    case "f32":
      return typeof value === "number" && Number.isFinite(Math.fround(value)) ? null : ["a finite f32", String(value)];
    case "bool":
      return typeof value === "boolean" ? null : ["true or false", String(value)];
    case "choice":
      return typeof value === "string" && spec.choices.includes(value) ? null : [`one of ${spec.choices.join(", ")}`, String(value)];
  }
}

const binaryFns: ReadonlySet<MapFn> = new Set(["add", "sub", "mul", "div", "max", "min"]);

/** What the parameters of one op must satisfy together. */
function checkRelations(instr: Instr): Complaint {
  switch (instr.op) {
    case "attend":
    case "attendReduce":
    case "groupVotes":
    case "tailLoss":
    case "projectedNorm": {
      const { heads, kvHeads } = instr.params;
      return kvHeads > 0 && heads % kvHeads === 0
        ? codecComplaint(instr.params, instr.op !== "attend" && instr.op !== "attendReduce")
        : ["heads a multiple of kvHeads, at least one", `${heads} and ${kvHeads}`];
    }
    case "transfer":
      return codecComplaint({ dim: instr.params.dim, sourceCodec: instr.params.sourceCodec }, true) ?? codecComplaint(instr.params, false);
    case "insertRows":
      return instr.params.rowBytes <= 4096 ? null : ["rows of at most 4096 bytes", String(instr.params.rowBytes)];
    case "weaveRows": {
      const { dim, wovenCodec, firstCodec, secondCodec } = instr.params;
      if (dim > 1024) return ["rows of at most 1024 channels", String(dim)];
      return codecComplaint({ dim, codec: wovenCodec }, true) ??
        codecComplaint({ dim, sourceCodec: firstCodec, targetCodec: secondCodec }, false);
    }
    case "append":
    case "reduce":
    case "meanUnit":
    case "similarity":
    case "newestLike":
    case "redundancy":
      return codecComplaint(instr.params, true);
    case "attendRows": {
      const { m, heads, kvHeads } = instr.params;
      if (m !== 1) return ["one query", `${m}`];
      return kvHeads > 0 && heads % kvHeads === 0 ? null : ["heads a multiple of kvHeads, at least one", `${heads} and ${kvHeads}`];
    }
    case "sinkGate": {
      const { heads, kvHeads, dim, count, size } = instr.params;
      if (kvHeads === 0 || heads % kvHeads !== 0) return ["heads a multiple of kvHeads, at least one", `${heads} and ${kvHeads}`];
      return size === kvHeads * count * dim ? null : [`a size of kvHeads * count * dim = ${kvHeads * count * dim}`, `${size}`];
    }
    case "boundQuery": {
      const { heads, kvHeads } = instr.params;
      return kvHeads > 0 && heads % kvHeads === 0 ? null : ["heads a multiple of kvHeads, at least one", `${heads} and ${kvHeads}`];
    }
    case "minmaxPages":
      return checkPages(instr.params);
    case "pageScores": {
      const { heads, kvHeads, page } = instr.params;
      if (kvHeads === 0 || heads % kvHeads !== 0) return ["heads a multiple of kvHeads, at least one", `${heads} and ${kvHeads}`];
      return page === 1 ? null : (instr.args[4] ?? NONE) === NONE ? ["bounds for pages of several rows", "none"] : checkPages(instr.params);
    }
    case "kmeans":
      return instr.params.stride >= 1 && instr.params.per + instr.params.count >= 1
        ? null
        : ["a stride, and a number of clusters or of rows per cluster, from 1", `${instr.params.stride}`];
    case "centroids":
    case "clusterScores":
      return checkIndex(instr.params) ?? (instr.op === "centroids" ? null : checkGroups(instr.params));
    case "rerotate": {
      const { dim, dims } = instr.params;
      return dims % 2 === 0 && dims <= dim ? null : [`dims even and at most dim ${dim}`, String(dims)];
    }
    case "expectedAttention": {
      const { keyDim, dims } = instr.params;
      return checkGroups(instr.params) ??
        (dims % 2 === 0 && dims <= keyDim ? null : [`dims even and at most keyDim ${keyDim}`, String(dims)]);
    }
    case "dropChannels": {
      const { keyDim, drop } = instr.params;
      return checkGroups(instr.params) ??
        (keyDim <= 1024 && drop <= keyDim ? null : [`at most 1024 channels, of which at most all go`, `${drop} of ${keyDim}`]);
    }
    case "rope": {
      const { dim, dims } = instr.params;
      return dims % 2 === 0 && dims <= dim ? null : [`dims even and at most dim ${dim}`, String(dims)];
    }
    case "profile":
    case "obey":
      return instr.params.denominator > 0 ? null : ["a denominator from 1", "0"];
    case "lagSpread":
    case "blockRank":
      return instr.params.lag > 0 ? null : ["a lag from 1", "0"];
    case "pool":
      return instr.params.size % 2 === 1 ? null : ["an odd size", String(instr.params.size)];
    case "map":
      return binaryFns.has(instr.params.fn) && (instr.args[1] ?? NONE) === NONE ? [`an operand b for ${instr.params.fn}`, "none"] : null;
    default:
      return null;
  }
}

/** Which parameter is the codec of which. */
const codecAxes = [
  ["keyDim", "keyCodec"],
  ["valueDim", "valueCodec"],
  ["dim", "codec"],
  ["dim", "sourceCodec"],
  ["dim", "targetCodec"],
] as const;

/** Rows that their codec can hold; only attention, and the target of a transfer, may be rows that are stored in blocks. */
function codecComplaint(params: Readonly<Record<string, number | string | boolean>>, singly: boolean): Complaint {
  for (
    const [axis, codecAxis] of codecAxes
  ) {
    const name = rowCodecs.find((known) => known === params[codecAxis]);
    if (name === undefined) continue;
    const fault = codecFault(codecOf(name), Number(params[axis]));
    if (fault !== null) return [`${axis} for ${name}: ${fault}`, String(params[axis])];
    if (singly && blockRows(codecOf(name)) > 1) return [`a ${codecAxis} of rows that stand alone`, name];
  }
  return null;
}

/** Bounds are two rows, which the slots of a page must hold at addresses that are whole words. */
function checkPages({ page, rowBytes, dim, codec }: Pick<OpParams["minmaxPages"], "page" | "rowBytes" | "dim" | "codec">): Complaint {
  const needed = 2 * dim * (codec === "f16" ? 2 : 4);
  if (page < 1) return ["pages of at least one row", `${page}`];
  return rowBytes % 4 === 0 && page * rowBytes >= needed ? null : [
    `rowBytes a multiple of 4 that holds ${needed} bytes in ${page} slots`,
    `${rowBytes}`,
  ];
}

/** A centroid is a row of f32, which the slots between two of them must hold at addresses that are whole words. */
function checkIndex({ stride, rowBytes, dim }: Pick<OpParams["centroids"], "stride" | "rowBytes" | "dim">): Complaint {
  if (stride < 1) return ["a stride from 1", `${stride}`];
  return rowBytes % 4 === 0 && stride * rowBytes >= 4 * dim
    ? null
    : [`rowBytes a multiple of 4 that holds ${4 * dim} bytes in ${stride} slots`, `${rowBytes}`];
}

const checkGroups = ({ heads, kvHeads }: Pick<OpParams["dropChannels"], "heads" | "kvHeads">): Complaint =>
  kvHeads > 0 && heads % kvHeads === 0 ? null : ["heads a multiple of kvHeads, at least one", `${heads} and ${kvHeads}`];

function checkOperand(
  values: ReadonlyArray<Value>,
  weights: Weights,
  spec: OperandSpec,
  slot: Slot,
  size: OperandSize | undefined,
): Complaint {
  if (slot === NONE) return spec.optional === true ? null : ["a value", "none"];
  const value = values[slot];
  if (value === undefined) return [`a value from 0 to ${values.length - 1}`, String(slot)];
  if ((value._tag === "Weight") !== (spec.kind === "weight")) return [spec.kind === "weight" ? "a weight" : "a buffer", value._tag];
  if (value._tag === "Weight") return checkWeightShape(weights, value.name, size);
  if (value._tag === "Temp" && !(Number.isSafeInteger(value.bytes) && value.bytes >= 0)) return ["a size in bytes", String(value.bytes)];
  return value._tag === "Temp" && size?._tag === "Bytes" && value.bytes < size.bytes
    ? [`${size.bytes} bytes`, `${value.bytes} bytes`]
    : null;
}

function checkWeightShape(weights: Weights, name: string, size: OperandSize | undefined): Complaint {
  const weight = Object.hasOwn(weights, name) ? weights[name] : undefined;
  if (weight === undefined) return [`the weight ${name}`, "none of that name"];
  if (size?._tag !== "Weight") return null;
  const { rows, cols } = size;
  const fits = weight.cols === cols && (rows === null || weight.rows === rows);
  return fits ? null : [`${rows ?? "any"} rows of ${cols}`, `${weight.rows} rows of ${weight.cols}`];
}
