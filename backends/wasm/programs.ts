/**
 * Programs: prepared once into linear memory, run by one call.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../../cache/error.ts";
import type { Binding, Prepared, Result, Weight } from "../backend.ts";
import { checkProgram } from "../check.ts";
import { ops } from "../ops.ts";
import type { Program } from "../program.ts";
import { encode, type Encoded, type Need } from "./encode.ts";
import { alignment } from "./heap.ts";
import { newPace, paced, threadsFor } from "./pace.ts";
import { checkRange, held, showBuffer } from "../held.ts";
import { fitArena, type HeldProgram, type HeldWeight, type Region, release, reserve, type Store } from "./memory.ts";

type Weights = Readonly<Record<string, Weight>>;
type Bindings = Readonly<Record<string, Binding>>;

const showProgram = ({ program, id }: Prepared): string => `program ${program.label} (#${id})`;

/** Checks, encodes and places a program. */
export const prepare = (store: Store, program: Program, weights: Weights): Result<Prepared> =>
  pipe(
    checkProgram(program, weights),
    E.chain(() => resolve(store, program, weights)),
    E.chain((byslot) => {
      const { kernels } = store.instance;
      const weightAt = (slot: number) => {
        const found = byslot.get(slot);
        return found === undefined ? undefined : { type: found.type, rows: found.weight.rows, cols: found.weight.cols, uses: found.uses };
      };
      return hold(store, program, byslot, encode({ program, weightAt, sizes: kernels, threads: store.threads }));
    }),
  );

/** The live weight of every slot that holds one. */
function resolve(store: Store, program: Program, weights: Weights): Result<ReadonlyMap<number, HeldWeight>> {
  const bySlot = new Map<number, HeldWeight>();
  for (const [slot, value] of program.values.entries()) {
    if (value._tag !== "Weight") continue;
    const weight = Object.hasOwn(weights, value.name) ? weights[value.name] : undefined;
    // A value that no instruction uses needs no weight.
    if (weight === undefined) continue;
    const found = held(store.weights, weight.id, `weight ${weight.name}`);
    if (E.isLeft(found)) return found;
    bySlot.set(slot, found.right);
  }
  return pipe(checkUses(program, bySlot), E.map(() => bySlot));
}

/** Bit of `uses` that each weight operand wants. */
const wanted: Readonly<Record<string, number>> = { "embed table": 2, "matmul weight": 1, "matmul bias": 4, "norm weight": 4 };
const useNames: Readonly<Record<number, string>> = { 1: "matmul", 2: "embed", 4: "vector" };

/** Right if every weight was loaded for what the program does with it. */
function checkUses({ label, body }: Program, weights: ReadonlyMap<number, HeldWeight>): Result<void> {
  for (const [index, { op, args }] of body.entries()) {
    for (const [i, { name }] of ops[op].operands.entries()) {
      const [bit, weight] = [wanted[`${op} ${name}`] ?? 0, weights.get(args[i] ?? -1)];
      if (weight === undefined || (weight.uses & bit) === bit) continue;
      return E.left<KvError>({
        _tag: "ShapeMismatch",
        at: `${label}[${index}] ${op} ${name}`,
        expected: `a weight loaded for the use ${useNames[bit]}`,
        actual: `${weight.weight.name}, loaded without it`,
      });
    }
  }
  return E.right(undefined);
}

/** Words, then the table of (address, bytes), in one region; the arena at its new size. */
function hold(store: Store, program: Program, weights: ReadonlyMap<number, HeldWeight>, encoded: Encoded): Result<Prepared> {
  const grown = encoded.arenaBytes > store.arena.bytes ? fitArena(store, encoded.arenaBytes) : E.right(undefined);
  return pipe(
    grown,
    E.chain(() => reserve(store, "programs", tableOffset(encoded) + encoded.slots * 8)),
    E.map((region) => {
      const prepared: Prepared = { id: store.nextId++, program, scratchBytes: encoded.arenaBytes };
      store.words.set(encoded.words, region.address / 4);
      const table = (region.address + tableOffset(encoded)) / 4;
      for (const [slot, weight] of weights) store.words.set([weight.address, weight.bytes], table + 2 * slot);
      store.programs.set(prepared.id, {
        ...region,
        prepared,
        encoded,
        weights: [...weights.values()],
        bound: boundOf(program, encoded),
        arena: -1,
        freed: store.freed,
        pace: newPace(tokensOf(program)),
      });
      return prepared;
    }),
    E.mapLeft((error) => {
      shrinkArena(store);
      return error;
    }),
  );
}

/** What a run has to bind. */
const boundOf = ({ values }: Program, { needs }: Encoded): HeldProgram["bound"] =>
  values.flatMap((value, slot) => value._tag === "Bound" ? [{ slot, name: value.name, need: needs.get(slot) ?? null }] : []);

/** Tokens of a run: those of its largest product. */
const tokensOf = ({ body }: Program): number =>
  body.reduce((most, instr) => instr.op === "matmul" ? Math.max(most, instr.params.m) : most, 0);

const tableOffset = ({ words }: Encoded): number => Math.ceil(words.length / 2) * 8;

/** The arena as the programs that are left need it. */
function shrinkArena(store: Store): void {
  let most = 0;
  for (const { encoded } of store.programs.values()) most = Math.max(most, encoded.arenaBytes);
  fitArena(store, most);
}

/** Forgets a program. */
export const releaseProgram = (store: Store, prepared: Prepared): Result<void> =>
  pipe(
    held(store.programs, prepared.id, showProgram(prepared)),
    E.map((program) => {
      store.programs.delete(prepared.id);
      release(store, "programs", program);
      shrinkArena(store);
    }),
  );

/** Binds and runs: one call into Wasm. */
export function run(store: Store, prepared: Prepared, bindings: Bindings): Result<void> {
  const found = held(store.programs, prepared.id, showProgram(prepared));
  if (E.isLeft(found)) return found;
  if (store.lost !== null) return E.left(store.lost);
  const bound = bind(store, found.right, bindings);
  return E.isLeft(bound) ? bound : execute(store, found.right);
}

/** Writes the addresses of this run into the table. */
function bind(store: Store, program: HeldProgram, bindings: Bindings): Result<void> {
  const { encoded, prepared: { program: { label } } } = program;
  if (program.freed !== store.freed) {
    const dead = program.weights.find(({ weight }) => !store.weights.has(weight.id));
    if (dead !== undefined) return E.left({ _tag: "StaleHandle", handle: `weight ${dead.weight.name}` });
    program.freed = store.freed;
  }
  const table = (program.address + tableOffset(encoded)) / 4;
  for (const { slot, name, need } of program.bound) {
    const binding = Object.hasOwn(bindings, name) ? bindings[name] : undefined;
    const place = binding === undefined ? null : placeOf(store, binding);
    if (place === null) return E.left(unbound(store, `${label} binding ${name}`, binding));
    if (need !== null && need.bytes > place.bytes) return tooSmall(program, need, place.bytes);
    store.words[table + 2 * slot] = place.address;
    store.words[table + 2 * slot + 1] = place.bytes;
  }
  if (program.arena !== store.arena.address) {
    for (const { slot, offset, bytes } of encoded.temps) store.words.set([store.arena.address + offset, bytes], table + 2 * slot);
    program.arena = store.arena.address;
  }
  return E.right(undefined);
}

function tooSmall({ prepared: { program: { label, body } } }: HeldProgram, need: Need, bytes: number): Result<never> {
  return E.left({
    _tag: "ShapeMismatch",
    at: `${label}[${need.index}] ${body[need.index]?.op}`,
    expected: `${need.bytes} bytes for ${need.operand}`,
    actual: `${bytes}`,
  });
}

/** Where a binding lies, or null if it is none that a program can take. */
function placeOf(store: Store, { buffer, offset = 0 }: Binding): Region | null {
  const found = store.buffers.get(buffer.id);
  if (found === undefined || !(offset >= 0 && offset <= found.buffer.bytes && offset % alignment === 0)) return null;
  return { address: found.address + offset, bytes: found.buffer.bytes - offset };
}

/** What is wrong with such a binding. */
function unbound(store: Store, at: string, binding: Binding | undefined): KvError {
  if (binding === undefined) return { _tag: "ShapeMismatch", at, expected: "a buffer", actual: "none" };
  const { buffer, offset = 0 } = binding;
  const range = pipe(
    held(store.buffers, buffer.id, showBuffer(buffer)),
    E.chain((found) => checkRange(at, offset, 0, found.buffer.bytes)),
  );
  return E.isLeft(range)
    ? range.left
    : { _tag: "ShapeMismatch", at, expected: `an offset that is a multiple of ${alignment}`, actual: `${offset}` };
}

/** Error codes of the kernels, see `kernels/wasm/src/layout.rs`. */
const complaints: ReadonlyArray<readonly [expected: string, actual: string]> = [
  ["", ""],
  ["all threads", "a thread that died"],
  ["segments within their buffers", "a segment that reaches beyond"],
  ["ids that are rows of the table", "an id beyond"],
  ["rows within the capacity of their segment", "more rows than that"],
  ["counts and kept indices within their segment", "one beyond"],
];

function execute(store: Store, held: HeldProgram): Result<void> {
  const { address, encoded, prepared: { program: { label, body } } } = held;
  const { instance: { build, kernels }, helpers } = store;
  const threads = threadsFor(held.pace, store.threads);
  const lose = (because: string): Result<never> => {
    helpers.fail();
    store.lost = { _tag: "DeviceLost", backend: `wasm-${build}`, because };
    return E.left(store.lost);
  };
  try {
    const start = performance.now();
    const status = kernels.run(address, address + tableOffset(encoded), helpers.shared, threads, Number(store.mayWait));
    if (store.threads > 1) held.pace = paced(held.pace, threads === 1, (performance.now() - start) / 1000);
    if (status === 0) return E.right(undefined);
    const [code, index] = [status & 255, status >>> 8];
    if (code === 1) return lose(helpers.failure() ?? "a helper thread died");
    const [expected, actual] = complaints[code] ?? ["a known code", `${code}`];
    return E.left({ _tag: "ShapeMismatch", at: `${label}[${index}] ${body[index]?.op}`, expected, actual });
  } catch (error) {
    return lose(String(error));
  }
}
