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
