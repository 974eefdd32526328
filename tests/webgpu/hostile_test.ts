/** What only a run can know, on a device that the host does not wait for: nothing is written, and the next read says what was wrong. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import type { Backend, Binding, Weight } from "../../backends/backend.ts";
import { type OpName, opNames, ops } from "../../backends/ops.ts";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { type Case, casesOf } from "../../conformance/mod.ts";
import { orThrow } from "../../run/mod.ts";
import { byCounts, caseWithRows, lies } from "../support/lies.ts";
import { withoutAdapter } from "../support/webgpu.ts";

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

/** For every layout that says which rows an op reads: its name, and a small case of one instruction whose first head holds rows. */
const victims = (op: OpName): ReadonlyArray<readonly [layout: string, Case]> =>
  ops[op].operands
    .filter(({ kind, use, name }) => kind === "layout" && use !== "out" && name !== "targetLayout" && !byCounts.has(op))
    .map(({ name }) => [name, caseWithRows(op, name)]);

/** Numbers that index other memory. */
const indices: ReadonlyArray<readonly [op: OpName, buffer: string, what: string, change: (words: Uint32Array) => void]> = [
  ["embed", "ids", "an id beyond the vocabulary", (words) => words.set([1 << 30])],
  ["compact", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["truncate", "counts", "a count beyond the capacity", (words) => words.set([0xFFFFFFFF])],
  ["lengthen", "counts", "a count beyond the capacity", (words) => words.set([0xFFFFFFFF])],
  ["transfer", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["foldValues", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["attendRows", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["weave", "firstLayout", "a list that reaches beyond its memory", (words) => words.set([0xFFFFFFFF, 0, 0])],
  ["weaveRows", "order", "a row that is not there", (words) => words.fill(0xFFFFFFFE)],
  ["unweave", "order", "a row of the second tier that is not there", (words) => words.fill(0xFFFFFFFF)],
  ["unweave", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["insertRows", "counts", "a count beyond the length", (words) => words.set([0xFFFFFFFF])],
  ["centroids", "layout", "room for labels beyond the memory", (words) => words.set([1 << 28], 2)],
  ["clusterScores", "layout", "room for labels beyond the memory", (words) => words.set([1 << 28], 2)],
];

Deno.test(
  { name: "webgpu writes nothing under a layout that reaches outside its memory, and the next read tells", ignore: withoutAdapter },
  async () => {
    await using backend = await orThrow(openWebGpu());
    for (const op of opNames.filter((op) => backend.supports(op))) {
      for (const [layout, one] of victims(op)) {
        for (const [lie, change] of Object.entries(lies)) {
          const outcome = await runChanged(backend, one, layout, change);
          assertEquals([op, layout, lie, outcome], [op, layout, lie, { tag: "ShapeMismatch", changed: [] }]);
        }
      }
    }
    assertEquals(backend.liveBytes(), { buffers: 0, weights: 0, scratch: 0, programs: 0 });
  },
);

/** Whether there is something to index: all heads of all layouts that are read from hold rows. */
const hasRows = ({ op, buffers }: Case, changed: string): boolean =>
  (buffers[changed]?.bytes.length ?? 0) > 0 && ops[op].operands.every(({ kind, name, use }) => {
    const words = new Uint32Array(buffers[name]?.bytes.slice().buffer ?? new ArrayBuffer(0));
    return kind !== "layout" || use === "out" || name === "targetLayout" || words.every((word, i) => i % 3 !== 1 || word > 0);
  });

Deno.test(
  { name: "webgpu writes nothing where ids or counts index what is not there, and the next read tells", ignore: withoutAdapter },
  async () => {
    await using backend = await orThrow(openWebGpu());
    for (const [op, buffer, what, change] of indices) {
      const one = casesOf(op).find((c) => hasRows(c, buffer));
      assert(one !== undefined);
      assertEquals([what, await runChanged(backend, one, buffer, change)], [what, { tag: "ShapeMismatch", changed: [] }]);
    }
  },
);
