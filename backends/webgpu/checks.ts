/**
 * Which checks on the device an instruction needs first: numbers in memory that index other memory.
 * @module
 */
import { blockRows, codecOf } from "../../cache/codec.ts";
import { ops } from "../ops.ts";
import { type Instr, NONE, type Program, type Slot } from "../program.ts";
import { layoutNameOf, operandSizes } from "../sizes.ts";
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
  /** Whether all of a segment's capacity must lie in memory, not its rows alone: there is something for each label. */
  readonly isWhole: boolean;
}

const addressedBy = (instr: Instr): ReadonlyArray<Addressed> => {
  const sizes = operandSizes(instr);
  return ops[instr.op].operands.flatMap(({ name }, i) => {
    const [size, operand, layout] = [sizes[i], instr.args[i] ?? NONE, slotOf(instr, layoutNameOf(instr.op, name) ?? "")];
    // Where a layout is, `keep` and rows have memory per slot even if their axes name bytes.
    return size?._tag === "PerSlot" && size.bytes > 0 && operand !== NONE && layout !== NONE
      ? [{ layout, operand, bytes: size.bytes, isWhole: name === "index" || name === "promises" }]
      : [];
  });
};

/** Slots that all of these operands have memory for. */
const slotsOf = (addressed: ReadonlyArray<Addressed>) => (size: SizeOf): number =>
  addressed.reduce((least, { operand, bytes }) => Math.min(least, Math.floor(size(operand) / bytes)), 0xFFFFFFFF);

/** What is known of each layout: the operands in which its rows lie. */
type Known = Map<Slot, Set<string>>;

/** Checks per instruction, in order, for a program under this id. A layout that has been checked for the same memory is not checked again
 * before something else changes it. */
export function checksOf(program: Program, id: number, rowsOf: (slot: Slot) => number): ReadonlyArray<ReadonlyArray<Dispatch>> {
  const known: Known = new Map();
  return program.body.map((instr, index) => {
    const checks = checksFor({ instr, at: [id, index], addressed: addressedBy(instr), known, rowsOf });
    forget(instr, known);
    return checks;
  });
}

/** After an instruction: nothing is known of layouts that it has written, but that what was appended lies where the check said. */
function forget(instr: Instr, known: Known): void {
  if (instr.op === "append") return;
  for (const [i, { use }] of ops[instr.op].operands.entries()) if (use !== "in") known.delete(instr.args[i] ?? NONE);
}

/** An instruction, and what there is to know about it. */
interface Asked {
  readonly instr: Instr;
  /** Ids of the program and the instruction. */
  readonly at: readonly [program: number, instruction: number];
  readonly addressed: ReadonlyArray<Addressed>;
  readonly known: Known;
  readonly rowsOf: (slot: Slot) => number;
}

/** Params of the shader behind the heads, which every check has. */
interface Numbers {
  readonly growth?: number;
  readonly slots?: (size: SizeOf) => number;
  readonly targetSlots?: (size: SizeOf) => number;
  readonly mode?: number;
  readonly block?: number;
  /** In the place of heads. */
  readonly count?: number;
  readonly grid?: Dispatch["grid"];
}

function check({ instr, at }: Asked, entry: string, bound: Readonly<Record<number, string>>, numbers: Numbers = {}): Dispatch {
  const { growth = 0, slots, targetSlots, mode = 0, block = 1, grid } = numbers;
  const params: Readonly<Record<string, number | string | boolean>> = instr.params;
  const count = numbers.count ?? Number(params["kvHeads"] ?? params["heads"] ?? 0);
  return {
    shader: "check",
    entry,
    constants: {},
    bound: Object.entries(bound).map(([binding, name]): readonly [number, Bound] => [
      Number(binding),
      { _tag: "Slot", slot: slotOf(instr, name) },
    ]),
    words: (size) => Uint32Array.of(...at, count, growth, slots?.(size) ?? 0, targetSlots?.(size) ?? 0, mode, block),
    grid: grid ?? (() => groups(1)),
  };
}

/** That the rows of a layout lie in the memory of all that it addresses; nothing where that is known. */
function rows(asked: Asked, layout: string, growth = 0): ReadonlyArray<Dispatch> {
  const slot = slotOf(asked.instr, layout);
  const addressed = asked.addressed.filter((one) => one.layout === slot);
  const before = asked.known.get(slot) ?? new Set();
  const keys = addressed.map(({ operand, bytes, isWhole }) => `${operand} ${bytes} ${isWhole}`);
  asked.known.set(slot, new Set([...before, ...keys]));
  if (slot === NONE || (growth === 0 && keys.every((key) => before.has(key)))) return [];
  return [false, true].flatMap((isWhole) => {
    const own = addressed.filter((one) => one.isWhole === isWhole);
    if (isWhole && own.length === 0) return [];
    return [check(asked, "rows", { 2: layout }, { growth, slots: slotsOf(own), mode: Number(isWhole) })];
  });
}

/** A check of one number per slot of an operand. */
const perSlot = (asked: Asked, entry: string, bound: Readonly<Record<number, string>>, operand: string, mode = 0): Dispatch => {
  const slots = slotsIn(asked.instr, operand);
  return check(asked, entry, bound, { slots, mode, grid: (size) => invocations(Math.max(1, slots(size))) });
};

/** That counts and kept indices name rows of a layout. */
const kept = (asked: Asked, layout: string, mode = 0): Dispatch =>
  perSlot(asked, "kept", { 2: layout, 4: "counts", 5: "keep" }, "keep", mode);

/** That the codes of a woven list name rows of its tiers. */
const codes = (asked: Asked): Dispatch =>
  perSlot(asked, "codes", { 2: "wovenLayout", 3: "firstLayout", 7: "secondLayout", 5: "order" }, "order");

/** Rows from one layout to another: all of them (mode 0), or by counts, in place of what is there (1) or behind it (2). */
function moved(asked: Asked, mode: number): ReadonlyArray<Dispatch> {
  const { instr } = asked;
  const block = instr.op === "transfer" ? blockRows(codecOf(instr.params.targetCodec)) : 1;
  // `targets` binds counts in any case; copying has none, and the layout stands in.
  const bound = { 2: "sourceLayout", 3: "targetLayout", 4: mode === 0 ? "sourceLayout" : "counts" };
  const targets = check(asked, "targets", bound, { targetSlots: slotsIn(instr, "target"), mode, block });
  return [...rows(asked, "sourceLayout"), targets, ...(mode === 0 ? [] : [kept(asked, "sourceLayout", mode)])];
}

/** What must hold of both tiers of a woven list. */
const tiers = (asked: Asked): ReadonlyArray<Dispatch> => [...rows(asked, "firstLayout"), ...rows(asked, "secondLayout")];

function checksFor(asked: Asked): ReadonlyArray<Dispatch> {
  const { instr, rowsOf } = asked;
  switch (instr.op) {
    case "embed":
      return [check(asked, "vocabulary", { 6: "ids" }, { count: instr.params.m, slots: () => rowsOf(slotOf(instr, "table")) })];
    case "truncate":
      return [check(asked, "lengths", { 2: "layout", 4: "counts" })];
    case "lengthen":
      return [check(asked, "lengths", { 2: "layout", 4: "counts" }, { growth: 1 })];
    case "rejoin":
      return [check(asked, "ends", { 2: "layout", 3: "tail", 4: "counts" })];
    case "redundancy":
      return [...rows(asked, "layout"), perSlot(asked, "others", { 2: "layout", 5: "like" }, "like")];
    case "copyRows":
      return moved(asked, 0);
    case "compact":
      return moved(asked, 1);
    case "transfer":
      return moved(asked, 2);
    case "foldValues":
      return [...rows(asked, "layout"), kept(asked, "layout", 3)];
    case "dropChannels":
      return [...rows(asked, "layout"), perSlot(asked, "kept", { 2: "layout", 4: "leaving", 5: "leave" }, "leave")];
    case "attendRows":
      return [...rows(asked, "layout"), kept(asked, "layout")];
    case "weave":
      return [...tiers(asked), check(asked, "joined", { 2: "firstLayout", 3: "secondLayout" }, { targetSlots: slotsIn(instr, "order") })];
    case "weaveRows":
      return [...tiers(asked), ...rows(asked, "wovenLayout"), codes(asked)];
    case "unweave":
      return [...tiers(asked), ...rows(asked, "wovenLayout"), kept(asked, "wovenLayout"), codes(asked)];
    case "demote":
      return tiers(asked);
    case "insertRows":
      return [...rows(asked, "layout"), check(asked, "counted", { 2: "layout", 4: "counts" })];
    case "append":
      return rows(asked, "layout", instr.params.m);
    default:
      return rows(asked, "layout");
  }
}
