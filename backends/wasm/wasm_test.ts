import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { type KvError, showError } from "../../cache/error.ts";
import type { Buffer } from "../../cache/types.ts";
import type { Backend, Binding } from "../backend.ts";
import { type Instr, NONE, type Program } from "../program.ts";
import { toolchain } from "./_toolchain.ts";
import { moduleBytes } from "./instance.ts";
import { openWasm, type WasmOptions } from "./mod.ts";

const get = <A>(either: E.Either<KvError, A>): A => {
  if (E.isLeft(either)) throw new Error(showError(either.left));
  return either.right;
};
const tagOf = <A>(either: E.Either<KvError, A>): string => E.isLeft(either) ? either.left._tag : "Right";

const both: ReadonlyArray<WasmOptions> = [{ build: "simd128" }, { build: "fast", threads: 2 }];
const nothingLive = { buffers: 0, weights: 0, scratch: 0, programs: 0 };

function bufferOf(backend: Backend, numbers: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, label: string): Buffer {
  const buffer = get(backend.alloc(numbers.byteLength, label)());
  get(backend.write(buffer, 0, new Uint8Array(numbers.buffer))());
  return buffer;
}

const add: Instr = { op: "map", args: [0, 1, NONE, 2], params: { fn: "add", count: 5, value: 0, heads: 0 } };
const sum: Program = {
  label: "sum",
  values: [{ _tag: "Bound", name: "a" }, { _tag: "Temp", label: "double", bytes: 20 }, { _tag: "Bound", name: "out" }],
  body: [{ op: "map", args: [0, 0, NONE, 1], params: { fn: "add", count: 5, value: 0, heads: 0 } }, add],
};

Deno.test("the modules are those of the recorded build, and small", async () => {
  for (const build of ["fast", "simd128"] as const) {
    const bytes = await moduleBytes(build);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    assertEquals(digest.toHex(), toolchain[build]);
    assert(bytes.length < 428_000, `${bytes.length} bytes`);
  }
});

for (const options of both) {
  Deno.test(`${options.build}: a program with a temporary computes, and every byte is given back`, async () => {
    await using backend = get(await openWasm(options)());
    const [a, out] = [bufferOf(backend, Float32Array.of(1, 2, 3, 4, 5), "a"), get(backend.alloc(20, "out")())];
    assertEquals(backend.liveBytes(), { ...nothingLive, buffers: 128 });
    const prepared = get(await backend.prepare(sum, {})());
    assertEquals([prepared.scratchBytes, backend.liveBytes().scratch], [64, 64]);
    get(backend.run(prepared, { a: { buffer: a }, out: { buffer: out } })());
    assertEquals([...new Float32Array(get(await backend.read(out, 0, 20)()).buffer)], [3, 6, 9, 12, 15]);
    get(backend.release(prepared)());
    for (const buffer of [a, out]) get(backend.free(buffer)());
    assertEquals(backend.liveBytes(), nothingLive);
  });

  Deno.test(`${options.build}: stale handles, small buffers and missing bindings are values`, async () => {
    const backend = get(await openWasm(options)());
    const [a, out] = [get(backend.alloc(20, "a")()), get(backend.alloc(16, "out")())];
    const prepared = get(await backend.prepare(sum, {})());
    const run = (bindings: Readonly<Record<string, Binding>>): string => tagOf(backend.run(prepared, bindings)());
    assertEquals(run({ a: { buffer: a } }), "ShapeMismatch");
    assertEquals(run({ a: { buffer: a }, out: { buffer: out } }), "ShapeMismatch", "16 bytes for 5 numbers");
    assertEquals(run({ a: { buffer: a, offset: 4 }, out: { buffer: a } }), "ShapeMismatch", "an offset between alignments");
    get(backend.free(out)());
    assertEquals(run({ a: { buffer: a }, out: { buffer: out } }), "StaleHandle");
    assertEquals(tagOf(backend.free(out)()), "StaleHandle");
    assertEquals(tagOf(backend.write(a, 16, new Uint8Array(5))()), "ShapeMismatch");
    await backend.close();
    await backend.close();
    assertEquals(run({ a: { buffer: a }, out: { buffer: a } }), "StaleHandle");
    assertEquals(tagOf(backend.alloc(1, "late")()), "StaleHandle");
    assertEquals(backend.liveBytes(), nothingLive);
  });

  Deno.test(`${options.build}: memory grows up to the limit, then OutOfMemory, and views follow`, async () => {
    await using backend = get(await openWasm({ ...options, maxMemoryBytes: 2 ** 24 })());
    const early = bufferOf(backend, Uint32Array.of(7, 8), "early");
    const large = get(backend.alloc(2 ** 23, "large")());
    assertEquals([...new Uint32Array(get(await backend.read(early, 0, 8)()).buffer)], [7, 8]);
    const refused = backend.alloc(2 ** 23, "too much")();
    assertEquals(refused, E.left({ _tag: "OutOfMemory", requested: 2 ** 23, inUse: 2 ** 23 + 64, limit: 2 ** 24 }));
    get(backend.free(large)());
    get(backend.alloc(2 ** 23, "again")());
  });

  Deno.test(`${options.build}: a layout that points outside its buffer ends the run and touches nothing`, async () => {
    await using backend = get(await openWasm(options)());
    const [column, layout] = [
      bufferOf(backend, new Float32Array(16), "column"),
      bufferOf(backend, Uint32Array.of(2 ** 30, 1, 1), "layout"),
    ];
    const extend: Program = {
      label: "extend",
      values: [{ _tag: "Bound", name: "column" }, { _tag: "Bound", name: "layout" }],
      body: [{ op: "extend", args: [0, 1], params: { m: 1, heads: 1, value: 1 } }],
    };
    const prepared = get(await backend.prepare(extend, {})());
    assertEquals(tagOf(backend.run(prepared, { column: { buffer: column }, layout: { buffer: layout } })()), "ShapeMismatch");
    get(backend.write(layout, 0, new Uint8Array(Uint32Array.of(3, 1, 1).buffer))());
    get(backend.run(prepared, { column: { buffer: column }, layout: { buffer: layout } })());
    assertEquals(new Float32Array(get(await backend.read(column, 0, 64)()).buffer)[3], 1);
  });
}

Deno.test("options out of range are InvalidArgument", async () => {
  const bad: ReadonlyArray<WasmOptions> = [{ threads: 0 }, { threads: 65 }, { threads: 1.5 }, { build: "simd128", threads: 2 }, {
    maxMemoryBytes: 1,
  }];
  for (const options of bad) assertEquals(tagOf(await openWasm(options)()), "InvalidArgument");
});

Deno.test("bytes that are no module, or another module, are NoDevice", async () => {
  assertEquals(tagOf(await openWasm({ module: new Uint8Array(8) })()), "NoDevice");
  const empty = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
  assertEquals(tagOf(await openWasm({ module: empty })()), "NoDevice");
});

Deno.test("a rebuilt module can be given, as bytes or compiled", async () => {
  const bytes = await moduleBytes("simd128");
  for (const module of [bytes, await WebAssembly.compile(bytes)]) {
    await using backend = get(await openWasm({ module })());
    assertEquals(backend.name, "wasm-simd128");
  }
});

Deno.test("without SharedArrayBuffer auto falls back to simd128 and fast says why it cannot", async () => {
  const kept = globalThis.SharedArrayBuffer;
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  try {
    await using backend = get(await openWasm()());
    assertEquals(backend.name, "wasm-simd128");
    const refused = await openWasm({ build: "fast" })();
    assertEquals(refused._tag === "Left" && refused.left._tag === "NoDevice" && refused.left.because.includes("SharedArrayBuffer"), true);
  } finally {
    Object.defineProperty(globalThis, "SharedArrayBuffer", { value: kept, configurable: true, writable: true });
  }
});

Deno.test("where workers are refused auto falls back to simd128 and fast says so", async () => {
  const kept = globalThis.Worker;
  function refuse(): never {
    throw new TypeError("no workers on this page");
  }
  Reflect.set(globalThis, "Worker", refuse);
  try {
    await using backend = get(await openWasm({ threads: 2 })());
    assertEquals(backend.name, "wasm-simd128");
    const refused = await openWasm({ build: "fast", threads: 2 })();
    assertEquals(refused._tag === "Left" && showError(refused.left).includes("no workers on this page"), true);
  } finally {
    Reflect.set(globalThis, "Worker", kept);
  }
});

Deno.test("the same program gives the same bits on 1, 2 and 5 threads", async () => {
  const count = 50_000;
  const input = Float32Array.from({ length: count }, (_, i) => Math.sin(i) * 10);
  const program: Program = {
    label: "glu",
    values: [{ _tag: "Bound", name: "a" }, { _tag: "Bound", name: "out" }],
    body: [{ op: "glu", args: [0, 0, 1], params: { count, activation: "silu" } }, {
      op: "norm",
      args: [1, 2, 1],
      params: { rows: 500, dim: 100, eps: 1e-5 },
    }],
  };
  const ones = {
    name: "w",
    type: "F32",
    rows: 1,
    cols: 100,
    bytes: new Uint8Array(new Float32Array(100).fill(1).buffer),
    uses: ["vector"],
  } as const;
  const results = await Promise.all([1, 2, 5].map(async (threads) => {
    await using backend = get(await openWasm({ build: "fast", threads })());
    const w = get(backend.loadWeight(ones)());
    const [a, out] = [bufferOf(backend, input, "a"), get(backend.alloc(count * 4, "out")())];
    const prepared = get(await backend.prepare({ ...program, values: [...program.values, { _tag: "Weight", name: "w" }] }, { w })());
    get(backend.run(prepared, { a: { buffer: a }, out: { buffer: out } })());
    return get(await backend.read(out, 0, count * 4)());
  }));
  for (const result of results) assertEquals(result, results[0]);
});

Deno.test("lifecycle: 1,000 simd128 backends open, run and close", async () => {
  for (let i = 0; i < 1000; i++) {
    await using backend = get(await openWasm({ build: "simd128", maxMemoryBytes: 2 ** 24 })());
    const a = bufferOf(backend, Float32Array.of(1, 2, 3, 4, 5), "a");
    const prepared = get(await backend.prepare(sum, {})());
    get(backend.run(prepared, { a: { buffer: a }, out: { buffer: a } })());
  }
});

Deno.test("lifecycle: 50 fast backends start two helpers each, run and end them", async () => {
  for (let i = 0; i < 50; i++) {
    await using backend = get(await openWasm({ build: "fast", threads: 3, maxMemoryBytes: 2 ** 24 })());
    const a = bufferOf(backend, Float32Array.of(1, 2, 3, 4, 5), "a");
    const prepared = get(await backend.prepare(sum, {})());
    get(backend.run(prepared, { a: { buffer: a }, out: { buffer: a } })());
  }
});

Deno.test("fast: helpers that slept wake for the next run", async () => {
  await using backend = get(await openWasm({ build: "fast", threads: 2 })());
  const a = bufferOf(backend, Float32Array.of(1, 2, 3, 4, 5), "a");
  const prepared = get(await backend.prepare(sum, {})());
  for (let i = 0; i < 3; i++) {
    // Long enough for a spin to end in a sleep, even past its own timeout.
    await new Promise((resolve) => setTimeout(resolve, 150));
    get(backend.run(prepared, { a: { buffer: a }, out: { buffer: a } })());
  }
  assertEquals([...new Float32Array(get(await backend.read(a, 0, 20)()).buffer)], [27, 54, 81, 108, 135]);
});

Deno.test("fast: runs that end early do not let a helper fall behind", async () => {
  await using backend = get(await openWasm({ build: "fast", threads: 3 })());
  const a = bufferOf(backend, Float32Array.of(1, 2, 3, 4, 5), "a");
  const [layout, column] = [bufferOf(backend, Uint32Array.of(0, 9, 1), "layout"), get(backend.alloc(64, "column")())];
  const empty = get(await backend.prepare({ label: "empty", values: [], body: [] }, {})());
  const refused = get(
    await backend.prepare({
      label: "refused",
      values: [{ _tag: "Bound", name: "column" }, { _tag: "Bound", name: "layout" }],
      body: [{ op: "extend", args: [0, 1], params: { m: 1, heads: 1, value: 1 } }],
    }, {})(),
  );
  const scale: Instr = { op: "map", args: [0, NONE, NONE, 0], params: { fn: "neg", count: 5, value: 0, heads: 0 } };
  const negate = get(await backend.prepare({ label: "negate", values: [{ _tag: "Bound", name: "a" }], body: [scale, scale, scale] }, {})());
  for (let i = 0; i < 4000; i++) {
    get(backend.run(empty, {})());
    assertEquals(tagOf(backend.run(refused, { column: { buffer: column }, layout: { buffer: layout } })()), "ShapeMismatch");
    get(backend.run(negate, { a: { buffer: a } })());
  }
  assertEquals([...new Float32Array(get(await backend.read(a, 0, 20)()).buffer)], [1, 2, 3, 4, 5]);
});
