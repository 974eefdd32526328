/**
 * DEFLATE (RFC 1951) of literals alone: Huffman codes without a search for repetitions, of which coefficients and halves have none. As small as
 * the platform's stream and several times as fast, and any inflater reads it.
 * @module
 */
import { codesOf, lengthsOf } from "./huffman_code.ts";

/** Bytes that are counted together. */
const CHUNK = 1 << 12;
/** Chunks that share codes at most, and bits that codes of their own must save them: what their table takes. */
const MOST_CHUNKS = 16;
const TABLE_BITS = 900;
/** Longest code: two of them and the rest of a byte fit 32 bits. */
const LONGEST = 12;
/** Longest code of a code length, as the format has it. */
const LONGEST_LENGTH = 7;
/** Symbol that ends a block. */
const END = 256;
/** The order in which the format lists the lengths of the codes of lengths. */
export const lengthOrder: ReadonlyArray<number> = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Bits that go to bytes, lowest first. */
interface Sink {
  readonly view: DataView<ArrayBuffer>;
  /** Next byte. */
  at: number;
  /** Bits that fill no byte yet, and how many. */
  held: number;
  bits: number;
}

/** At most 24 bits. */
function put(sink: Sink, value: number, bits: number): void {
  const held = sink.held | value << sink.bits;
  const count = sink.bits + bits;
  sink.view.setUint32(sink.at, held, true);
  sink.at += count >>> 3;
  sink.held = held >>> (count & 24);
  sink.bits = count & 7;
}

/** Raw DEFLATE of bytes; none for none.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inflate } from "./entropy.ts";
 * const bytes = Uint8Array.from({ length: 999 }, (_, i) => i % 7);
 * assertEquals(await inflate("a", "numbers", huffman(bytes), 999), { _tag: "Right", right: bytes });
 * ```
 */
export function huffman(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  // No literal takes more than LONGEST bits, and no table more than 300 bytes.
  const room = Math.ceil(bytes.length * LONGEST / 8) + 300 * Math.ceil(bytes.length / CHUNK) + 8;
  const sink: Sink = { view: new DataView(new ArrayBuffer(room)), at: 0, held: 0, bits: 0 };
  let block: Block = countedFrom(bytes, 0);
  while (block.to < bytes.length) {
    const next = countedFrom(bytes, block.to);
    const both = joined(block, next);
    const isOne = both.bits <= block.bits + next.bits + TABLE_BITS && both.to - both.from <= MOST_CHUNKS * CHUNK;
    if (!isOne) putBlock(sink, bytes, block);
    block = isOne ? both : next;
  }
  if (bytes.length > 0) putBlock(sink, bytes, block);
  return new Uint8Array(sink.view.buffer.slice(0, sink.at + (sink.bits > 0 ? 1 : 0)));
}

/** Bytes [from, to) that share codes. */
interface Block {
  readonly from: number;
  readonly to: number;
  /** How often each of them, and their end, occurs. */
  readonly counts: Uint32Array;
  /** What codes without a loss would take. */
  readonly bits: number;
}

function countedFrom(bytes: Uint8Array, from: number): Block {
  const to = Math.min(bytes.length, from + CHUNK);
  const counts = new Uint32Array(END + 1);
  counts[END] = 1;
  for (let i = from; i < to; i++) counts[bytes[i] ?? 0] = (counts[bytes[i] ?? 0] ?? 0) + 1;
  return { from, to, counts, bits: entropyOf(counts, to - from) };
}

function joined(a: Block, b: Block): Block {
  const counts = new Uint32Array(END + 1);
  for (let symbol = 0; symbol < END; symbol++) counts[symbol] = (a.counts[symbol] ?? 0) + (b.counts[symbol] ?? 0);
  counts[END] = 1;
  return { from: a.from, to: b.to, counts, bits: entropyOf(counts, b.to - a.from) };
}

/** n log2 n; built on first use. */
let products: Float64Array | null = null;

function entropyOf(counts: Uint32Array, total: number): number {
  products ??= Float64Array.from({ length: (MOST_CHUNKS + 1) * CHUNK + 1 }, (_, n) => n < 2 ? 0 : n * Math.log2(n));
  let bits = products[total] ?? 0;
  for (let symbol = 0; symbol < END; symbol++) bits -= products[counts[symbol] ?? 0] ?? 0;
  return bits;
}

function putBlock(sink: Sink, bytes: Uint8Array, { from, to, counts }: Block): void {
  const lengths = lengthsOf(counts, LONGEST);
  put(sink, to === bytes.length ? 5 : 4, 3);
  putLengths(sink, lengths);
  putLiterals(sink, bytes, from, to, codesOf(lengths), lengths);
}

/** The table of a block: as many literals as there are, two distances of one bit, which nothing uses. */
function putLengths(sink: Sink, lengths: Uint8Array): void {
  const all = Uint8Array.of(...lengths, 1, 1);
  const counts = new Uint32Array(lengthOrder.length);
  for (const length of all) counts[length] = (counts[length] ?? 0) + 1;
  const own = lengthsOf(counts, LONGEST_LENGTH);
  const codes = codesOf(own);
  put(sink, 0, 5);
  put(sink, 1, 5);
  put(sink, lengthOrder.length - 4, 4);
  for (const length of lengthOrder) put(sink, own[length] ?? 0, 3);
  for (const length of all) put(sink, codes[length] ?? 0, own[length] ?? 0);
}

function putLiterals(sink: Sink, bytes: Uint8Array, from: number, to: number, codes: Uint16Array, lengths: Uint8Array): void {
  const table = new Uint32Array(codes.length);
  for (let symbol = 0; symbol < codes.length; symbol++) table[symbol] = (codes[symbol] ?? 0) | (lengths[symbol] ?? 0) << 16;
  const { view } = sink;
  let [at, held, bits] = [sink.at, sink.held, sink.bits];
  const even = to - (to - from) % 2;
  for (let i = from; i < even; i += 2) {
    const a = table[bytes[i] ?? 0] ?? 0;
    const b = table[bytes[i + 1] ?? 0] ?? 0;
    held |= (a & 0xffff) << bits;
    bits += a >>> 16;
    held |= (b & 0xffff) << bits;
    bits += b >>> 16;
    view.setUint32(at, held, true);
    at += bits >>> 3;
    held >>>= bits & 24;
    bits &= 7;
  }
  Object.assign(sink, { at, held, bits });
  for (const symbol of [...bytes.subarray(even, to), END]) put(sink, codes[symbol] ?? 0, lengths[symbol] ?? 0);
}
