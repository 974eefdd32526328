import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { orThrow } from "../run/mod.ts";
import { draws } from "../tests/support/random.ts";
import { readSafetensors, tensorNumbers, type TensorToWrite, writeSafetensors } from "./safetensors.ts";

/** A file by hand: any table, then some bytes. */
function fileOf(table: string, data: Uint8Array = new Uint8Array()): Uint8Array {
  const text = new TextEncoder().encode(table);
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

const complaint = (bytes: Uint8Array): string => {
  const read = readSafetensors("x", bytes);
  return E.isLeft(read) ? showError(read.left) : "no complaint";
};

const tensor = (name: string, begin: number, end: number, shape = `[${(end - begin) / 4}]`, dtype = "F32"): string =>
  `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

const sample: ReadonlyArray<TensorToWrite> = [
  { name: "layers.0.weight", type: "F32", shape: [2, 3], numbers: Float32Array.of(1, -2, 3.5, NaN, -Infinity, 1e-40) },
  { name: "layers.0.bias", type: "F16", shape: [3], numbers: Float32Array.of(0.5, -0, 65504) },
  { name: "none", type: "F32", shape: [0, 4], numbers: new Float32Array() },
  { name: 'a "quoted: name', type: "F32", shape: [], numbers: Float32Array.of(7) },
];

Deno.test("what is written reads back: order, shapes, metadata and the bits of every number", async () => {
  const bytes = await orThrow(writeSafetensors(sample, new Map([["scores", "ln s+"], ["a:b", ""]])));
  const { metadata, tensors } = await orThrow(readSafetensors("x", bytes));
  assertEquals([...metadata], [["scores", "ln s+"], ["a:b", ""]]);
  assertEquals([...tensors.keys()], sample.map((t) => t.name));
  for (const { name, type, shape, numbers } of sample) {
    const read = tensors.get(name);
    assert(read !== undefined);
    assertEquals([read.type, read.shape], [type, shape]);
    assertEquals(tensorNumbers(read), numbers);
  }
});

Deno.test("a table is found in a file by hand, its numbers unaligned and bf16 among them", async () => {
  const table = `{${tensor("b", 0, 4, "[2]", "BF16")},${tensor("w", 4, 8)},"__metadata__":{"k":"v"}} `;
  // bf16 is the upper half of an f32: 0x3fc0 = 1.5, 0xc000 = -2.
  const { tensors } = await orThrow(readSafetensors("x", fileOf(table, Uint8Array.of(0xc0, 0x3f, 0, 0xc0, 0, 0, 0x80, 0x3f))));
  assertEquals([...tensors.values()].map((t) => [...tensorNumbers(t)]), [[1.5, -2], [1]]);
});

Deno.test("every lie of a table is named", () => {
  const eight = new Uint8Array(8);
  const cases: ReadonlyArray<readonly [Uint8Array, string]> = [
    [Uint8Array.of(1), "at least 10 bytes"],
    [fileOf("{}").with(7, 1), "length of the table"],
    [fileOf("{x}"), "allowed is JSON"],
    [fileOf("[1]"), "a JSON object"],
    [fileOf(`{${tensor("w", 0, 4)},${tensor("w", 4, 8)}}`, eight), "a key twice"],
    [fileOf(`{"w":{"dtype":"F32","shape":[9],"shape":[2],"data_offsets":[0,8]}}`, eight), "a key twice"],
    [fileOf(`{${tensor("w", 0, 8, "[2]", "I64")}}`, eight), "tensor w of type I64"],
    [fileOf(`{${tensor("w", 0, 8, "[3]")}}`, eight), "the 12 bytes of 3 in F32"],
    [fileOf(`{${tensor("w", 0, 8, "[9007199254740991,9007199254740991]")}}`, eight), "the too many bytes"],
    [fileOf(`{${tensor("w", 0, 8, "[-2,-1]")}}`, eight), "shape [-2, -1]"],
    [fileOf(`{${tensor("w", 0, 8, "[2.5]")}}`, eight), "shape [2.5]"],
    [fileOf(`{${tensor("w", 8, 0, "[0]")}}`, eight), "data_offsets [8, 0]"],
    [fileOf(`{${tensor("w", 0, 12)}}`, eight), "up to the file's"],
    [fileOf(`{${tensor("w", 4, 8)}}`, eight), "a start at 4"],
    [fileOf(`{${tensor("v", 0, 8)},${tensor("w", 4, 8)}}`, eight), "a start at 4"],
    [fileOf(`{${tensor("w", 0, 4)}}`, eight), "where its last tensor ends"],
    [fileOf(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}}`, eight), "the key more"],
    [fileOf(`{"w":null}`), "found null"],
    [fileOf(`{"w":${"[".repeat(100_000)}${"]".repeat(100_000)}}`), "found other values"],
    [fileOf(`{"__metadata__":{"k":1}}`), "texts by key"],
    [fileOf(`{"__metadata__":{"k":{"deep":{}}}}`), "a key twice"],
  ];
  for (const [bytes, part] of cases) assert(complaint(bytes).includes(part), `${complaint(bytes)} should say: ${part}`);
});

Deno.test("tensors that cannot be written are refused by name", () => {
  const one = (name: string, shape: ReadonlyArray<number>): TensorToWrite => ({ name, type: "F32", shape, numbers: Float32Array.of(1, 2) });
  for (const wrong of [[one("w", [3])], [one("w", [-1, -2])], [one("w", [2]), one("w", [2])], [one("__metadata__", [2])]]) {
    const made = writeSafetensors(wrong);
    assert(E.isLeft(made) && showError(made.left).includes(wrong[0]?.name ?? ""), JSON.stringify(made));
  }
});

Deno.test("20,000 mutated files: tensors inside the file, or one sentence", async () => {
  const sound = await orThrow(writeSafetensors(sample, new Map([["k", "v"]])));
  const next = draws(20261124);
  const pieces = ["0", "9", "-", "1e9", '"', "{", "}", "[", "]", ",", ":", " ", "F16", "null", "\\", "é"];
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    let bytes = sound.slice();
    for (let n = 1 + next(2); n > 0 && bytes.length > 0; n--) {
      const at = Math.min(next(3) === 0 ? next(16) : next(bytes.length), bytes.length - 1);
      const piece = new TextEncoder().encode(pieces[next(pieces.length)]);
      const how = next(9);
      if (how < 3) bytes[at] = next(256);
      else if (how < 5) bytes = bytes.slice(0, at);
      else bytes.set(piece.subarray(0, bytes.length - at), at);
    }
    const read = readSafetensors("x", bytes);
    if (E.isLeft(read)) {
      assert(!/[\r\n]/.test(showError(read.left)));
      continue;
    }
    accepted++;
    for (const t of read.right.tensors.values()) assertEquals(tensorNumbers(t).length, t.shape.reduce((a, d) => a * d, 1));
  }
  // Both outcomes must be frequent, else the mutations prove nothing.
  assert(accepted > 500 && accepted < 15_000, `${accepted} accepted`);
});
