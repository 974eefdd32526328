/**
 * Huffman codes as DEFLATE has them (RFC 1951, section 3.2.2): lengths of codes from counts, and codes from lengths.
 * @module
 */

/** Bits of a symbol. */
const SYMBOL = 9;

/** Lengths of the codes of symbols that occur so often, at most `longest`; 0 for a symbol that does not occur. Two symbols at least occur, at
 * most 2^longest and 512, none more than 2^23 times.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([...lengthsOf(Uint32Array.of(5, 0, 2, 1, 1), 15)], [1, 0, 2, 3, 3]);
 * ```
 */
export function lengthsOf(counts: Uint32Array, longest: number): Uint8Array {
  const leaves = sorted(counts);
  const perLength = limited(perDepth(leaves), longest);
  const lengths = new Uint8Array(counts.length);
  let at = 0;
  for (let length = longest; length > 0; length--) {
    for (let n = perLength[length] ?? 0; n > 0; n--) lengths[(leaves[at++] ?? 0) & (1 << SYMBOL) - 1] = length;
  }
  return lengths;
}

/** Symbols that occur, the rarest first: counts, and symbols in the lowest bits. */
function sorted(counts: Uint32Array): Uint32Array {
  const leaves = new Uint32Array(counts.length);
  let used = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    const n = counts[symbol] ?? 0;
    if (n > 0) leaves[used++] = n << SYMBOL | symbol;
  }
  return leaves.subarray(0, used).sort();
}

/** How many leaves of an optimal tree are how deep. The two rarest nodes become one until one is left; joined nodes come in the order of their
 * weights. */
function perDepth(leaves: Uint32Array): Uint32Array {
  const weights = new Uint32Array(2 * leaves.length - 1);
  for (let i = 0; i < leaves.length; i++) weights[i] = (leaves[i] ?? 0) >>> SYMBOL;
  const parents = new Uint16Array(weights.length);
  for (let next = leaves.length, leaf = 0, joined = next; next < weights.length; next++) {
    for (let child = 0; child < 2; child++) {
      const isLeaf = leaf < leaves.length && (joined === next || (weights[leaf] ?? 0) <= (weights[joined] ?? 0));
      const rarest = isLeaf ? leaf++ : joined++;
      weights[next] = (weights[next] ?? 0) + (weights[rarest] ?? 0);
      parents[rarest] = next;
    }
  }
  const depths = new Uint16Array(weights.length);
  const leavesAt = new Uint32Array(leaves.length);
  for (let node = weights.length - 2; node >= 0; node--) {
    const depth = (depths[parents[node] ?? 0] ?? 0) + 1;
    depths[node] = depth;
    if (node < leaves.length) leavesAt[depth] = (leavesAt[depth] ?? 0) + 1;
  }
  return leavesAt;
}

/** As many codes, none longer than `longest`: what was longer takes its place from the longest of the others, which grow by a bit for it. */
function limited(perLength: Uint32Array, longest: number): Uint32Array {
  const out = new Uint32Array(longest + 1);
  let used = 0;
  for (let length = 1; length < perLength.length; length++) {
    const n = perLength[length] ?? 0;
    const own = Math.min(length, longest);
    out[own] = (out[own] ?? 0) + n;
    used += n * 2 ** (longest - own);
  }
  for (; used > 2 ** longest; used--) {
    let shorter = longest - 1;
    while (out[shorter] === 0) shorter--;
    out[longest] = (out[longest] ?? 0) - 1;
    out[shorter] = (out[shorter] ?? 0) - 1;
    out[shorter + 1] = (out[shorter + 1] ?? 0) + 2;
  }
  return out;
}

/** A byte with its bits the other way round. */
const turned = Uint8Array.from({ length: 256 }, (_, byte) => {
  let out = 0;
  for (let i = 0; i < 8; i++) out |= (byte >> i & 1) << 7 - i;
  return out;
});

/** The code of each symbol, its first bit lowest: shorter codes come first, and those of one length in the order of symbols. */
export function codesOf(lengths: Uint8Array): Uint16Array {
  const next = new Uint16Array(17);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol] ?? 0;
    if (length > 0) next[length + 1] = (next[length + 1] ?? 0) + 1;
  }
  for (let length = 1; length < next.length; length++) next[length] = (next[length - 1] ?? 0) + (next[length] ?? 0) << 1;
  const codes = new Uint16Array(lengths.length);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol] ?? 0;
    const code = next[length] ?? 0;
    if (length > 0) codes[symbol] = ((turned[code & 255] ?? 0) << 8 | (turned[code >> 8] ?? 0)) >> 16 - length;
    next[length] = code + 1;
  }
  return codes;
}
