/**
 * Which checks on the device an instruction needs first: numbers in memory that index other memory.
 * @module
 */
import { blockRows, codecOf } from "../../cache/codec.ts";
import { type OpName, ops } from "../ops.ts";
import { type Instr, NONE, type Program, type Slot } from "../program.ts";
import { operandSizes } from "../sizes.ts";
import { type Bound, type Dispatch, groups, invocations, type SizeOf, slotOf, slotsIn } from "./kernel.ts";

/** What a complaint of `kernels/wgsl/check.wgsl` means, by its code. */
export const complaints: ReadonlyArray<readonly [expected: string, actual: string]> = [
  ["", ""],
  ["segments within their buffers", "a segment that reaches beyond"],
  ["ids that are rows of the table", "an id beyond"],
  ["rows within the capacity of their segment", "more rows than that"],
  ["counts and kept indices within their segment", "one beyond"],
  ["whole blocks of rows", "a part of one"],
];

/** An operand that a layout addresses: the layout's slot, the operand's, bytes per slot. */
interface Addressed {
  readonly layout: Slot;
  readonly operand: Slot;
  readonly bytes: number;
}

/** Names of the layouts that address an operand where an op has two. */
const layoutOf = (op: OpName, operand: string): string =>
  ops[op].operands.some(({ name }) => name === "layout") ? "layout" : operand === "target" ? "targetLayout" : "sourceLayout";

const addressedBy = (instr: Instr): ReadonlyArray<Addressed> => {
  const sizes = operandSizes(instr);
  return ops[instr.op].operands.flatMap(({ name }, i) => {
    const [size, operand, layout] = [sizes[i], instr.args[i] ?? NONE, slotOf(instr, layoutOf(instr.op, name))];
    // Where a layout is, `keep` and rows have memory per slot even if their axes name bytes.
    return size?._tag === "PerSlot" && size.bytes > 0 && operand !== NONE && layout !== NONE
      ? [{ layout, operand, bytes: size.bytes }]
      : [];
  });
};

const slotsOf = (addressed: ReadonlyArray<Addressed>, layout: Slot) => (size: SizeOf): number =>
  addressed.filter((a) => a.layout === layout).reduce(
    (least, { operand, bytes }) => Math.min(least, Math.floor(size(operand) / bytes)),
    0xFFFFFFFF,
  );

/** Checks per instruction, in order, for a program under this id. A layout that has been checked for the same memory is not checked again
 * before something else changes it. */
export function checksOf(program: Program, id: number, rowsOf: (slot: Slot) => number): ReadonlyArray<ReadonlyArray<Dispatch>> {
  const checked = new Map<Slot, Set<string>>();
  return program.body.map((instr, index) => {
    const made = checksFor(instr, index, id, rowsOf, checked);
    remember(instr, checked);
    return made;
  });
}

/** Ops from one layout to another, which check both each time. */
const movesRows = (op: OpName): boolean => op === "copyRows" || op === "compact" || op === "transfer";

const keyOf = ({ operand, bytes }: Addressed): string => `${operand} ${bytes}`;

/** After an instruction: layouts that it has checked are known for their operands, layouts that it writes otherwise are not. */
function remember(instr: Instr, checked: Map<Slot, Set<string>>): void {
  const addressed = addressedBy(instr);
  for (const [i, { use, name }] of ops[instr.op].operands.entries()) {
    const slot = instr.args[i] ?? NONE;
    if (use !== "in") checked.delete(slot);
    if (instr.op !== "append" && use !== "in") continue;
    if (name !== "layout" && name !== "sourceLayout") continue;
    const known = checked.get(slot) ?? new Set();
    for (const one of addressed) if (one.layout === slot && !movesRows(instr.op)) known.add(keyOf(one));
    checked.set(slot, known);
  }
}

function checksFor(
  instr: Instr,
  index: number,
  id: number,
  rowsOf: (slot: Slot) => number,
  checked: ReadonlyMap<Slot, ReadonlySet<string>>,
): ReadonlyArray<Dispatch> {
  const addressed = addressedBy(instr);
  const headsOf = (): number => {
    const params: Readonly<Record<string, number | string | boolean>> = instr.params;
    return Number(params["kvHeads"] ?? params["heads"] ?? 0);
  };
  const check = (entry: string, bound: Readonly<Record<number, Slot>>, numbers: (size: SizeOf) => ReadonlyArray<number>): Dispatch => ({
    shader: "check",
    entry,
    constants: {},
    bound: Object.entries(bound).map(([binding, slot]): readonly [number, Bound] => [Number(binding), { _tag: "Slot", slot }]),
    words: (size) => Uint32Array.of(id, index, ...numbers(size)),
    grid: () => groups(1),
  });
  const layout = slotOf(instr, "layout");
  const [source, target] = [slotOf(instr, "sourceLayout"), slotOf(instr, "targetLayout")];
  const rows = (at: Slot, growth: number): Dispatch =>
    check("rows", { 2: at }, (size) => [headsOf(), growth, slotsOf(addressed, at)(size), 0, 0, 1]);
  const kept = (at: Slot, mode: number): Dispatch => ({
    ...check(
      "kept",
      { 2: at, 4: slotOf(instr, "counts"), 5: slotOf(instr, "keep") },
      (size) => [headsOf(), 0, slotsOf(addressed, at)(size), 0, mode, 1],
    ),
    grid: (size) => invocations(Math.max(1, slotsOf(addressed, at)(size))),
  });
  switch (instr.op) {
    case "embed":
      return [check("vocabulary", { 6: slotOf(instr, "ids") }, () => [instr.params.m, 0, rowsOf(slotOf(instr, "table")), 0, 0, 1])];
    case "truncate":
      return [check("lengths", { 2: layout, 4: slotOf(instr, "counts") }, () => [headsOf(), 0, 0, 0, 0, 1])];
    case "rejoin":
      return [check("ends", { 2: layout, 3: slotOf(instr, "tail"), 4: slotOf(instr, "counts") }, () => [headsOf(), 0, 0, 0, 0, 1])];
    case "redundancy": {
      const others: Dispatch = {
        ...check("others", { 2: layout, 5: slotOf(instr, "like") }, (size) => [headsOf(), 0, slotsOf(addressed, layout)(size), 0, 0, 1]),
        grid: (size) => invocations(slotsOf(addressed, layout)(size)),
      };
      return [rows(layout, 0), others];
    }
    case "lengthen":
      return [check("lengths", { 2: layout, 4: slotOf(instr, "counts") }, () => [headsOf(), 1, 0, 0, 0, 1])];
    case "compact":
    case "transfer":
    case "copyRows": {
      const mode = instr.op === "copyRows" ? 0 : instr.op === "compact" ? 1 : 2;
      const block = instr.op === "transfer" ? blockRows(codecOf(instr.params.targetCodec)) : 1;
      // `targets` binds counts in any case; copying has none, and the layout stands in.
      const counts = mode === 0 ? source : slotOf(instr, "counts");
      const slots = slotsIn(instr, "target");
      const targets = check("targets", { 2: source, 3: target, 4: counts }, (size) => [headsOf(), 0, 0, slots(size), mode, block]);
      return [rows(source, 0), targets, ...(mode === 0 ? [] : [kept(source, mode)])];
    }
    case "foldValues":
      return [rows(layout, 0), kept(layout, 3)];
    case "attendRows":
      return [rows(layout, 0), kept(layout, 0)];
    default: {
      if (layout === NONE) return [];
      const known = checked.get(layout) ?? new Set();
      const isKnown = instr.op !== "append" && addressed.every((one) => known.has(keyOf(one)));
      return isKnown ? [] : [rows(layout, instr.op === "append" ? instr.params.m : 0)];
    }
  }
}
