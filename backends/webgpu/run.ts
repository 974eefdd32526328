/**
 * Running: memory to bindings, then one command encoder and one submit. Bindings are made again only for what has moved since the last run.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../../cache/error.ts";
import type { Binding, Prepared, Result } from "../backend.ts";
import { ops } from "../ops.ts";
import { NONE, type Program, type Slot } from "../program.ts";
import { operandSizes } from "../sizes.ts";
import type { Bound, SizeOf } from "./kernel.ts";
import { checkRange, held, showBuffer } from "../held.ts";
import { alignment, type Encoded, type HeldProgram, type Place, type ReadyDispatch, type Store } from "./memory.ts";
import { showProgram } from "./programs.ts";

type Bindings = Readonly<Record<string, Binding>>;

/** Binds, encodes and submits. */
export function run(store: Store, prepared: Prepared, bindings: Bindings): Result<void> {
  const found = held(store.programs, prepared.id, showProgram(prepared));
  if (E.isLeft(found)) return found;
  const alive = store.device.check();
  if (E.isLeft(alive)) return alive;
  const program = found.right;
  const places = placesOf(store, program, bindings);
  if (E.isLeft(places)) return places;
  if (!isSame(program.places, places.right)) {
    const wrong = checkNeeds(program.prepared.program, places.right);
    if (wrong !== null) return E.left(wrong);
    encode(store, program, places.right);
  }
  store.unread.set(prepared.id, program.prepared.program);
  submit(store, program);
  return E.right(undefined);
}

const isSame = (a: ReadonlyArray<Place>, b: ReadonlyArray<Place>): boolean =>
  a.length === b.length && a.every((place, i) => isPlace(place, b[i]));

const isPlace = (a: Place | undefined, b: Place | undefined): boolean =>
  a !== undefined && b !== undefined && a.gpu === b.gpu && a.offset === b.offset && a.bytes === b.bytes;

/** What lies behind every slot, and behind it every region of scratch. */
function placesOf(store: Store, program: HeldProgram, bindings: Bindings): Result<ReadonlyArray<Place>> {
  const { label, values } = program.prepared.program;
  const places: Place[] = [];
  for (const [slot, value] of values.entries()) {
    if (value._tag === "Bound") {
      const binding = Object.hasOwn(bindings, value.name) ? bindings[value.name] : undefined;
      const at = `${label} binding ${value.name}`;
      if (binding === undefined) return E.left({ _tag: "ShapeMismatch", at, expected: "a buffer", actual: "none" });
      const place = placeOf(store, binding, at);
      if (E.isLeft(place)) return place;
      places.push(place.right);
    } else if (value._tag === "Weight") {
      const weight = program.weights.get(slot);
      if (weight !== undefined && !store.weights.has(weight.weight.id)) {
        return E.left({ _tag: "StaleHandle", handle: `weight ${weight.weight.name}` });
      }
      places.push({ gpu: weight?.tiles[0]?.gpu ?? store.empty, offset: 0, bytes: weight?.weight.bytes ?? 0 });
    } else {
      places.push({ gpu: regionOf(store, program.regionOf.get(slot)), offset: 0, bytes: value.bytes });
    }
  }
  for (const j of program.regions.keys()) places.push({ gpu: regionOf(store, j), offset: 0, bytes: program.regions[j] ?? 0 });
  return E.right(places);
}

const regionOf = (store: Store, j: number | undefined): GPUBuffer => store.regions[j ?? -1] ?? store.empty;

function placeOf(store: Store, { buffer, offset = 0 }: Binding, at: string): Result<Place> {
  const found = held(store.buffers, buffer.id, showBuffer(buffer));
  if (E.isLeft(found)) return found;
  const { gpu, buffer: { bytes } } = found.right;
  const range = checkRange(at, offset, 0, bytes);
  if (E.isLeft(range)) return range;
  if (offset % alignment === 0) return E.right({ gpu, offset, bytes: bytes - offset });
  return E.left({ _tag: "ShapeMismatch", at, expected: `an offset that is a multiple of ${alignment}`, actual: `${offset}` });
}

/** Why these places do not do: too small for an operand, or one memory under two names of which one is written. */
function checkNeeds({ label, values, body }: Program, places: ReadonlyArray<Place>): KvError | null {
  for (const [index, instr] of body.entries()) {
    const at = `${label}[${index}] ${instr.op}`;
    const sizes = operandSizes(instr);
    const written = new Map<GPUBuffer, Slot>();
    for (const [i, { name, use }] of ops[instr.op].operands.entries()) {
      const slot = instr.args[i] ?? NONE;
      const [place, size] = [places[slot], sizes[i]];
      if (place === undefined || values[slot]?._tag !== "Bound") continue;
      if (size?._tag === "Bytes" && size.bytes > place.bytes) {
        return { _tag: "ShapeMismatch", at, expected: `${size.bytes} bytes for ${name}`, actual: `${place.bytes}` };
      }
      if (use !== "in") written.set(place.gpu, slot);
    }
    for (const slot of instr.args) {
      const place = places[slot];
      const other = place === undefined ? undefined : written.get(place.gpu);
      if (other === undefined || other === slot) continue;
      return { _tag: "ShapeMismatch", at, expected: "memory that is written under one name only", actual: "one buffer under two names" };
    }
  }
  return null;
}

/** Parameters, grids and bind groups for these places. */
function encode(store: Store, program: HeldProgram, places: ReadonlyArray<Place>): void {
  const { device: { gpu } } = store;
  const size: SizeOf = (slot) => places[slot]?.bytes ?? 0;
  const words = new Uint32Array(program.dispatches.length * alignment / 4);
  const slots = program.prepared.program.values.length;
  const hasMoved = ({ dispatch, scratchRegion }: ReadyDispatch): boolean =>
    dispatch.bound.some(([, what]) => {
      const at = what._tag === "Scratch" ? slots + scratchRegion : what._tag === "Empty" ? -1 : what.slot;
      return at >= 0 && !isPlace(program.places[at], places[at]);
    });
  program.encoded = program.dispatches.map((ready, i): Encoded => {
    words.set(ready.dispatch.words(size), i * alignment / 4);
    const before = program.encoded[i];
    const group = before !== undefined && !hasMoved(ready) ? before.group : groupOf(store, program, ready, i, places);
    return { group, grid: ready.dispatch.grid(size) };
  });
  if (words.length > 0) gpu.queue.writeBuffer(program.params, 0, words);
  program.places = places;
}

function groupOf(store: Store, program: HeldProgram, ready: ReadyDispatch, index: number, places: ReadonlyArray<Place>): GPUBindGroup {
  const { dispatch, pipeline, scratchRegion } = ready;
  const resource = (what: Bound): GPUBufferBinding => {
    switch (what._tag) {
      case "Slot": {
        const place = places[what.slot];
        return place === undefined ? { buffer: store.empty } : { buffer: place.gpu, offset: place.offset };
      }
      case "Tile":
        return { buffer: program.weights.get(what.slot)?.tiles[what.tile]?.gpu ?? store.empty };
      case "Scratch":
        return { buffer: regionOf(store, scratchRegion) };
      case "Empty":
        return { buffer: store.empty };
    }
  };
  return store.device.gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [
      { binding: 0, resource: { buffer: program.params, offset: index * alignment, size: alignment } },
      { binding: 1, resource: { buffer: store.status } },
      ...dispatch.bound.map(([binding, what]) => ({ binding, resource: resource(what) })),
    ],
  });
}

function submit({ device: { gpu } }: Store, { prepared, dispatches, encoded }: HeldProgram): void {
  const encoder = gpu.createCommandEncoder({ label: prepared.program.label });
  const pass = encoder.beginComputePass();
  for (const [i, { group, grid: [x, y, z] }] of encoded.entries()) {
    const ready = dispatches[i];
    if (ready === undefined || x * y * z === 0) continue;
    pass.setPipeline(ready.pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y, z);
  }
  pass.end();
  gpu.queue.submit([encoder.finish()]);
}
