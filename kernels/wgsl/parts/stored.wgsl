// Numbers of the rows in the binding `stored`: f32, f16, f16 of some channels (`cache/channels.ts`), or affine codes, `q * scale + offset`, as
// `cache/codec.ts` lays them out. A shader takes this part in under the name of its binding.
override storedBits: u32 = 32u;
// Channels that share a scale and an offset, and rows that do: more than one row if codes are per channel.
override storedGroup: u32 = 1u;
override storedBlock: u32 = 1u;
// Channels of a row that are stored behind a bit for each channel; 0 where all are stored and no bits.
override storedKept: u32 = 0u;

// The largest code.
fn storedMost() -> u32 { return 0xFFFFFFFFu >> (32u - storedBits); }

fn storedHalf(i: u32) -> f32 { return unpack2x16float(stored[i >> 1u] >> (16u * (i & 1u))).x; }

// Words of a row, or of a block of rows that stand together.
fn storedWords(dim: u32) -> u32 {
  if (storedBits == 32u) { return dim; }
  if (storedKept > 0u) { return (dim + 31u) / 32u + storedKept / 2u; }
  if (storedBits == 16u) { return dim / 2u; }
  if (storedBlock > 1u) { return dim + storedBlock * dim * storedBits / 32u; }
  return dim / storedGroup + dim * storedBits / 32u;
}

// The word that holds the code of channel c.
fn storedCode(slot: u32, c: u32, dim: u32) -> u32 {
  if (storedBlock > 1u) {
    return stored[slot / storedBlock * storedWords(dim) + dim + (slot % storedBlock * dim + c) * storedBits / 32u];
  }
  return stored[slot * storedWords(dim) + dim / storedGroup + c * storedBits / 32u];
}

// Scale and offset of channel c.
fn storedPair(slot: u32, c: u32, dim: u32) -> vec2f {
  if (storedBlock > 1u) {
    let first = slot / storedBlock * storedWords(dim) * 2u + c;
    return vec2f(storedHalf(first), storedHalf(first + dim));
  }
  return unpack2x16float(stored[slot * storedWords(dim) + c / storedGroup]);
}

// Channels before c that the row whose bits begin at stored[base] has, of 256 at most: no loop, because a software driver stops a shader after
// 65,536 turns of all its loops.
fn storedBefore(base: u32, c: u32) -> u32 {
  let last = c / 32u;
  var before = countOneBits(stored[base + last] & ((1u << (c % 32u)) - 1u));
  if (last > 0u) { before += countOneBits(stored[base]); }
  if (last > 1u) { before += countOneBits(stored[base + 1u]); }
  if (last > 2u) { before += countOneBits(stored[base + 2u]); }
  if (last > 3u) { before += countOneBits(stored[base + 3u]); }
  if (last > 4u) { before += countOneBits(stored[base + 4u]); }
  if (last > 5u) { before += countOneBits(stored[base + 5u]); }
  if (last > 6u) { before += countOneBits(stored[base + 6u]); }
  return before;
}

// The kept channel number i of a row. A row that names more channels than it has room for is read up to its end.
fn storedPart(base: u32, i: u32, dim: u32) -> f32 {
  if (i >= storedKept) { return 0.0; }
  return storedHalf(2u * (base + (dim + 31u) / 32u) + i);
}

// Channel c, 0 where the row does not have it.
fn storedThinned(slot: u32, c: u32, dim: u32) -> f32 {
  let base = slot * storedWords(dim);
  if (((stored[base + c / 32u] >> (c % 32u)) & 1u) == 0u) { return 0.0; }
  return storedPart(base, storedBefore(base, c), dim);
}

// Channels c to c + 3 of such a row.
fn storedThinnedFour(slot: u32, c: u32, dim: u32) -> vec4f {
  let base = slot * storedWords(dim);
  let has = (vec4u(stored[base + c / 32u] >> (c % 32u)) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  let first = storedBefore(base, c);
  let at = vec4u(first, first + has.x, first + has.x + has.y, first + has.x + has.y + has.z);
  var four = vec4f(0.0);
  if (has.x == 1u) { four.x = storedPart(base, at.x, dim); }
  if (has.y == 1u) { four.y = storedPart(base, at.y, dim); }
  if (has.z == 1u) { four.z = storedPart(base, at.z, dim); }
  if (has.w == 1u) { four.w = storedPart(base, at.w, dim); }
  return four;
}

fn storedAt(slot: u32, c: u32, dim: u32) -> f32 {
  if (storedBits == 32u) { return bitcast<f32>(stored[slot * dim + c]); }
  if (storedKept > 0u) { return storedThinned(slot, c, dim); }
  if (storedBits == 16u) { return storedHalf(slot * dim + c); }
  let pair = storedPair(slot, c, dim);
  let code = (storedCode(slot, c, dim) >> (c * storedBits % 32u)) & storedMost();
  return f32(code) * pair.x + pair.y;
}

// Channels c to c + 3, c a multiple of 4; zeros beyond dim, which under codes is a multiple of 4.
fn storedFour(slot: u32, c: u32, dim: u32) -> vec4f {
  if (c + 3u >= dim) {
    var last = vec4f(storedAt(slot, c, dim), 0.0, 0.0, 0.0);
    if (c + 1u < dim) { last.y = storedAt(slot, c + 1u, dim); }
    if (c + 2u < dim) { last.z = storedAt(slot, c + 2u, dim); }
    if (c + 3u < dim) { last.w = storedAt(slot, c + 3u, dim); }
    return last;
  }
  if (storedKept > 0u) { return storedThinnedFour(slot, c, dim); }
  if (storedBits == 32u) {
    let i = slot * dim + c;
    return bitcast<vec4f>(vec4u(stored[i], stored[i + 1u], stored[i + 2u], stored[i + 3u]));
  }
  if (storedBits == 16u) {
    let i = (slot * dim + c) / 2u;
    return vec4f(unpack2x16float(stored[i]), unpack2x16float(stored[i + 1u]));
  }
  let bits = vec4u(0u, 1u, 2u, 3u) * storedBits + vec4u(c * storedBits % 32u);
  let codes = vec4f((vec4u(storedCode(slot, c, dim)) >> bits) & vec4u(storedMost()));
  if (storedBlock == 1u) {
    let pair = storedPair(slot, c, dim);
    return codes * pair.x + pair.y;
  }
  // Scales of channels lie side by side, two to a word; so do offsets.
  let first = slot / storedBlock * storedWords(dim) + c / 2u;
  let scales = vec4f(unpack2x16float(stored[first]), unpack2x16float(stored[first + 1u]));
  let offset = first + dim / 2u;
  return codes * scales + vec4f(unpack2x16float(stored[offset]), unpack2x16float(stored[offset + 1u]));
}
