/**
 * Scores that outlive an attention: an `attendReduce` of one query wants what an `attend` before it has multiplied already.
 * @module
 */
import { layoutNameOf, operandSizes } from "../sizes.ts";
import { ops } from "../ops.ts";
import { type Instr, NONE, type Program, type Slot } from "../program.ts";

type OneQuery = Extract<Instr, { readonly op: "attend" | "attendReduce" }>;

/** Operands and parameters of both ops that scores depend on. */
const operands = ["q", "keys", "position", "layout", "queryPosition"] as const;
const params = ["heads", "kvHeads", "keyDim", "keyCodec", "scale", "window", "softcap"] as const;

/** An `attendReduce`, and the `attend` whose scores it can take over. */
interface Pair {
  readonly attend: number;
  readonly reduce: number;
  /** Query heads per KV head. */
  readonly group: number;
  /** Slots that the layout reaches at most. */
  readonly slots: number;
  /** Bound values written from the one to the other: at run time they may prove to be memory of an operand. */
  readonly written: ReadonlyArray<Slot>;
}

/** What kept scores add to a program. */
export interface KeptScores {
  /** Bytes of each place for scores; slots from the program's last value on. */
  readonly bytes: ReadonlyArray<number>;
  /** By instruction, the operands that follow its scratch. */
  readonly operands: ReadonlyMap<number, ReadonlyArray<Slot>>;
}

/** Finds every pair. `bytesOf` says what the scores of so many slots and of a group of query heads take. */
export function keptScores(program: Program, bytesOf: (slots: number, group: number) => number): KeptScores {
  const { body, values } = program;
  const found = body.some((instr) => instr.op === "attendReduce" && instr.params.queries === 1) ? pairsOf(program) : [];
  const attends = [...new Set(found.map(({ attend }) => attend))];
  const placeOf = (attend: number): Slot => values.length + attends.indexOf(attend);
  return {
    bytes: attends.map((index) => Math.max(...found.map(({ attend, slots, group }) => attend === index ? bytesOf(slots, group) : 0))),
    operands: new Map([
      ...body.flatMap(({ op }, i): ReadonlyArray<[number, ReadonlyArray<Slot>]> =>
        op === "attend" || op === "attendReduce" ? [[i, [NONE]]] : []
      ),
      ...attends.map((attend): [number, ReadonlyArray<Slot>] => [attend, [placeOf(attend)]]),
      ...found.map(({ attend, reduce, written }): [number, ReadonlyArray<Slot>] => [reduce, [placeOf(attend), ...written]]),
    ]),
  };
}

function pairsOf(program: Program): ReadonlyArray<Pair> {
  const slots = slotsByLayout(program);
  return program.body.flatMap((instr, i) => {
    const pair = instr.op === "attendReduce" && instr.params.queries === 1 ? pairOf(program, i, instr, slots) : null;
    return pair === null ? [] : [pair];
  });
}

/** The last `attend` of the same scores, unless something that they are made of is written after they are. */
function pairOf({ values, body }: Program, reduce: number, instr: OneQuery, slots: ReadonlyMap<Slot, number>): Pair | null {
  const made = madeOf(instr);
  const written = new Set<Slot>();
  for (let attend = reduce - 1; attend >= 0; attend--) {
    const before = body[attend];
    if (before === undefined) return null;
    const writes = writtenBy(before);
    if (writes.some((slot) => made.includes(slot))) return null;
    for (const slot of writes) if (values[slot]?._tag === "Bound") written.add(slot);
    if (before.op !== "attend" || !scoresAlike(before, instr)) continue;
    const [most, { heads, kvHeads }] = [slots.get(operandOf(instr, "layout")), instr.params];
    return most === undefined ? null : { attend, reduce, group: heads / kvHeads, slots: most, written: [...written] };
  }
  return null;
}

function scoresAlike(attend: Extract<Instr, { readonly op: "attend" }>, reduce: OneQuery): boolean {
  const [a, b] = [madeOf(attend), madeOf(reduce)];
  return attend.params.m === 1 && a.every((slot, i) => slot === b[i]) &&
    params.every((name) => attend.params[name] === reduce.params[name]);
}

const madeOf = (instr: OneQuery): ReadonlyArray<Slot> => operands.map((name) => operandOf(instr, name));

const operandOf = (instr: Instr, name: string): Slot => instr.args[ops[instr.op].operands.findIndex((o) => o.name === name)] ?? NONE;

const writtenBy = (instr: Instr): ReadonlyArray<Slot> =>
  ops[instr.op].operands.flatMap(({ use }, i) => use === "in" ? [] : [instr.args[i] ?? NONE]);

/** How far layouts reach at most, where that is known before a run: a temporary with memory for every slot bounds it. */
function slotsByLayout({ values, body }: Program): ReadonlyMap<Slot, number> {
  const most = new Map<Slot, number>();
  for (const instr of body) {
    const specs = ops[instr.op].operands;
    if (!specs.some(({ kind }) => kind === "layout")) continue;
    for (const [i, size] of operandSizes(instr).entries()) {
      const value = values[instr.args[i] ?? NONE];
      if (value?._tag !== "Temp" || size._tag !== "PerSlot" || size.bytes === 0) continue;
      const layout = operandOf(instr, layoutNameOf(instr.op, specs[i]?.name ?? "") ?? "");
      most.set(layout, Math.min(most.get(layout) ?? Infinity, Math.floor(value.bytes / size.bytes)));
    }
  }
  return most;
}
