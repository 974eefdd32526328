/** What only a run can know, because it lies in memory: layouts, ids, counts. Every backend refuses alike, and before it writes. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend, Binding, Weight } from "../backends/backend.ts";
import { type OpName, opNames, ops } from "../backends/ops.ts";
import { openReference } from "../backends/reference/mod.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { type KvError, showError } from "../cache/error.ts";
import { type Case, casesOf } from "../conformance/mod.ts";
import { byCounts, caseWithRows, lies } from "./support/lies.ts";

const right = <A>(result: E.Either<KvError, A>): A => {
  if (E.isLeft(result)) throw new Error(showError(result.left));
  return result.right;
};

/** What a run said, and the names of the buffers that are no longer as they were. */
interface Outcome {
  readonly tag: string;
  readonly changed: ReadonlyArray<string>;
}

/** Runs a case once, each buffer between two others that nobody names. */
async function run(backend: Backend, one: Case): Promise<Outcome> {
  const held: { readonly name: string; readonly buffer: Binding["buffer"]; readonly bytes: Uint8Array }[] = [];
  const bindings: Record<string, Binding> = {};
  for (const [name, { bytes }] of Object.entries(one.buffers)) {
    const buffer = right(backend.alloc(bytes.length, name)());
    const neighbour = right(backend.alloc(64, "neighbour")());
    right(backend.write(buffer, 0, bytes)());
    held.push({ name, buffer, bytes }, { name: `neighbour of ${name}`, buffer: neighbour, bytes: new Uint8Array(64) });
    bindings[name] = { buffer };
  }
  const weights: Record<string, Weight> = {};
  for (const source of one.weights) weights[source.name] = right(backend.loadWeight(source)());
  const prepared = right(await backend.prepare(one.program, weights)());
  const result = backend.run(prepared, bindings)();
  const changed: string[] = [];
  for (const { name, buffer, bytes } of held) {
    const now = right(await backend.read(buffer, 0, bytes.length)());
    if (now.some((byte, i) => byte !== bytes[i])) changed.push(name);
    right(backend.free(buffer)());
  }
  right(backend.release(prepared)());
  for (const weight of Object.values(weights)) right(backend.freeWeight(weight)());
  return { tag: E.isLeft(result) ? result.left._tag : "Right", changed };
}

/** The case with other words in one of its buffers. */
function corrupt(one: Case, name: string, change: (words: Uint32Array) => void): Case {
  const data = one.buffers[name];
  assert(data !== undefined);
  const bytes = data.bytes.slice();
  change(new Uint32Array(bytes.buffer));
  return { ...one, buffers: { ...one.buffers, [name]: { ...data, bytes } } };
}

/** A small case of an op of one instruction whose layout holds rows, and the name of the layout that addresses them. */
function victim(op: OpName): readonly [Case, string] | null {
  const layout = ops[op].operands.find(({ kind }) => kind === "layout")?.name;
  // These write lengths and touch no rows: their counts are lied about below.
  return layout === undefined || byCounts.has(op) ? null : [caseWithRows(op, layout), layout];
}

/** Numbers that index other memory. */
const indices: ReadonlyArray<readonly [op: OpName, buffer: string, what: string, change: (words: Uint32Array) => void]> = [
  ["embed", "ids", "an id beyond the vocabulary", (words) => words.set([1 << 30])],
  ["compact", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["attendRows", "counts", "more rows than there are", (words) => words.set([0xFFFFFFFF])],
  ["truncate", "counts", "a count beyond the capacity", (words) => words.set([0xFFFFFFFF])],
  ["lengthen", "counts", "a count beyond the room that is left", (words) => words.set([0xFFFFFFFF])],
  ["rejoin", "counts", "a count beyond what the capacity leaves", (words) => words.set([0xFFFFFFFF])],
  ["centroids", "layout", "room for labels beyond the memory", (words) => words.set([1 << 20], 2)],
  ["clusterScores", "layout", "room for labels beyond the memory", (words) => words.set([1 << 20], 2)],
  ["rejoin", "tail", "a tail before its segment", (words) => words.set([0])],
];

const backends: Readonly<Record<string, () => Promise<E.Either<KvError, Backend>>>> = {
  reference: openReference(),
  "wasm-simd128": openWasm({ build: "simd128" }),
  "wasm-fast": openWasm({ build: "fast", threads: 2 }),
};

for (const [name, open] of Object.entries(backends)) {
  Deno.test(`${name} refuses layouts that reach outside their memory, and writes nothing`, async () => {
    await using backend = right(await open());
    for (const op of opNames) {
      const [one, layout] = victim(op) ?? [];
      if (one === undefined || layout === undefined) continue;
      for (const [lie, change] of Object.entries(lies)) {
        assertEquals([op, lie, await run(backend, corrupt(one, layout, change))], [op, lie, { tag: "ShapeMismatch", changed: [] }]);
      }
    }
    assertEquals(backend.liveBytes().scratch, 0);
  });

  Deno.test(`${name} refuses ids and counts that index what is not there, and writes nothing`, async () => {
    await using backend = right(await open());
    for (const [op, buffer, what, change] of indices) {
      const words = (c: Case) => new Uint32Array(c.buffers[buffer]?.bytes.slice().buffer ?? new ArrayBuffer(0));
      const one = casesOf(op).find((c) => words(c).length > 0 && (buffer !== "layout" || (words(c)[1] ?? 0) > 0));
      assert(one !== undefined);
      assertEquals([what, await run(backend, corrupt(one, buffer, change))], [what, { tag: "ShapeMismatch", changed: [] }]);
    }
  });
}
