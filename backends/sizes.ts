/**
 * How large operands must be, read off the axes of the op table: one place for every backend's checks.
 * @module
 */
import { codecOf, rowBytes, rowCodecs } from "../cache/codec.ts";
import { type OperandSpec, type OpName, ops } from "./ops.ts";
import type { Instr } from "./program.ts";

/** What an instruction needs of one operand. */
export type OperandSize =
  /** At least this many bytes. */
  | { readonly _tag: "Bytes"; readonly bytes: number }
  /** This many bytes for every slot that the layout names; known at run time only. */
  | { readonly _tag: "PerSlot"; readonly bytes: number }
  /** A weight of this shape; `rows` is null where any number of rows will do. */
  | { readonly _tag: "Weight"; readonly rows: number | null; readonly cols: number };

type Params = Readonly<Record<string, number | string | boolean>>;

/** Axes that are named otherwise than the parameter that gives them. */
const axisParams: Readonly<Record<string, ReadonlyArray<string>>> = {
  M: ["m"],
  Q: ["queries"],
  N: ["n"],
  K: ["k"],
  Hq: ["heads"],
  Hkv: ["kvHeads", "heads"],
  sourceDim: ["dim"],
  targetDim: ["dim"],
  firstDim: ["dim"],
  secondDim: ["dim"],
  wovenDim: ["dim"],
};

/** Extent of one axis, or null for `slots` and `vocab`, which no parameter gives. */
function extent(axis: string, params: Params): number | null {
  if (/^\d+$/.test(axis)) return Number(axis);
  if (axis === "G") return Number(params["heads"]) / Number(params["kvHeads"]);
  for (const name of axisParams[axis] ?? [axis]) {
    const value = params[name];
    if (typeof value === "number") return value;
  }
  return null;
}

/** Bytes of one slot or element: rows follow the codec of their axis (`keyDim` → `keyCodec`, `dim` → `codec`), bytes are bytes, all else has 4. */
function widthOf(spec: OperandSpec, axis: string, extent: number, params: Params): number {
  if (spec.kind !== "rows") return 4 * extent;
  if (axis === "rowBytes") return extent;
  const given = (axis.endsWith("Dim") ? params[axis.replace(/Dim$/, "Codec")] : undefined) ?? params["codec"];
  const codec = rowCodecs.find((name) => name === given);
  return rowBytes(codecOf(codec ?? "f32"), extent);
}

function sizeOf(spec: OperandSpec, params: Params): OperandSize {
  const axes = spec.axes.split(" ");
  const extents = axes.map((axis) => extent(axis, params));
  if (spec.kind === "weight") return { _tag: "Weight", rows: extents[0] ?? null, cols: extents[1] ?? 0 };
  const last = widthOf(spec, axes.at(-1) ?? "", extents.at(-1) ?? 1, params);
  const known = extents.slice(0, -1).reduce<number>((product, n) => product * (n ?? 1), last);
  return axes[0] === "slots" ? { _tag: "PerSlot", bytes: known } : { _tag: "Bytes", bytes: known };
}

/** Name of the layout that addresses an operand with memory for every slot, where the op has one.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(layoutNameOf("compact", "keep"), "sourceLayout");
 * assertEquals(layoutNameOf("unweave", "secondKeep"), "secondLayout");
 * ```
 */
export function layoutNameOf(op: OpName, operand: string): string | null {
  const layouts = ops[op].operands.flatMap(({ name, kind }) => kind === "layout" ? [name] : []);
  const tier = ["first", "second"].find((name) => operand.startsWith(name));
  const own = tier !== undefined ? `${tier}Layout` : operand === "target" ? "targetLayout" : "sourceLayout";
  return ["layout", own, "wovenLayout"].find((name) => layouts.includes(name)) ?? null;
}

/** Needs of every operand, in operand order. A column under `map` follows the layout if one is given, else `count`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const slice = { op: "slice", args: [0, 1], params: { from: 2, rows: 3, width: 4 } } as const;
 * assertEquals(operandSizes(slice)[1], { _tag: "Bytes", bytes: 48 });
 * ```
 */
export function operandSizes(instr: Instr): ReadonlyArray<OperandSize> {
  const op: OpName = instr.op;
  const params: Params = instr.params;
  const sizes = ops[op].operands.map((spec) => sizeOf(spec, params));
  if (instr.op === "slice") {
    return [{ _tag: "Bytes", bytes: (instr.params.from + instr.params.rows) * instr.params.width * 4 }, ...sizes.slice(1)];
  }
  if (instr.op === "map" && (instr.args[2] ?? -1) >= 0) {
    return sizes.map((size, i) => i === 2 ? size : { _tag: "PerSlot", bytes: 4 });
  }
  return sizes;
}
