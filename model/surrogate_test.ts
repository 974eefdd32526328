import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { uniformShape } from "../cache/mod.ts";
import { orThrow } from "../run/mod.ts";
import { readSafetensors, type TensorToWrite, writeSafetensors } from "./safetensors.ts";
import { readSurrogate } from "./surrogate.ts";

const shape = uniformShape({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 2 }); // hidden 8

const tensor = (name: string, dims: ReadonlyArray<number>): TensorToWrite => ({
  name,
  type: "F32",
  shape: dims,
  numbers: new Float32Array(dims.reduce((a, d) => a * d, 1)).fill(0.5),
});
const linear = [0, 1].flatMap((l) => [tensor(`layers.${l}.weight`, [2, 8]), tensor(`layers.${l}.bias`, [2])]);
const mlp = [0, 1].flatMap((l) => [
  ...[tensor(`layers.${l}.0.weight`, [3, 8]), tensor(`layers.${l}.0.bias`, [3])],
  ...[tensor(`layers.${l}.2.weight`, [2, 3]), tensor(`layers.${l}.2.bias`, [2])],
]);

const read = async (tensors: ReadonlyArray<TensorToWrite>) =>
  readSurrogate("s", shape)(await orThrow(readSafetensors("w", await orThrow(writeSafetensors(tensors)))));

Deno.test("the published names of both forms are read, layer by layer", async () => {
  const [a, b] = [await orThrow(await read(linear)), await orThrow(await read(mlp))];
  assertEquals(a.forms, [{ _tag: "Linear" }, { _tag: "Linear" }]);
  assertEquals(b.forms, [{ _tag: "Mlp", inner: 3 }, { _tag: "Mlp", inner: 3 }]);
  assertEquals(b.tensors.map(({ name, rows, cols }) => `${name} ${rows}x${cols}`).slice(4), [
    "learned.s.1.0.weight 3x8",
    "learned.s.1.0.bias 1x3",
    "learned.s.1.2.weight 2x3",
    "learned.s.1.2.bias 1x2",
  ]);
});

Deno.test("weights of another model, of too few or too many layers, or with a NaN are refused by tensor", async () => {
  const replaced = (i: number, by: TensorToWrite) => linear.map((t, j) => i === j ? by : t);
  const cases: ReadonlyArray<readonly [ReadonlyArray<TensorToWrite>, string]> = [
    [replaced(0, tensor("layers.0.weight", [2, 16])), "tensor layers.0.weight: found 2 x 16, allowed is 2 x 8 for this model"],
    [replaced(3, tensor("layers.1.bias", [8])), "tensor layers.1.bias: found 8, allowed is 2 for this model"],
    [linear.slice(0, 2), "tensor layers.1.weight: found no such tensor"],
    [[...linear, tensor("layers.2.weight", [2, 8])], "tensor layers.2.weight: found a tensor too many"],
    [[...mlp, tensor("head", [1])], "tensor head: found a tensor too many"],
    [[...mlp.slice(0, 3), ...mlp.slice(4)], "tensor layers.0.2.bias: found no such tensor"],
    [replaced(2, { ...tensor("layers.1.weight", [2, 8]), numbers: new Float32Array(16).fill(NaN, 9, 10) }), "found NaN"],
  ];
  for (const [tensors, part] of cases) {
    const result = await read(tensors);
    assert(E.isLeft(result) && showError(result.left).includes(part), `${JSON.stringify(result).slice(0, 200)} should say: ${part}`);
  }
});

/** Sizes of models whose KVzap weights are published: hidden width, KV heads, width of the MLP, layers, and parameters of the whole network
 * as the paper's Table 3 implies them. */
const published = [
  { name: "Qwen3-8B", queryHeads: 32, hidden: 4096, kvHeads: 8, inner: 512, layers: 36, linear: 1_179_936, mlp: 75_663_648 },
  { name: "Llama-3.1-8B-Instruct", queryHeads: 32, hidden: 4096, kvHeads: 8, inner: 512, layers: 32, linear: 1_048_832, mlp: 67_256_576 },
  { name: "Qwen3-32B", queryHeads: 64, hidden: 5120, kvHeads: 8, inner: 640, layers: 64, linear: 2_621_952, mlp: 210_084_352 },
] as const;

/** A file of bf16 zeros as the published ones are: one layer after the other, no metadata of ours. */
function bf16File(tensors: ReadonlyArray<readonly [string, ReadonlyArray<number>]>): Uint8Array {
  let end = 0;
  const entries = tensors.map(([name, dims]) => {
    const begin = end;
    end += 2 * dims.reduce((a, d) => a * d, 1);
    return [name, { dtype: "BF16", shape: dims, data_offsets: [begin, end] }] as const;
  });
  const table = new TextEncoder().encode(JSON.stringify({ __metadata__: { format: "pt" }, ...Object.fromEntries(entries) }));
  const file = new Uint8Array(8 + table.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(table.length), true);
  file.set(table, 8);
  return file;
}

for (const { name, queryHeads, hidden, kvHeads, inner, layers, linear, mlp } of published) {
  Deno.test(`published weights for ${name}: names, shapes and bf16 as they are, and every wrong shape is refused by its tensor`, async () => {
    const some = 1; // A whole MLP would be 150 MB and more.
    const of = (count: number) => ({ ...uniformShape({ layers: count, queryHeads, kvHeads, headDim: 128 }), hidden });
    const layerOf = {
      linear: (l: number) => [[`layers.${l}.weight`, [kvHeads, hidden]], [`layers.${l}.bias`, [kvHeads]]] as const,
      mlp: (l: number) =>
        [
          ...[[`layers.${l}.0.weight`, [inner, hidden]], [`layers.${l}.0.bias`, [inner]]] as const,
          ...[[`layers.${l}.2.weight`, [kvHeads, inner]], [`layers.${l}.2.bias`, [kvHeads]]] as const,
        ] as const,
    };
    for (const [kind, parameters, count] of [["linear", linear, layers], ["mlp", mlp, some]] as const) {
      const tensors: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = Array.from({ length: count }, (_, l) => layerOf[kind](l))
        .flat();
      const open = async (list: typeof tensors) => readSurrogate("s", of(count))(await orThrow(readSafetensors("w", bf16File(list))));
      const { forms, tensors: read } = await orThrow(await open(tensors));
      assertEquals(forms.length, count);
      assertEquals([...new Set(read.map(({ type }) => type))], ["BF16"]);
      assertEquals(read.reduce((sum, { rows, cols }) => sum + rows * cols, 0) * layers / count, parameters);
      for (const i of kind === "mlp" ? [0, 1, 2, 3] : [0, 1, 2 * layers - 1]) {
        const [wrong = "", dims = []] = tensors[i] ?? [];
        const result = await open(tensors.map((t, j) => i === j ? [wrong, [...dims.slice(0, -1), (dims.at(-1) ?? 0) + 1]] as const : t));
        const said = E.isLeft(result) ? showError(result.left) : "taken";
        // Another width of the MLP is found where the second matrix should have it.
        assert(said.startsWith("file w: tensor layers.") && said.includes(wrong), `${said} should name ${wrong}`);
      }
    }
  });
}
