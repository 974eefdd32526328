// Writing rows to the binding `encoded`, whose form the part `stored` describes under the same name. The numbers come from `encodedSource(row, c)`.
// Results are the same bits on every device: division may be off by some last places, so what it finds is put right by products, which may not.

// The half nearest to a / n, ties to even, at most the largest; a is not negative, n a whole number below 2^8.
fn encodedScale(a: f32, n: f32) -> u32 {
  if (a > 65504.0 * n) { return 0x7BFFu; }
  var bits = min(halfBits(a / n), 0x7BFFu);
  // Halves with their last place cut in two are exact in f32, and so are products with n.
  let below = 0.5 * (unpack2x16float(bits - min(bits, 1u)).x + unpack2x16float(bits).x) * n;
  let above = 0.5 * (unpack2x16float(bits).x + unpack2x16float(min(bits + 1u, 0x7BFFu)).x) * n;
  let isOdd = (bits & 1u) == 1u;
  if (bits < 0x7BFFu && (a > above || (a == above && isOdd))) { return bits + 1u; }
  if (bits > 0u && (a < below || (a == below && isOdd))) { return bits - 1u; }
  return bits;
}

// The half nearest to x, at most the largest.
fn encodedOffset(x: f32) -> u32 {
  let bits = halfBits(x);
  return select(bits, (bits & 0x8000u) | 0x7BFFu, (bits & 0x7FFFu) > 0x7BFFu);
}

// Nearest whole number to x / scale from 0 to most, ties to even.
fn encodedNumber(x: f32, scale: f32, most: u32) -> u32 {
  if (scale == 0.0 || !(x > 0.0)) { return 0u; }
  var code = u32(clamp(x / scale, 0.0, f32(most)));
  for (var i = 0u; i < 2u; i++) {
    let middle = (f32(code) + 0.5) * scale;
    if (code < most && (x > middle || (x == middle && (code & 1u) == 1u))) { code += 1u; }
  }
  return code;
}

// Scale and offset, as two halves of a word, of numbers from low to high.
fn encodedRange(low: f32, high: f32) -> u32 {
  if (low > high) { return 0u; }
  return encodedScale(high - low, f32(encodedMost())) | (encodedOffset(low) << 16u);
}

// Pieces that a row of dim channels is written in, and channels of a piece.
fn encodedChannels() -> u32 {
  if (encodedBits >= 16u && encodedKept == 0u) { return 32u / encodedBits; }
  return encodedGroup;
}

// The size of a number as bits that compare as it does; NaN is largest.
fn encodedSize(row: u32, c: u32) -> u32 { return bitcast<u32>(encodedSource(row, c)) & 0x7FFFFFFFu; }

// The size of which as many numbers of a row as are kept are at least.
fn encodedCut(dim: u32, row: u32) -> u32 {
  var cut = 0u;
  for (var bit = 0x40000000u; bit > 0u; bit >>= 1u) {
    var count = 0u;
    for (var c = 0u; c < dim; c++) { count += u32(encodedSize(row, c) >= (cut | bit)); }
    if (count >= encodedKept) { cut |= bit; }
  }
  return cut;
}

// The largest numbers of a row, of equal ones those of the lowest channels, behind a bit for each channel.
fn encodedThin(slot: u32, dim: u32, row: u32) {
  let base = slot * encodedWords(dim);
  let halves = base + (dim + 31u) / 32u;
  let cut = encodedCut(dim, row);
  var equal = encodedKept;
  for (var c = 0u; c < dim; c++) { equal -= u32(encodedSize(row, c) > cut); }
  var bits = 0u;
  var pair = 0u;
  var count = 0u;
  for (var c = 0u; c < dim; c++) {
    let size = encodedSize(row, c);
    if (size > cut || (size == cut && equal > 0u)) {
      equal -= u32(size == cut);
      bits |= 1u << (c % 32u);
      pair |= halfBits(encodedSource(row, c)) << (16u * (count & 1u));
      if ((count & 1u) == 1u) {
        encoded[halves + count / 2u] = pair;
        pair = 0u;
      }
      count += 1u;
    }
    if (c % 32u == 31u || c + 1u == dim) {
      encoded[base + c / 32u] = bits;
      bits = 0u;
    }
  }
}

// Writes piece number `piece` of a row that stands alone, from the source's row `row`.
fn encodedPut(slot: u32, piece: u32, dim: u32, row: u32) {
  if (encodedBits == 32u) { encoded[slot * dim + piece] = bitcast<u32>(encodedSource(row, piece)); return; }
  if (encodedKept > 0u) { encodedThin(slot, dim, row); return; }
  if (encodedBits == 16u) {
    let pair = halfBits(encodedSource(row, 2u * piece)) | (halfBits(encodedSource(row, 2u * piece + 1u)) << 16u);
    encoded[slot * (dim / 2u) + piece] = pair;
    return;
  }
  let first = piece * encodedGroup;
  var low = 3.4028234e38;
  var high = -3.4028234e38;
  for (var c = first; c < first + encodedGroup; c++) {
    let x = encodedSource(row, c);
    low = select(low, x, x < low);
    high = select(high, x, x > high);
  }
  let range = encodedRange(low, high);
  let pair = unpack2x16float(range);
  let base = slot * encodedWords(dim);
  encoded[base + piece] = range;
  let perWord = 32u / encodedBits;
  for (var w = 0u; w < encodedGroup / perWord; w++) {
    var word = 0u;
    for (var i = 0u; i < perWord; i++) {
      let x = encodedSource(row, first + w * perWord + i) - pair.y;
      word |= encodedNumber(x, pair.x, encodedMost()) << (i * encodedBits);
    }
    encoded[base + dim / encodedGroup + first / perWord + w] = word;
  }
}
