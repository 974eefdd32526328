/**
 * How an op becomes dispatches: which shader, what is bound where, parameters, how many workgroups. Everything that depends on the sizes of
 * bound memory is a function of them, so that a program is prepared once.
 *
 * In every shader binding 0 is the parameters in the order of the op table, then extra words; binding 1 the status; binding 2 + i is operand i.
 * @module
 */
import { keptChannels } from "../../cache/channels.ts";
import { blockRows, codecOf } from "../../cache/codec.ts";
import { type OpName, type OpParams, ops, type RowCodec } from "../ops.ts";
import { type Instr, NONE, type Slot } from "../program.ts";
import { operandSizes } from "../sizes.ts";
import type { WeightType } from "../backend.ts";
import type { shaders } from "./_shaders.ts";

/** A shader by its op. */
export type ShaderName = keyof typeof shaders;

/** Bytes of memory behind a slot. */
export type SizeOf = (slot: Slot) => number;

/** Workgroups in x, y, z. */
export type Grid = readonly [x: number, y: number, z: number];

/** What is bound at a binding. */
export type Bound =
  | { readonly _tag: "Slot"; readonly slot: Slot }
  /** Tile of the weight in a slot. */
  | { readonly _tag: "Tile"; readonly slot: Slot; readonly tile: number }
  /** The instruction's scratch. */
  | { readonly _tag: "Scratch" }
  /** Nothing that matters, where an optional operand is absent or is bound elsewhere. */
  | { readonly _tag: "Empty" };

/** One call of one entry point. */
export interface Dispatch {
  readonly shader: ShaderName;
  readonly entry: string;
  readonly constants: Readonly<Record<string, number>>;
  readonly bound: ReadonlyArray<readonly [binding: number, what: Bound]>;
  readonly words: (size: SizeOf) => Uint32Array<ArrayBuffer>;
  readonly grid: (size: SizeOf) => Grid;
  /** True where numbers would not survive as f16: forms of the shader for `shader-f16` are then left out. */
  readonly isExact?: boolean;
}

/** An op's dispatches and the scratch they share, bytes. */
export interface Work {
  readonly dispatches: ReadonlyArray<Dispatch>;
  readonly scratch: number;
}

/** Rows of one tile of a weight. */
export interface TileRows {
  readonly first: number;
  readonly rows: number;
}

/** What a kernel may know of the weight in a slot. */
export interface WeightForm {
  readonly type: WeightType;
  readonly tiles: ReadonlyArray<TileRows>;
}

/** An instruction of the op O. */
export type InstrOf<O extends OpName> = { readonly op: O; readonly args: ReadonlyArray<Slot>; readonly params: OpParams[O] };

/** Makes an op's dispatches. */
export type Kernel<O extends OpName> = (instr: InstrOf<O>, weightAt: (slot: Slot) => WeightForm) => Work;

/** The slot of an operand by its name in the op table. */
export const slotOf = (instr: { readonly op: OpName; readonly args: ReadonlyArray<Slot> }, name: string): Slot =>
  instr.args[ops[instr.op].operands.findIndex((operand) => operand.name === name)] ?? NONE;

/** The bindings of these operands, by name; an absent one is bound to nothing that matters. */
export const operands = (
  instr: { readonly op: OpName; readonly args: ReadonlyArray<Slot> },
  ...names: ReadonlyArray<string>
): ReadonlyArray<readonly [number, Bound]> =>
  ops[instr.op].operands.flatMap(({ name }, i): ReadonlyArray<readonly [number, Bound]> => {
    if (names.length > 0 && !names.includes(name)) return [];
    const slot = instr.args[i] ?? NONE;
    return [[2 + i, slot === NONE ? { _tag: "Empty" } : { _tag: "Slot", slot }]];
  });

/** The same with the operands whose slot is that of `written` bound to nothing that matters: memory that is written may be bound once. */
export const apart = (
  instr: { readonly op: OpName; readonly args: ReadonlyArray<Slot> },
  written: string,
): ReadonlyArray<readonly [number, Bound]> => {
  const target = slotOf(instr, written);
  const at = 2 + ops[instr.op].operands.findIndex(({ name }) => name === written);
  return operands(instr).map(([binding, what]) =>
    binding !== at && what._tag === "Slot" && what.slot === target ? [binding, { _tag: "Empty" }] : [binding, what]
  );
};

/** Whether two operands are one. */
export const isSame = (instr: { readonly op: OpName; readonly args: ReadonlyArray<Slot> }, a: string, b: string): boolean =>
  slotOf(instr, a) !== NONE && slotOf(instr, a) === slotOf(instr, b);

/** The parameters as words in the order of the op table, then these whole numbers. */
export function paramWords(instr: Pick<Instr, "op" | "params">, extra: ReadonlyArray<number> = []): Uint32Array<ArrayBuffer> {
  const params: Readonly<Record<string, number | string | boolean>> = instr.params;
  const specs = ops[instr.op].params;
  const words = new Uint32Array(specs.length + extra.length);
  const view = new DataView(words.buffer);
  for (const [i, spec] of specs.entries()) {
    const value = params[spec.name];
    if (spec.type === "f32") view.setFloat32(4 * i, Number(value), true);
    else view.setUint32(4 * i, spec.type === "choice" ? spec.choices.indexOf(String(value)) : Number(value), true);
  }
  words.set(extra, specs.length);
  return words;
}

/** Most workgroups in one dimension, a power of two below what every device has. */
const across = 32768;

/** So many workgroups, in rows of {@link across}. */
export const groups = (count: number): Grid => [Math.min(count, across), Math.ceil(count / across), 1];

/** Workgroups of 64 for so many invocations. */
export const invocations = (count: number): Grid => groups(Math.ceil(count / 64));

/** Most workgroups that share the rows of a head. */
export const mostShares = 1024;

/** Slots that an operand has memory for. */
export function slotsIn(instr: Instr, name: string): (size: SizeOf) => number {
  const i = ops[instr.op].operands.findIndex((operand) => operand.name === name);
  const need = operandSizes(instr)[i];
  const bytes = need?._tag === "PerSlot" ? need.bytes : 0;
  return (size) => bytes === 0 ? 0 : Math.floor(size(instr.args[i] ?? NONE) / bytes);
}

/** How rows are stored: bits of a number, channels that are written together or share a scale and an offset, rows that do, and channels that
 * are stored if not all are. */
export interface RowForm {
  readonly bits: number;
  readonly group: number;
  readonly block: number;
  readonly kept: number;
}

/** The form of rows of `dim` channels under a codec. */
export function formOf(name: RowCodec, dim: number): RowForm {
  const codec = codecOf(name);
  if (codec._tag === "Plain") return { bits: codec.dtype === "f32" ? 32 : 16, group: 1, block: 1, kept: 0 };
  if (codec._tag === "Channels") return { bits: 16, group: dim, block: 1, kept: keptChannels(dim, codec.percent) };
  return { bits: codec.bits, group: codec.axis === "token" ? codec.group ?? Math.max(1, dim) : 1, block: blockRows(codec), kept: 0 };
}

/** The form of the rows in the binding of this name, as constants of `kernels/wgsl/parts/stored.wgsl`. */
export const storedAs = (name: string, { bits, group, block, kept }: RowForm): Readonly<Record<string, number>> => ({
  [`${name}Bits`]: bits,
  [`${name}Group`]: group,
  [`${name}Block`]: block,
  [`${name}Kept`]: kept,
});

/** A dispatch of the shader of the op's name and its entry of that name, parameters without extras. */
export const plain = (
  instr: Instr & { readonly op: ShaderName },
  grid: (size: SizeOf) => Grid,
  changes: Partial<Dispatch> = {},
): Dispatch => ({
  shader: instr.op,
  entry: instr.op,
  constants: {},
  bound: operands(instr),
  words: () => paramWords(instr),
  grid,
  ...changes,
});

/** Work of one dispatch. */
export const only = (dispatch: Dispatch): Work => ({ dispatches: [dispatch], scratch: 0 });
