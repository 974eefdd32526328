/**
 * Random weights of every block type.
 * @module
 */
import type { WeightSource, WeightType } from "../backends/backend.ts";
import { blockForms, weightBytes } from "../backends/blocks.ts";
import type { Random } from "./random.ts";

/** How far apart the scales of blocks lie: all near 0.05, or anywhere from the smallest subnormal half to 256. */
export type Spread = "even" | "extreme";

const scaleOf = (random: Random, spread: Spread): number => {
  const size = spread === "even" ? 0.04 + 0.02 * random.uniform() : 2 ** (random.integer(32) - 24) * (1 + random.uniform());
  return random.uniform() < 0.5 ? -size : size;
};

/** A weight of valid random blocks. `cols` must be whole blocks.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { randomOf } from "./random.ts";
 * assertEquals(weightOf(randomOf("w", 1), "Q8_0", 3, 64).bytes.length, 3 * 2 * 34);
 * ```
 */
export function weightOf(
  random: Random,
  type: WeightType,
  rows: number,
  cols: number,
  { name = "weight", uses = ["matmul"], spread = "even" }: {
    readonly name?: string;
    readonly uses?: WeightSource["uses"];
    readonly spread?: Spread;
  } = {},
): WeightSource {
  const bytes = new Uint8Array(weightBytes(type, rows, cols) ?? 0);
  const view = new DataView(bytes.buffer);
  const form = blockForms[type];
  for (let at = 0; at < bytes.length; at += form.bytes) {
    const scale = scaleOf(random, spread);
    if (type === "F32") view.setFloat32(at, scale * 20 * (random.uniform() - 0.5), true);
    else if (type === "F16") view.setFloat16(at, scale * 20 * (random.uniform() - 0.5), true);
    else if (type === "BF16") view.setUint16(at, bf16Bits(scale * 20 * (random.uniform() - 0.5)), true);
    else {
      for (let i = 0; i < form.bytes; i++) bytes[at + i] = random.integer(256);
      for (const offset of form.scales) view.setFloat16(at + offset, scaleOf(random, spread), true);
    }
  }
  return { name, type, rows, cols, bytes, uses };
}

/** The upper half of an f32. */
function bf16Bits(value: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint16(0);
}
