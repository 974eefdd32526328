/**
 * Preparing programs: dispatches, pipelines, places for temporaries.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import type { KvError } from "../../cache/error.ts";
import type { Prepared, Result, Weight } from "../backend.ts";
import { checkProgram } from "../check.ts";
import { ops } from "../ops.ts";
import { NONE, type Program, type Slot } from "../program.ts";
import { checksOf } from "./checks.ts";
import type { Dispatch, WeightForm, Work } from "./kernel.ts";
import { refusal, workOf } from "./kernels.ts";
import { held } from "../held.ts";
import { alignment, type HeldProgram, type HeldWeight, release, reserve, rounded, type Store } from "./memory.ts";
import { pipelinesOf } from "./pipelines.ts";
import { place } from "./place.ts";

type Weights = Readonly<Record<string, Weight>>;

/** How a message names a program. */
export const showProgram = ({ program, id }: Prepared): string => `program ${program.label} (#${id})`;

/** Checks a program, compiles what is missing, and holds it. */
export async function prepare(store: Store, program: Program, weights: Weights): Promise<Result<Prepared>> {
  const resolved = pipe(checkProgram(program, weights), E.chain(checkKernels), E.chain(() => resolve(store, program, weights)));
  if (E.isLeft(resolved)) return resolved;
  const id = store.nextId++;
  const bySlot = resolved.right;
  const works = program.body.map((instr) => workOf(instr, formIn(bySlot)));
  const checks = checksOf(program, id, (slot) => bySlot.get(slot)?.weight.rows ?? 0);
  const dispatches = works.flatMap((work, i) => [...checks[i] ?? [], ...work.dispatches]);
  const pipelines = await pipelinesOf(store, dispatches);
  if (E.isLeft(pipelines)) return pipelines;
  if (!store.isOpen) return E.left({ _tag: "StaleHandle", handle: "the backend webgpu" });
  return hold(store, { id, program, bySlot, works, checks, pipelines: pipelines.right });
}

const formIn = (bySlot: ReadonlyMap<Slot, HeldWeight>) => (slot: Slot): WeightForm => {
  const found = bySlot.get(slot);
  return { type: found?.weight.type ?? "F32", tiles: found?.tiles ?? [] };
};

/** Right if every instruction has a shader that can run it. */
function checkKernels(program: Program): Result<Program> {
  for (const [index, instr] of program.body.entries()) {
    const because = refusal(instr);
    if (because !== null) return E.left({ _tag: "Unsupported", what: `${program.label}[${index}] ${instr.op}`, where: "webgpu", because });
  }
  return E.right(program);
}

/** The live weight of every slot that an instruction uses, loaded for that use. */
function resolve(store: Store, program: Program, weights: Weights): Result<ReadonlyMap<Slot, HeldWeight>> {
  const bySlot = new Map<Slot, HeldWeight>();
  for (const [slot, value] of program.values.entries()) {
    const weight = value._tag === "Weight" && Object.hasOwn(weights, value.name) ? weights[value.name] : undefined;
    if (weight === undefined) continue;
    const found = held(store.weights, weight.id, `weight ${weight.name}`);
    if (E.isLeft(found)) return found;
    bySlot.set(slot, found.right);
  }
  for (const [index, { op, args }] of program.body.entries()) {
    for (const [i, { name, axes }] of ops[op].operands.entries()) {
      const weight = bySlot.get(args[i] ?? NONE);
      // A weight of one row by its axes is a norm or a bias.
      const isVector = axes.startsWith("1 ");
      if (weight === undefined || weight.isVector === isVector) continue;
      return E.left<KvError>({
        _tag: "ShapeMismatch",
        at: `${program.label}[${index}] ${op} ${name}`,
        expected: `a weight loaded for the use ${isVector ? "vector" : "matmul or embed"}`,
        actual: `${weight.weight.name}, loaded without it`,
      });
    }
  }
  return E.right(bySlot);
}

/** What a program came to. */
interface Parts {
  readonly id: number;
  readonly program: Program;
  readonly bySlot: ReadonlyMap<Slot, HeldWeight>;
  readonly works: ReadonlyArray<Work>;
  readonly checks: ReadonlyArray<ReadonlyArray<Dispatch>>;
  readonly pipelines: ReadonlyArray<GPUComputePipeline>;
}

function hold(store: Store, { id, program, bySlot, works, checks, pipelines }: Parts): Result<Prepared> {
  const places = place(program, works.map(({ scratch }) => scratch));
  const dispatches = works.flatMap((work, i) =>
    [...checks[i] ?? [], ...work.dispatches].map((dispatch) => ({ dispatch, scratchRegion: places.ofInstr.get(i) ?? -1 }))
  );
  const ready = dispatches.flatMap((one, i) => {
    const pipeline = pipelines[i];
    return pipeline === undefined ? [] : [{ ...one, pipeline }];
  });
  return pipe(
    fitRegions(store, [...[...store.programs.values()].map(({ regions }) => regions), places.regions]),
    E.chain(() => reserve(store, "programs", ready.length * alignment, program.label, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST)),
    E.map((params) => {
      const prepared: Prepared = { id, program, scratchBytes: places.regions.reduce((sum, bytes) => sum + bytes, 0) };
      store.programs.set(id, {
        prepared,
        weights: bySlot,
        dispatches: ready,
        regions: places.regions,
        regionOf: places.ofTemp,
        params,
        places: [],
        encoded: [],
      });
      return prepared;
    }),
    E.mapLeft((error) => {
      shrinkRegions(store);
      return error;
    }),
  );
}

/** Makes region j as large as the most demanding program needs; it has no content between runs. */
function fitRegions(store: Store, programs: ReadonlyArray<ReadonlyArray<number>>): Result<void> {
  const count = Math.max(0, ...programs.map((regions) => regions.length));
  for (const gone of store.regions.splice(count)) release(store, "scratch", gone);
  for (let j = 0; j < count; j++) {
    const bytes = Math.max(...programs.map((regions) => regions[j] ?? 0));
    const before = store.regions[j];
    if (before?.size === rounded(bytes)) continue;
    const made = reserve(store, "scratch", bytes, `scratch ${j}`);
    if (E.isLeft(made)) return made;
    if (before !== undefined) release(store, "scratch", before);
    store.regions[j] = made.right;
  }
  return E.right(undefined);
}

const shrinkRegions = (store: Store): Result<void> => fitRegions(store, [...store.programs.values()].map(({ regions }) => regions));

/** Forgets a program. */
export const releaseProgram = (store: Store, prepared: Prepared): Result<void> =>
  pipe(
    held(store.programs, prepared.id, showProgram(prepared)),
    E.chain((program: HeldProgram) => {
      store.programs.delete(prepared.id);
      release(store, "programs", program.params);
      return shrinkRegions(store);
    }),
  );
