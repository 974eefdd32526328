/**
 * Which checks on the device an instruction needs first: numbers in memory that index other memory.
 * @module
 */
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
    for (const one of addressed) if (one.layout === slot && instr.op !== "copyRows" && instr.op !== "compact") known.add(keyOf(one));
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
    check("rows", { 2: at }, (size) => [headsOf(), growth, slotsOf(addressed, at)(size), 0, 0]);
  switch (instr.op) {
    case "embed":
      return [check("vocabulary", { 6: slotOf(instr, "ids") }, () => [instr.params.m, 0, rowsOf(slotOf(instr, "table")), 0, 0])];
    case "truncate":
      return [check("lengths", { 2: layout, 4: slotOf(instr, "counts") }, () => [headsOf(), 0, 0, 0, 0])];
    case "rejoin":
      return [check("ends", { 2: layout, 3: slotOf(instr, "tail"), 4: slotOf(instr, "counts") }, () => [headsOf(), 0, 0, 0, 0])];
    case "redundancy": {
      const others: Dispatch = {
        ...check("others", { 2: layout, 5: slotOf(instr, "like") }, (size) => [headsOf(), 0, slotsOf(addressed, layout)(size), 0, 0]),
        grid: (size) => invocations(slotsOf(addressed, layout)(size)),
      };
      return [rows(layout, 0), others];
    }
    case "compact":
    case "copyRows": {
      const isCompaction = instr.op === "compact";
      // `targets` binds counts in both cases; copying has none, and the layout stands in.
      const counts = isCompaction ? slotOf(instr, "counts") : source;
      const slots = slotsIn(instr, "target");
      const targets = check("targets", { 2: source, 3: target, 4: counts }, (size) => [headsOf(), 0, 0, slots(size), Number(isCompaction)]);
      const kept: Dispatch = {
        ...check(
          "kept",
          { 2: source, 4: counts, 5: slotOf(instr, "keep") },
          (size) => [headsOf(), 0, slotsOf(addressed, source)(size), 0, 0],
        ),
        grid: (size) => invocations(slotsOf(addressed, source)(size)),
      };
      return [rows(source, 0), targets, ...(isCompaction ? [kept] : [])];
    }
    default: {
      if (layout === NONE) return [];
      const known = checked.get(layout) ?? new Set();
      const isKnown = instr.op !== "append" && addressed.every((one) => known.has(keyOf(one)));
      return isKnown ? [] : [rows(layout, instr.op === "append" ? instr.params.m : 0)];
    }
  }
}
