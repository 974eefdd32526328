import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import type { Weight } from "./backend.ts";
import { blockForms, checkWeight, weightBytes, weightTypes } from "./blocks.ts";
import { checkProgram } from "./check.ts";
import { type Instr, NONE, type Program, type Value } from "./program.ts";
import { operandSizes } from "./sizes.ts";

const bound = (name: string): Value => ({ _tag: "Bound", name });
const program = (instr: Instr, values: ReadonlyArray<Value> = ["a", "b", "c", "d"].map(bound)): Program => ({
  label: "p",
  values,
  body: [instr],
});
const complaint = (p: Program, weights: Readonly<Record<string, Weight>> = {}): string => {
  const checked = checkProgram(p, weights);
  return E.isLeft(checked) ? showError(checked.left) : "fine";
};

const slice: Instr = { op: "slice", args: [0, 1], params: { from: 0, rows: 2, width: 3 } };

Deno.test("a well-formed program passes", () => {
  assertEquals(complaint(program(slice)), "fine");
  assertEquals(complaint({ label: "empty", values: [], body: [] }), "fine");
});

Deno.test("a wrong number of operands, an unknown slot, a missing operand and an unknown op are named", () => {
  assertEquals(complaint(program({ ...slice, args: [0] })), "p[0] slice: expected 2 operands, found 1");
  assertEquals(complaint(program({ ...slice, args: [0, 4] })), "p[0] slice out: expected a value from 0 to 3, found 4");
  assertEquals(complaint(program({ ...slice, args: [NONE, 1] })), "p[0] slice x: expected a value, found none");
  const foreign: Program = JSON.parse(JSON.stringify(program(slice)).replace('"slice"', '"constructor"'));
  assertEquals(complaint(foreign), "p[0] constructor: expected an op of the table, found constructor");
});

Deno.test("parameters are checked one by one and together", () => {
  assertEquals(
    complaint(program({ ...slice, params: { from: -1, rows: 2, width: 3 } })),
    "p[0] slice.from: expected a whole number from 0 to 4294967295, found -1",
  );
  assertEquals(
    complaint(program({ ...slice, params: { from: 0, rows: 2.5, width: 3 } })),
    "p[0] slice.rows: expected a whole number from 0 to 4294967295, found 2.5",
  );
  const rope: Instr = { op: "rope", args: [0, 1], params: { m: 1, heads: 1, dim: 4, dims: 6 } };
  assertEquals(complaint(program(rope)), "p[0] rope: expected dims even and at most dim 4, found 6");
  const pool: Instr = { op: "pool", args: [0, 1, 2], params: { heads: 1, by: "max", size: 4, dropLast: 0 } };
  assertEquals(complaint(program(pool)), "p[0] pool: expected an odd size, found 4");
  const add: Instr = { op: "map", args: [0, NONE, NONE, 1], params: { fn: "add", count: 1, value: 0, heads: 0 } };
  assertEquals(complaint(program(add)), "p[0] map: expected an operand b for add, found none");
  const nan: Instr = { op: "map", args: [0, NONE, NONE, 1], params: { fn: "scale", count: 1, value: NaN, heads: 0 } };
  assertEquals(complaint(program(nan)), "p[0] map.value: expected a finite f32, found NaN");
});

Deno.test("weights must be there, be weights and have the shape of the op", () => {
  const norm: Instr = { op: "norm", args: [0, 1, 0], params: { rows: 1, dim: 8, eps: 0 } };
  const values: ReadonlyArray<Value> = [bound("x"), { _tag: "Weight", name: "w" }];
  const weight: Weight = { id: 1, name: "w", type: "F32", rows: 1, cols: 8, bytes: 32 };
  assertEquals(complaint(program(norm, values), { w: weight }), "fine");
  assertEquals(complaint(program(norm, values)), "p[0] norm weight: expected the weight w, found none of that name");
  assertEquals(
    complaint(program(norm, values), { w: { ...weight, cols: 4 } }),
    "p[0] norm weight: expected 1 rows of 8, found 1 rows of 4",
  );
  assertEquals(complaint(program(norm)), "p[0] norm weight: expected a weight, found Bound");
});

Deno.test("a temporary that is too small for its operand is found before anything runs", () => {
  const values: ReadonlyArray<Value> = [bound("x"), { _tag: "Temp", label: "t", bytes: 23 }];
  assertEquals(complaint(program(slice, values)), "p[0] slice out: expected 24 bytes, found 23 bytes");
});

Deno.test("operand sizes follow codecs, groups and layouts", () => {
  const attend: Instr = {
    op: "attend",
    args: [0, 1, 2, 3, 4, 5, 6, 7],
    params: {
      m: 2,
      heads: 6,
      kvHeads: 3,
      keyDim: 8,
      valueDim: 4,
      keyCodec: "f16",
      valueCodec: "f32",
      scale: 1,
      window: 0,
      softcap: 0,
      merge: false,
    },
  };
  const bytes = operandSizes(attend).map((size) => size._tag === "Weight" ? -1 : size.bytes);
  assertEquals(bytes, [2 * 6 * 8 * 4, 16, 16, 4, 3 * 3 * 4, 2 * 4, 2 * 6 * 4 * 4, 2 * 6 * 4]);
  const compact: Instr = { op: "compact", args: [0, 1, 2, 3, 3, 0], params: { heads: 2, rowBytes: 48 } };
  assertEquals(operandSizes(compact)[0], { _tag: "PerSlot", bytes: 48 });
  const append: Instr = {
    op: "append",
    args: [0, 1, 2, 3, 4, 5, 6],
    params: { m: 1, heads: 2, keyDim: 8, valueDim: 4, keyCodec: "f32", valueCodec: "f16" },
  };
  assertEquals(operandSizes(append).slice(3, 5), [{ _tag: "PerSlot", bytes: 32 }, { _tag: "PerSlot", bytes: 8 }]);
});

Deno.test("checkWeight: sizes of every type to the byte, and vectors have one row", () => {
  for (const type of weightTypes) {
    const cols = 2 * blockForms[type].elements;
    const bytes = new Uint8Array(weightBytes(type, 3, cols) ?? 0);
    const source = { name: "w", type, rows: 3, cols, bytes, uses: ["matmul"] } as const;
    assertEquals(E.isRight(checkWeight(source)), true);
    assertEquals(E.isRight(checkWeight({ ...source, bytes: bytes.subarray(1) })), false);
    assertEquals(E.isRight(checkWeight({ ...source, rows: -3 })), false);
    assertEquals(E.isRight(checkWeight({ ...source, uses: ["vector"] })), false);
  }
  assertEquals(weightBytes("Q8_0", 1, 33), null);
  assertEquals(weightBytes("F32", 2 ** 30, 2 ** 30), null);
});
