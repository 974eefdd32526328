/**
 * Choosing channels of keys: `dropChannels`.
 * @module
 */
import { at, headsOf, type Kernel, noQuery } from "./kernel.ts";

/** Zeroes the channels that queries and keys make least of. */
export const dropChannels: Kernel<"dropChannels"> = ({ queries, heads, kvHeads, keyDim, keyCodec, drop }, operands) => {
  const [q, position, keys] = [operands.f32("q"), operands.u32("queryPosition"), operands.rows("keys", keyCodec, keyDim)];
  const [leave, leaving, dropped] = [operands.u32("leave"), operands.u32("leaving"), operands.u32("dropped")];
  const group = heads / kvHeads;
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    const energy = Array.from({ length: keyDim }, (_, c) => {
      let [asked, held] = [0, 0];
      for (let i = 0; i < queries; i++) {
        if (at(position, i) === noQuery) continue;
        for (let g = 0; g < group; g++) asked += at(q, (i * heads + h * group + g) * keyDim + c) ** 2;
      }
      for (let slot = start; slot < start + length; slot++) held += at(keys, slot * keyDim + c) ** 2;
      return asked * held || 0;
    });
    const order = energy.map((_, c) => c).sort((a, b) => at(energy, a) - at(energy, b) || b - a);
    const least = new Set(order.slice(0, drop));
    for (let c = 0; c < keyDim; c++) dropped[h * keyDim + c] = least.has(c) ? 1 : 0;
    for (let i = 0; i < at(leaving, h); i++) {
      const row = (start + at(leave, start + i)) * keyDim;
      for (const c of least) keys[row + c] = 0;
    }
  }
};
