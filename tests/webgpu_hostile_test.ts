/** What only a run can know, on a device that the host does not wait for: nothing is written, and the next read says what was wrong. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend, Binding, Weight } from "../backends/backend.ts";
import { type OpName, opNames, ops } from "../backends/ops.ts";
import { openWebGpu } from "../backends/webgpu/mod.ts";
import { type Case, casesOf } from "../conformance/mod.ts";
import { orThrow } from "../run/mod.ts";
import { withoutAdapter } from "./support/webgpu.ts";

/** What the first read after a run said, and the buffers that are no longer as they were. */
interface Outcome {
  readonly tag: string;
  readonly changed: ReadonlyArray<string>;
}

/** Runs a case whose buffer `name` holds other words. */
async function runChanged(backend: Backend, one: Case, name: string, change: (words: Uint32Array) => void): Promise<Outcome> {
  const held: { readonly name: string; readonly buffer: Binding["buffer"]; readonly bytes: Uint8Array }[] = [];
  for (const [key, data] of Object.entries(one.buffers)) {
    const bytes = data.bytes.slice();
    if (key === name) change(new Uint32Array(bytes.buffer));
    const buffer = await orThrow(backend.alloc(bytes.length, key));
    await orThrow(backend.write(buffer, 0, bytes));
    held.push({ name: key, buffer, bytes });
  }
  const weights: Record<string, Weight> = {};
  for (const source of one.weights) weights[source.name] = await orThrow(backend.loadWeight(source));
  const prepared = await orThrow(backend.prepare(one.program, weights));
  await orThrow(backend.run(prepared, Object.fromEntries(held.map(({ name, buffer }) => [name, { buffer }]))));
  const first = held[0];
  assert(first !== undefined);
  const said = await backend.read(first.buffer, 0, first.bytes.length)();
  const changed: string[] = [];
  for (const { name, buffer, bytes } of held) {
    const now = await orThrow(backend.read(buffer, 0, bytes.length));
    if (now.some((byte, i) => byte !== bytes[i])) changed.push(name);
    await orThrow(backend.free(buffer));
  }
  await orThrow(backend.release(prepared));
  for (const weight of Object.values(weights)) await orThrow(backend.freeWeight(weight));
  return { tag: E.isLeft(said) ? said.left._tag : "Right", changed };
}

/** Ways to lie about where rows are. */
const lies: Readonly<Record<string, (words: Uint32Array) => void>> = {
  "a start far outside": (words) => words.set([0xFFFFFFF0]),
  "a start just outside": (words) => words.set([1 << 20]),
  "a length beyond its capacity": (words) => words.set([(words[2] ?? 0) + 40], 1),
  "length and capacity beyond the memory": (words) => words.set([1 << 28, 1 << 28], 1),
  "a length that overflows with the start": (words) => words.set([0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF]),
};

/** A small case of one instruction whose first head holds rows, and the name of the layout that addresses them. */
function victim(op: OpName): readonly [Case, string] | null {
  const layout = ops[op].operands.find(({ kind }) => kind === "layout")?.name;
  if (layout === undefined || op === "truncate" || op === "rejoin" || op === "lengthen") return null;
  const found = casesOf(op).find((one) => {
    const words = new Uint32Array(one.buffers[layout]?.bytes.slice().buffer ?? new ArrayBuffer(0));
    return one.program.body.length === 1 && (words[1] ?? 0) >= 31 && !one.label.startsWith("extend: last 0");
  });
  assert(found !== undefined, `${op} has no case with rows in its first head`);
  return [found, layout];
}

/** Numbers that index other memory. */
const indices: ReadonlyArray<readonly [op: OpName, buffer: string, what: string, change: (words: Uint32Array) => void]> = [
  ["embed", "ids", "an id beyond the vocabulary", (words) => words.set([1 << 30])],
  ["compact", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["truncate", "counts", "a count beyond the capacity", (words) => words.set([0xFFFFFFFF])],
  ["lengthen", "counts", "a count beyond the capacity", (words) => words.set([0xFFFFFFFF])],
  ["transfer", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["foldValues", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["attendRows", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
];

Deno.test(
  { name: "webgpu writes nothing under a layout that reaches outside its memory, and the next read tells", ignore: withoutAdapter },
  async () => {
    await using backend = await orThrow(openWebGpu());
    for (const op of opNames.filter((op) => backend.supports(op))) {
      const [one, layout] = victim(op) ?? [];
      if (one === undefined || layout === undefined) continue;
      for (const [lie, change] of Object.entries(lies)) {
        const outcome = await runChanged(backend, one, layout, change);
        assertEquals([op, lie, outcome], [op, lie, { tag: "ShapeMismatch", changed: [] }]);
      }
    }
    assertEquals(backend.liveBytes(), { buffers: 0, weights: 0, scratch: 0, programs: 0 });
  },
);

Deno.test(
  { name: "webgpu writes nothing where ids or counts index what is not there, and the next read tells", ignore: withoutAdapter },
  async () => {
    await using backend = await orThrow(openWebGpu());
    for (const [op, buffer, what, change] of indices) {
      const one = casesOf(op).find((c) => (c.buffers[buffer]?.bytes.length ?? 0) > 0);
      assert(one !== undefined);
      assertEquals([what, await runChanged(backend, one, buffer, change)], [what, { tag: "ShapeMismatch", changed: [] }]);
    }
  },
);
