import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { hash, kmeans } from "./cluster.ts";
import { viewOperands } from "./kernel.ts";

const bytes = (x: Float32Array | Uint32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** A seed under which clusters start from the first row of their stretch. */
const firsts = (stretches: ReadonlyArray<number>): number => {
  for (let seed = 0;; seed++) if (stretches.every((length, c) => hash(seed, c) % length === 0)) return seed;
};

Deno.test("kmeans: the worked example of ClusterKV, labels 0 0 1 1 2 0 1 from keys 0, 2, 4 as starts", () => {
  const keys = Float32Array.from([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0.05], [2, 0.1], [0, 3]].flat());
  const labels = new Float32Array(7).fill(-1);
  const means = new Float32Array(14);
  const operands = new Map([
    ["keys", bytes(keys)],
    ["position", bytes(Uint32Array.from([0, 1, 2, 3, 4, 5, 6]))],
    ["layout", bytes(Uint32Array.of(0, 7, 7))],
    ["labels", bytes(labels)],
    ["means", bytes(means)],
  ]);
  const params = {
    heads: 1,
    dim: 2,
    codec: "f32",
    per: 4,
    count: 3,
    sinks: 0,
    iterations: 20,
    stride: 2,
    seed: firsts([2, 2, 3]),
  } as const;
  kmeans(params, viewOperands(operands));
  assertEquals([...labels], [0, 0, 1, 1, 2, 0, 1]);
  // Centroids (1.3, 0.066667), (0.033333, 1.633333), (-1, 0.05).
  [1.3, 0.2 / 3, 0.1 / 3, 4.9 / 3, -1, 0.05].forEach((x, i) => assertAlmostEquals(means[i] ?? NaN, x, 1e-6));
});

Deno.test("kmeans: labels do not change when keys are scaled one by one, rows with labels keep them, and the ids of a later one follow", () => {
  const random = Array.from({ length: 80 }, (_, i) => Math.sin(i * 12.9898) * 43758.5453 % 1);
  const run = (scale: (t: number) => number, labels: Float32Array): Float32Array => {
    const keys = Float32Array.from(random, (x, i) => x * scale(i >> 1));
    const operands = new Map([
      ["keys", bytes(keys)],
      ["position", bytes(Uint32Array.from({ length: 40 }, (_, i) => i))],
      ["layout", bytes(Uint32Array.of(0, 40, 40))],
      ["labels", bytes(labels)],
      ["means", bytes(new Float32Array(80))],
    ]);
    kmeans({ heads: 1, dim: 2, codec: "f32", per: 8, count: 0, sinks: 3, iterations: 0, stride: 4, seed: 1 }, viewOperands(operands));
    return labels;
  };
  const none = () => new Float32Array(40).fill(-1);
  const plain = run(() => 1, none());
  assertEquals(run((t) => 0.5 + t, none()), plain);
  assertEquals([...plain.subarray(0, 3)], [-1, -1, -1], "sinks stay apart");
  assertEquals(new Set(plain.subarray(3)).size, 5, "round(37 / 8) clusters");
  const later = run(() => 1, Float32Array.from(plain, (x, t) => t < 20 ? x : -1));
  assertEquals([...later.subarray(0, 20)], [...plain.subarray(0, 20)]);
  const before = Math.max(...plain.subarray(0, 20));
  assert(later.subarray(20).every((x) => x > before), "new numbers follow the largest in use");
});
