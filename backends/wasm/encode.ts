/**
 * From a checked program to the words that the interpreter in `kernels/wasm/src/program.rs` reads, and the places of its values.
 * @module
 */
import type { Instr, Program } from "../program.ts";
import { NONE } from "../program.ts";
import { opNames, ops, type ParamSpec } from "../ops.ts";
import { operandSizes } from "../sizes.ts";
import { type Life, place } from "./arena.ts";
import type { Kernels } from "./instance.ts";
import { keptScores } from "./scores.ts";

/** What the encoder must know of a weight. */
export interface WeightForm {
  /** Index of the type among `weightTypes`. */
  readonly type: number;
  readonly rows: number;
  readonly cols: number;
  readonly uses: number;
}

/** What a bound buffer must hold at least, bytes, and for which operand. */
export interface Need {
  readonly bytes: number;
  readonly operand: string;
  readonly index: number;
}

/** A program ready to be written into memory. Slots are the program's values, then scores that are kept, then scratch of single ops. */
export interface Encoded {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly slots: number;
  /** Slot, offset in the arena and bytes of each temporary. */
  readonly temps: ReadonlyArray<{ readonly slot: number; readonly offset: number; readonly bytes: number }>;
  readonly arenaBytes: number;
  /** By slot, for bound values. */
  readonly needs: ReadonlyMap<number, Need>;
}

/** What the encoder asks of the module. */
export type Sizes = Pick<
  Kernels,
  | "matmulScratch"
  | "activationFormat"
  | "attendScratch"
  | "attendReduceScratch"
  | "keptScores"
  | "pageScoresScratch"
  | "newestLikeScratch"
  | "groupVotesScratch"
  | "tilesScratch"
  | "transferScratch"
>;

interface Context {
  readonly program: Program;
  /** The weight in a slot. */
  readonly weightAt: (slot: number) => WeightForm | undefined;
  readonly sizes: Sizes;
  readonly threads: number;
}

/** Scratch of one op: bytes, and whether it goes on using the previous op's, which holds the same quantised activations. */
interface Scratch {
  readonly bytes: number;
  readonly continues: boolean;
}

/** Encodes a program that passed `checkProgram`. */
export function encode(context: Context): Encoded {
  const { program, sizes, program: { values, body } } = context;
  const kept = keptScores(program, sizes.keptScores);
  const lives = [...values.map((value) => value._tag === "Temp" ? value.bytes : 0), ...kept.bytes]
    .map((bytes): Life => ({ bytes, from: Infinity, to: -1 }));
  const words: number[] = [body.length];
  let previous = NONE;
  for (const [index, instr] of body.entries()) {
    const scratch = scratchOf(context, instr, body[index - 1]);
    const slots = [...instr.args];
    if (scratch !== null) {
      previous = scratch.continues ? previous : lives.push({ bytes: 0, from: index, to: index }) - 1;
      slots.push(previous);
    }
    slots.push(...kept.operands.get(index) ?? []);
    for (const slot of slots) touch(lives, slot, index, slot === previous ? scratch?.bytes ?? 0 : 0);
    const params = [...encodeParams(instr), ...extraParams(context, instr, scratch?.continues ?? false)];
    words.push(opNames.indexOf(instr.op), 1 + slots.length + params.length, slots.length, ...slots.map((slot) => slot >>> 0), ...params);
  }
  const { offsets, bytes } = place(lives);
  const temps = lives.flatMap((life, slot) =>
    slot >= values.length || values[slot]?._tag === "Temp" ? [{ slot, offset: offsets[slot] ?? 0, bytes: life.bytes }] : []
  );
  return { words: Uint32Array.from(words), slots: lives.length, temps, arenaBytes: bytes, needs: needsOf(context.program) };
}

/** A slot is used by an instruction: its life reaches there, and it has at least these bytes. */
function touch(lives: Life[], slot: number, index: number, bytes: number): void {
  const life = lives[slot];
  if (life !== undefined) lives[slot] = { bytes: Math.max(life.bytes, bytes), from: Math.min(life.from, index), to: index };
}

function scratchOf(context: Context, instr: Instr, before: Instr | undefined): Scratch | null {
  const { sizes, weightAt, threads } = context;
  switch (instr.op) {
    case "matmul": {
      const { m, n, k } = instr.params;
      const type = weightAt(instr.args[1] ?? NONE)?.type ?? 0;
      return { bytes: sizes.matmulScratch(type, m, n, k), continues: sharesActivations(context, instr, before) };
    }
    case "attend":
    case "attendRows": {
      const { m, heads, kvHeads, keyDim, valueDim } = instr.params;
      return { bytes: sizes.attendScratch(m, heads, kvHeads, keyDim, valueDim, threads), continues: false };
    }
    case "attendReduce": {
      const { queries, heads, kvHeads, keyDim } = instr.params;
      return { bytes: sizes.attendReduceScratch(queries, heads, kvHeads, keyDim, threads), continues: false };
    }
    case "groupVotes": {
      const { queries, heads, kvHeads, keyDim } = instr.params;
      return { bytes: sizes.groupVotesScratch(queries, heads / kvHeads, keyDim, threads), continues: false };
    }
    case "pageScores": {
      const { heads, kvHeads, page, capacity, by } = instr.params;
      return { bytes: by === "max" ? 0 : sizes.pageScoresScratch(heads, kvHeads, page, capacity), continues: false };
    }
    case "newestLike":
      return { bytes: sizes.newestLikeScratch(instr.params.dim, threads), continues: false };
    case "centroids":
      return { bytes: sizes.tilesScratch(instr.params.dim, threads), continues: false };
    case "expectedAttention":
      return { bytes: sizes.tilesScratch(instr.params.keyDim, threads), continues: false };
    case "kmeans":
      // A record of 64 bytes per head, then room for each thread.
      return { bytes: 64 * instr.params.heads + sizes.tilesScratch(instr.params.dim, threads), continues: false };
    case "transfer":
      return { bytes: sizes.transferScratch(instr.params.dim, threads), continues: false };
    default:
      return null;
  }
}

/** Two matmuls in a row of one temporary, which the first leaves alone, quantise it alike: the second need not. */
function sharesActivations({ program, sizes, weightAt }: Context, instr: Instr, before: Instr | undefined): boolean {
  if (instr.op !== "matmul" || before?.op !== "matmul") return false;
  const format = (i: Instr): number => sizes.activationFormat(weightAt(i.args[1] ?? NONE)?.type ?? 0);
  const x = instr.args[0] ?? NONE;
  return x === before.args[0] && before.args[3] !== x && program.values[x]?._tag === "Temp" &&
    instr.params.m === before.params.m && instr.params.k === before.params.k &&
    format(instr) !== 0 && format(instr) === format(before);
}

/** What kernels need beyond the op table. */
function extraParams({ weightAt }: Context, instr: Instr, continues: boolean): ReadonlyArray<number> {
  if (instr.op === "matmul") return [weightAt(instr.args[1] ?? NONE)?.type ?? 0, Number(continues)];
  const table = instr.op === "embed" ? weightAt(instr.args[0] ?? NONE) : undefined;
  return table === undefined ? [] : [table.type, table.rows, table.cols, table.uses];
}

function encodeParams(instr: Instr): ReadonlyArray<number> {
  const params: Readonly<Record<string, number | string | boolean>> = instr.params;
  return ops[instr.op].params.map((spec) => encodeParam(spec, params[spec.name] ?? 0));
}

function encodeParam(spec: ParamSpec, value: number | string | boolean): number {
  if (spec.type === "choice") return spec.choices.indexOf(String(value));
  return spec.type === "f32" ? new Uint32Array(Float32Array.of(Number(value)).buffer)[0] ?? 0 : Number(value);
}

/** The largest known need of each bound value. Operands that a layout addresses are checked by the kernels, row for row. */
function needsOf({ values, body }: Program): ReadonlyMap<number, Need> {
  const needs = new Map<number, Need>();
  for (const [index, instr] of body.entries()) {
    const sizes = operandSizes(instr);
    for (const [i, { name }] of ops[instr.op].operands.entries()) {
      const [slot, size] = [instr.args[i] ?? NONE, sizes[i]];
      if (values[slot]?._tag !== "Bound" || size?._tag !== "Bytes") continue;
      if (size.bytes > (needs.get(slot)?.bytes ?? 0)) needs.set(slot, { bytes: size.bytes, operand: name, index });
    }
  }
  return needs;
}
