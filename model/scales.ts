/**
 * The scales of weight blocks. Integer products take them for finite: an infinite one would give finite numbers that are wrong.
 * @module
 */
import { blockForms } from "../backends/blocks.ts";
import type { WeightType } from "../backends/backend.ts";

const exponent = 0x7c00;

/** The first block with a scale or an offset that is not finite, and that number; null if there is none.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const blocks = new Uint8Array(2 * 34);
 * blocks[35] = 0xfc; // the high byte of the second block's scale: -infinity
 * assertEquals(notFinite("Q8_0", blocks), { block: 1, scale: -Infinity });
 * ```
 */
export function notFinite(type: WeightType, bytes: Uint8Array): { readonly block: number; readonly scale: number } | null {
  const { bytes: size, scales } = blockForms[type];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const place of scales) {
    for (let at = place; at + 1 < bytes.length; at += size) {
      if ((view.getUint16(at, true) & exponent) === exponent) return { block: (at - place) / size, scale: view.getFloat16(at, true) };
    }
  }
  return null;
}
