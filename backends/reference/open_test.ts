import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend, WeightSource } from "../backend.ts";
import type { Buffer } from "../../cache/types.ts";
import type { KvError } from "../../cache/error.ts";
import { NONE, type Program } from "../program.ts";
import { openReference } from "./open.ts";

const right = <A>(result: E.Either<KvError, A>): A => {
  if (E.isLeft(result)) throw new Error(JSON.stringify(result.left));
  return result.right;
};
const tagOf = (result: E.Either<KvError, unknown>): string => E.isLeft(result) ? result.left._tag : "Right";

const open = async (maxBytes?: number): Promise<Backend> => right(await openReference(maxBytes === undefined ? {} : { maxBytes })());
const alloc = (backend: Backend, bytes: number): Buffer => right(backend.alloc(bytes, "rows")());
const words = (...numbers: ReadonlyArray<number>): Uint8Array => new Uint8Array(Uint32Array.from(numbers).buffer);

/** out = 2 * x through a temporary, of `count` numbers. */
const doubled = (count: number): Program => ({
  label: "doubled",
  values: [{ _tag: "Bound", name: "x" }, { _tag: "Temp", label: "t", bytes: count * 4 }, { _tag: "Bound", name: "out" }],
  body: [
    { op: "map", args: [0, NONE, NONE, 1], params: { fn: "copy", count, value: 0, heads: 0 } },
    { op: "map", args: [0, 1, NONE, 2], params: { fn: "add", count, value: 0, heads: 0 } },
  ],
});

const vector = (name: string, ...numbers: ReadonlyArray<number>): WeightSource => ({
  name,
  type: "F32",
  rows: 1,
  cols: numbers.length,
  bytes: new Uint8Array(Float32Array.from(numbers).buffer),
  uses: ["vector"],
});

Deno.test("memory is zero-filled, counted in multiples of 16 and given back exactly", async () => {
  await using backend = await open();
  const [a, b, c] = [alloc(backend, 1), alloc(backend, 16), alloc(backend, 0)];
  assertEquals([a.bytes, b.bytes, c.bytes], [1, 16, 0]);
  assertEquals([...right(await backend.read(a, 0, 1)())], [0]);
  assertEquals(backend.liveBytes(), { buffers: 32, weights: 0, scratch: 0, programs: 0 });
  for (const buffer of [b, a, c]) right(backend.free(buffer)());
  assertEquals(backend.liveBytes().buffers, 0);
});

Deno.test("what is written is read back, and a read is a copy", async () => {
  await using backend = await open();
  const buffer = alloc(backend, 8);
  right(backend.write(buffer, 4, words(7))());
  const copy = right(await backend.read(buffer, 0, 8)());
  assertEquals([...copy], [0, 0, 0, 0, 7, 0, 0, 0]);
  copy.fill(9);
  assertEquals([...right(await backend.read(buffer, 4, 4)())], [7, 0, 0, 0]);
});

Deno.test("reads and writes outside the size asked for are refused, inside the padding too", async () => {
  await using backend = await open();
  const buffer = alloc(backend, 10);
  const ranges = [[0, 11], [10, 1], [-1, 1], [0.5, 1], [11, 0], [NaN, 0]] as const;
  for (const [offset, length] of ranges) {
    assertEquals([offset, tagOf(await backend.read(buffer, offset, length)())], [offset, "ShapeMismatch"]);
    assertEquals([offset, tagOf(backend.write(buffer, offset, new Uint8Array(length))())], [offset, "ShapeMismatch"]);
  }
  assertEquals(tagOf(backend.write(buffer, 10, new Uint8Array(0))()), "Right");
});

Deno.test("OutOfMemory names the request, what is in use and the limit; nothing is held afterwards", async () => {
  await using backend = await open(70);
  alloc(backend, 40);
  assertEquals(backend.alloc(17, "more")(), E.left({ _tag: "OutOfMemory", requested: 17, inUse: 48, limit: 70 }));
  assertEquals(tagOf(backend.loadWeight(vector("w", 1, 2, 3, 4, 5))()), "OutOfMemory");
  assertEquals(backend.liveBytes().buffers, 48);
  assertEquals(tagOf(backend.alloc(16, "fits")()), "Right");
});

Deno.test("the scratch of a run counts against the limit", async () => {
  await using backend = await open(64);
  const [x, out] = [alloc(backend, 16), alloc(backend, 16)];
  const fits = right(await backend.prepare(doubled(4), {})());
  assertEquals(fits.scratchBytes, 16);
  assertEquals(tagOf(backend.run(fits, { x: { buffer: x }, out: { buffer: out } })()), "Right");
  alloc(backend, 32);
  assertEquals(tagOf(backend.run(fits, { x: { buffer: x }, out: { buffer: out } })()), "OutOfMemory");
});

Deno.test("sizes and limits that are not whole numbers from 0 are refused", async () => {
  await using backend = await open();
  for (const bytes of [-1, 1.5, NaN, Infinity]) assertEquals(tagOf(backend.alloc(bytes, "bad")()), "InvalidArgument");
  assertEquals(tagOf(await openReference({ maxBytes: -1 })()), "InvalidArgument");
});

Deno.test("ids are never used again, so a freed buffer is stale for ever", async () => {
  await using backend = await open();
  const first = alloc(backend, 16);
  right(backend.free(first)());
  const second = alloc(backend, 16);
  assert(second.id !== first.id);
  for (const result of [backend.free(first)(), backend.write(first, 0, words())(), await backend.read(first, 0, 0)()]) {
    assertEquals(tagOf(result), "StaleHandle");
  }
});

Deno.test("a run refuses stale buffers and weights, missing bindings and offsets off the alignment", async () => {
  await using backend = await open();
  const [x, out, gone] = [alloc(backend, 32), alloc(backend, 32), alloc(backend, 32)];
  right(backend.free(gone)());
  const prepared = right(await backend.prepare(doubled(2), {})());
  const run = (bindings: Parameters<Backend["run"]>[1]): string => tagOf(backend.run(prepared, bindings)());
  assertEquals(run({ x: { buffer: x }, out: { buffer: gone } }), "StaleHandle");
  assertEquals(run({ x: { buffer: x } }), "ShapeMismatch");
  assertEquals(run({ x: { buffer: x, offset: 4 }, out: { buffer: out } }), "ShapeMismatch");
  assertEquals(run({ x: { buffer: x, offset: 48 }, out: { buffer: out } }), "ShapeMismatch");
  assertEquals(run({ x: { buffer: x, offset: 32 }, out: { buffer: out } }), "ShapeMismatch");
  assertEquals(run({ x: { buffer: x, offset: 16 }, out: { buffer: out } }), "Right");
});

Deno.test("a temporary starts as NaN, so a program that reads one first is found out", async () => {
  await using backend = await open();
  const out = alloc(backend, 4);
  const program: Program = {
    label: "reads first",
    values: [{ _tag: "Temp", label: "t", bytes: 4 }, { _tag: "Bound", name: "out" }],
    body: [{ op: "map", args: [0, NONE, NONE, 1], params: { fn: "scale", count: 1, value: 0, heads: 0 } }],
  };
  const prepared = right(await backend.prepare(program, {})());
  right(backend.run(prepared, { out: { buffer: out } })());
  assertEquals(new Float32Array(right(await backend.read(out, 0, 4)()).buffer)[0], NaN);
});

Deno.test("a released program and a freed weight are stale", async () => {
  await using backend = await open();
  const weight = right(backend.loadWeight(vector("w", 3, 4))());
  assertEquals(backend.liveBytes().weights, weight.bytes);
  const program: Program = {
    label: "normed",
    values: [{ _tag: "Bound", name: "x" }, { _tag: "Weight", name: "w" }],
    body: [{ op: "norm", args: [0, 1, 0], params: { rows: 1, dim: 2, eps: 0 } }],
  };
  const prepared = right(await backend.prepare(program, { w: weight })());
  const bindings = { x: { buffer: alloc(backend, 8) } };
  right(backend.run(prepared, bindings)());
  right(backend.freeWeight(weight)());
  assertEquals(backend.liveBytes().weights, 0);
  assertEquals(tagOf(backend.run(prepared, bindings)()), "StaleHandle");
  assertEquals(tagOf(backend.freeWeight(weight)()), "StaleHandle");
  assertEquals(tagOf(await backend.prepare(program, { w: weight })()), "StaleHandle");
  right(backend.release(prepared)());
  assertEquals(tagOf(backend.release(prepared)()), "StaleHandle");
  assertEquals(tagOf(backend.run(prepared, bindings)()), "StaleHandle");
});

Deno.test("after close every handle is stale and nothing is held", async () => {
  const backend = await open();
  const buffer = alloc(backend, 16);
  const prepared = right(await backend.prepare(doubled(1), {})());
  await backend.close();
  assertEquals(backend.liveBytes(), { buffers: 0, weights: 0, scratch: 0, programs: 0 });
  assertEquals(tagOf(backend.alloc(1, "late")()), "StaleHandle");
  assertEquals(tagOf(backend.free(buffer)()), "StaleHandle");
  assertEquals(tagOf(backend.run(prepared, {})()), "StaleHandle");
  assertEquals(tagOf(await backend.prepare(doubled(1), {})()), "StaleHandle");
  assertEquals(tagOf(backend.loadWeight(vector("w", 1))()), "StaleHandle");
});

/** Runs one `extend` over a layout, on a column of four slots. */
async function extendOver(layout: ReadonlyArray<number>): Promise<string> {
  await using backend = await open();
  const [column, words3] = [alloc(backend, 16), alloc(backend, 12)];
  right(backend.write(words3, 0, words(...layout))());
  const program: Program = {
    label: "hostile",
    values: [{ _tag: "Bound", name: "column" }, { _tag: "Bound", name: "layout" }],
    body: [{ op: "extend", args: [0, 1], params: { m: 1, heads: 1, value: 1 } }],
  };
  const prepared = right(await backend.prepare(program, {})());
  return tagOf(backend.run(prepared, { column: { buffer: column }, layout: { buffer: words3 } })());
}

Deno.test("a layout that reaches outside its memory or beyond its capacity ends the run", async () => {
  assertEquals(await extendOver([0, 4, 4]), "Right");
  assertEquals(await extendOver([1, 4, 4]), "ShapeMismatch");
  assertEquals(await extendOver([0xFFFFFFFF, 2, 4]), "ShapeMismatch");
  assertEquals(await extendOver([0, 3, 2]), "ShapeMismatch");
});

Deno.test("ids beyond the vocabulary end the run", async () => {
  await using backend = await open();
  const [ids, out] = [alloc(backend, 4), alloc(backend, 8)];
  const table = right(backend.loadWeight({ ...vector("table", 1, 2, 3, 4), rows: 2, cols: 2, uses: ["embed"] })());
  const program: Program = {
    label: "embedded",
    values: [{ _tag: "Weight", name: "table" }, { _tag: "Bound", name: "ids" }, { _tag: "Bound", name: "out" }],
    body: [{ op: "embed", args: [0, 1, 2], params: { m: 1, dim: 2, scale: 1 } }],
  };
  const prepared = right(await backend.prepare(program, { table })());
  const bindings = { ids: { buffer: ids }, out: { buffer: out } };
  right(backend.write(ids, 0, words(2))());
  assertEquals(tagOf(backend.run(prepared, bindings)()), "ShapeMismatch");
  right(backend.write(ids, 0, words(1))());
  assertEquals(tagOf(backend.run(prepared, bindings)()), "Right");
});
