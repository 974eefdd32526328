/**
 * Moving rows behind those of another tier, from one codec to another: `transfer`, `lengthen`.
 * @module
 */
import { codecName, codecOf, rowBytes } from "../../cache/codec.ts";
import { coarsen, nests } from "../../cache/coarsen.ts";
import { decodeRows, encodeRows } from "../../cache/encode.ts";
import type { Codec } from "../../cache/types.ts";
import { at, headsOf, type Kernel } from "./kernel.ts";

/** Encodes the chosen rows at the end of the other tier. */
export const transfer: Kernel<"transfer"> = ({ heads, dim, sourceCodec, targetCodec }, operands) => {
  const [from, to] = [codecOf(sourceCodec), codecOf(targetCodec)];
  const [keep, counts, target] = [operands.u32("keep"), operands.u32("counts"), operands.bytes("target")];
  const targets = headsOf(operands.u32("targetLayout"), heads);
  const encode = encoder(operands.bytes("source"), from, to, dim);
  for (const [h, { start }] of headsOf(operands.u32("sourceLayout"), heads).entries()) {
    const end = targets[h] ?? { start: 0, length: 0, capacity: 0 };
    const slots = Array.from({ length: at(counts, h) }, (_, i) => start + at(keep, start + i));
    target.set(encode(slots), (end.start + end.length) * rowBytes(to, dim));
  }
};

/** Stored bytes of the rows in these slots under the other codec. */
function encoder(source: Uint8Array, from: Codec, to: Codec, dim: number): (slots: ReadonlyArray<number>) => Uint8Array {
  const width = rowBytes(from, dim);
  const stored = (slots: ReadonlyArray<number>): Uint8Array => {
    const bytes = new Uint8Array(slots.length * width);
    slots.forEach((slot, i) => bytes.set(source.subarray(slot * width, (slot + 1) * width), i * width));
    return bytes;
  };
  if (codecName(from) === codecName(to)) return stored;
  if (nests(from, to)) return (slots) => coarsen(from, to, stored(slots), dim);
  return (slots) => encodeRows(to, decodeRows(from, stored(slots), dim), dim);
}

/** Adds each count to its length. */
export const lengthen: Kernel<"lengthen"> = ({ heads }, operands) => {
  const [counts, layout] = [operands.u32("counts"), operands.u32("layout")];
  for (let h = 0; h < heads; h++) layout[3 * h + 1] = at(layout, 3 * h + 1) + at(counts, h);
};
