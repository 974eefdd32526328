import { assertAlmostEquals } from "@std/assert";
import { blank, f32, operandsOf } from "../../tests/kernel_operands.ts";
import { sinkGate } from "./gate.ts";

Deno.test("sinkGate: 16 zero sinks and a zero key give 1/17, a bias of ln 16 gives 1/2, and the group's mean is taken", () => {
  const gate = (bias: readonly [number, number], key: number): number => {
    const out = blank(1);
    sinkGate(
      { m: 1, heads: 2, kvHeads: 1, dim: 2, count: 16, size: 32, scale: 0.5 },
      operandsOf({ q: f32(1, 0, 0, 2), k: f32(key, key), sinks: new Float32Array(32), bias: f32(...bias), out }),
    );
    return out[0] ?? NaN;
  };
  const sixteen = Math.log(16);
  assertAlmostEquals(gate([0, 0], 0), 1 / 17, 1e-7);
  assertAlmostEquals(gate([sixteen, sixteen], 0), 0.5, 1e-7);
  assertAlmostEquals(gate([0, sixteen], 0), (1 / 17 + 1 / 2) / 2, 1e-7);
  // z = 0.5 * 4 for the first query head, 0.5 * 8 for the second: 1 / (1 + 16 e^-z).
  assertAlmostEquals(gate([0, 0], 4), (1 / (1 + 16 * Math.exp(-2)) + 1 / (1 + 16 * Math.exp(-4))) / 2, 1e-7);
});
