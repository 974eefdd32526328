/**
 * A cache taken apart for KVTC: which rows become coefficients and which stay as they are.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { codecOf, rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { CacheTable, TierView } from "../run/cache_table.ts";

/** How much is coded, and how small. */
export interface Coding {
  /** Bits of 16-bit numbers per bit of coefficients, before DEFLATE. */
  readonly ratio: number;
  /** Positions below this stay exact. */
  readonly sinks: number;
  /** So many newest positions stay exact. */
  readonly recent: number;
}

/** A tier with its positions. */
export interface Split {
  readonly tier: TierView;
  readonly positions: Uint32Array;
}

/** Takes the next part of a file, which must unpack to so many bytes. */
export type Next = (at: string, size: number) => Promise<E.Either<KvError, Uint8Array<ArrayBuffer>>>;

/** A tier whose exact rows are in place; the others are still zeros. */
export async function readTier(
  coding: Coding,
  table: CacheTable,
  tier: TierView,
  at: string,
  next: Next,
  file: string,
): Promise<E.Either<KvError, Split>> {
  const [positionBytes = 0, keySize = 0, valueSize = 0, ...rest] = tier.sizes;
  const packed = await next(`positions of ${at}`, positionBytes);
  if (E.isLeft(packed)) return packed;
  const positions = sums(packed.right);
  if (positions.some((p) => p >= table.nextPosition)) {
    return E.left({ _tag: "InvalidFile", file, at: `positions of ${at}`, found: "too large", allowed: `below ${table.nextPosition}` });
  }
  const exact = exactRows(coding, table, tier, positions);
  const parts: Uint8Array[] = [new Uint8Array(positions.buffer)];
  for (const [name, width, size] of [["keys", keyBytes(tier), keySize], ["values", valueBytes(tier), valueSize]] as const) {
    const rows = await next(`exact ${name} of ${at}`, exact === null ? size : exact.length * width);
    if (E.isLeft(rows)) return rows;
    parts.push(exact === null ? rows.right : placed(rows.right, width, exact, size));
  }
  for (const size of rest) {
    const bytes = await next(`columns of ${at}`, size);
    if (E.isLeft(bytes)) return bytes;
    parts.push(bytes.right);
  }
  return E.right({ positions, tier: { ...tier, parts } });
}

/** Bytes of a stored key. */
export const keyBytes = ({ table, shape }: TierView): number => rowBytes(codecOf(table.keys), shape.keyDim);
/** Bytes of a stored value. */
export const valueBytes = ({ table, shape }: TierView): number => rowBytes(codecOf(table.values), shape.valueDim);
const isPlain = (codec: string): codec is "f16" | "f32" => codec === "f16" || codec === "f32";

/** True if rows of a tier may become coefficients. */
export const isCoded = ({ table: { keys, values } }: TierView): boolean => isPlain(keys) && isPlain(values);

/** Whether the row at a position does. */
export const inside = ({ sinks, recent }: Coding, { nextPosition }: CacheTable) => (position: number): boolean =>
  position >= sinks && position + recent < nextPosition;

/** Rows of a tier that stay as they are; null where all of them do. */
export const exactRows = (coding: Coding, table: CacheTable, tier: TierView, positions: Uint32Array): ReadonlyArray<number> | null => {
  if (!isCoded(tier)) return null;
  const coded = inside(coding, table);
  const rows: number[] = [];
  for (let row = 0; row < positions.length; row++) if (!coded(positions[row] ?? 0)) rows.push(row);
  return rows;
};

/** These rows of `width` bytes; all for null. */
export function picked(bytes: Uint8Array, width: number, rows: ReadonlyArray<number> | null): Uint8Array<ArrayBuffer> {
  if (rows === null) return Uint8Array.from(bytes);
  const out = new Uint8Array(rows.length * width);
  rows.forEach((row, i) => out.set(bytes.subarray(row * width, (row + 1) * width), i * width));
  return out;
}

function placed(bytes: Uint8Array, width: number, rows: ReadonlyArray<number>, size: number): Uint8Array {
  const out = new Uint8Array(size);
  rows.forEach((row, i) => out.set(bytes.subarray(i * width, (i + 1) * width), row * width));
  return out;
}

/** u32 of bytes at any place. */
export const wordsOf = (bytes: Uint8Array | undefined): Uint32Array => new Uint32Array(Uint8Array.from(bytes ?? []).buffer);

/** Each number less the one before it. */
export function differences(positions: Uint32Array): Uint8Array<ArrayBuffer> {
  const out = positions.map((p, i) => p - (positions[i - 1] ?? 0));
  return new Uint8Array(Uint32Array.from(out).buffer);
}

/** The reverse, as whole as it was. */
function sums(bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const out = new Uint32Array(Uint8Array.from(bytes).buffer);
  for (let i = 1; i < out.length; i++) out[i] = (out[i] ?? 0) + (out[i - 1] ?? 0);
  return out;
}
