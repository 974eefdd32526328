// Numbers of a weight, four at a time, from blocks as they lie in a GGUF file, each padded to whole words. The override `weightType` is the index
// of the type in the order of `blockForms`; `weight` is the binding that holds the blocks.
override weightType: u32 = 0u;

fn fourBytes(word: u32) -> vec4f {
  return vec4f(vec4u(word & 255u, (word >> 8u) & 255u, (word >> 16u) & 255u, word >> 24u));
}

fn fourSigned(word: u32) -> vec4f {
  return vec4f(vec4i(i32(word << 24u) >> 24u, i32(word << 16u) >> 24u, i32(word << 8u) >> 24u, i32(word) >> 24u));
}

// Four neighbouring bits, each as the fifth bit of a byte.
fn fifthBits(bits: u32) -> u32 {
  return ((bits & 1u) << 4u) | ((bits & 2u) << 11u) | ((bits & 4u) << 18u) | ((bits & 8u) << 25u);
}

fn floatAt(i: u32) -> f32 {
  switch weightType {
    case 0u: { return bitcast<f32>(weight[i]); }
    case 1u: { return unpack2x16float(weight[i >> 1u] >> (16u * (i & 1u))).x; }
    default: { return bitcast<f32>((weight[i >> 1u] >> (16u * (i & 1u))) << 16u); }
  }
}

// Blocks of 32 numbers: a half or two, for five bits a word of fifth bits, then quants.
fn blockOf32(base: u32, e: u32) -> vec4f {
  let head = unpack2x16float(weight[base]);
  let shift = select(0u, 4u, e >= 16u);
  let at = (e & 15u) / 4u;
  switch weightType {
    case 3u: { return head.x * fourSigned(weight[base + 1u + e / 4u]); }
    case 4u: { return head.x * (fourBytes((weight[base + 1u + at] >> shift) & 0x0F0F0F0Fu) - 8.0); }
    case 5u: { return head.x * fourBytes((weight[base + 1u + at] >> shift) & 0x0F0F0F0Fu) + head.y; }
    default: {
      let quants = fourBytes(((weight[base + 2u + at] >> shift) & 0x0F0F0F0Fu) | fifthBits(weight[base + 1u] >> e));
      if (weightType == 6u) { return head.x * (quants - 16.0); }
      return head.x * quants + head.y;
    }
  }
}

fn byteAt(base: u32, i: u32) -> u32 { return (weight[base + i / 4u] >> (8u * (i & 3u))) & 255u; }

// Q4_K and Q5_K: eight sub-blocks of 32 with six-bit scales and minima in bytes 4 to 15.
fn superBlock(base: u32, e: u32) -> vec4f {
  let head = unpack2x16float(weight[base]);
  let i = e / 32u;
  let l = e & 31u;
  let low = byteAt(base, 4u + i + select(0u, 4u, i >= 4u));
  var scale = low & 63u;
  var minimum = byteAt(base, 8u + i) & 63u;
  if (i >= 4u) {
    scale = (low & 15u) | ((byteAt(base, i) >> 6u) << 4u);
    minimum = (low >> 4u) | ((byteAt(base, 4u + i) >> 6u) << 4u);
  }
  let first = select(4u, 12u, weightType == 9u);
  var quants = (weight[base + first + (i >> 1u) * 8u + l / 4u] >> (4u * (i & 1u))) & 0x0F0F0F0Fu;
  if (weightType == 9u) { quants |= ((weight[base + 4u + l / 4u] >> i) & 0x01010101u) << 4u; }
  return head.x * f32(scale) * fourBytes(quants) - head.y * f32(minimum);
}

fn sixBits(base: u32, e: u32) -> vec4f {
  let half = e >> 7u;
  let g = (e >> 5u) & 3u;
  let l = e & 31u;
  let low = (weight[base + 16u * half + (l + 32u * (g & 1u)) / 4u] >> (4u * (g >> 1u))) & 0x0F0F0F0Fu;
  let high = (weight[base + 32u + 8u * half + l / 4u] >> (2u * g)) & 0x03030303u;
  let scale = i32(byteAt(base, 192u + 8u * half + 2u * g + (l >> 4u)) << 24u) >> 24u;
  return unpack2x16float(weight[base + 52u]).x * f32(scale) * (fourBytes(low | (high << 4u)) - 32.0);
}

fn blockWords() -> u32 {
  switch weightType {
    case 3u: { return 9u; }
    case 6u, 7u: { return 6u; }
    case 8u: { return 36u; }
    case 9u: { return 44u; }
    case 10u: { return 53u; }
    default: { return 5u; }
  }
}

// Numbers c to c + 3 of a row, c a multiple of 4; zeros behind the end of a row of floats.
fn weightFour(row: u32, c: u32, cols: u32) -> vec4f {
  if (weightType < 3u) {
    let at = row * cols + c;
    var four = vec4f(0.0);
    if (c < cols) { four.x = floatAt(at); }
    if (c + 1u < cols) { four.y = floatAt(at + 1u); }
    if (c + 2u < cols) { four.z = floatAt(at + 2u); }
    if (c + 3u < cols) { four.w = floatAt(at + 3u); }
    return four;
  }
  if (c >= cols) { return vec4f(0.0); }
  if (weightType < 8u) { return blockOf32((row * (cols / 32u) + c / 32u) * blockWords(), c & 31u); }
  let base = (row * (cols / 256u) + c / 256u) * blockWords();
  if (weightType == 10u) { return sixBits(base, c & 255u); }
  return superBlock(base, c & 255u);
}

// Numbers c to c + 3 and c + 16 to c + 19 of a row, c within the first half of 32: under four bits they share their words.
fn weightPair(row: u32, c: u32, cols: u32) -> mat2x4f {
  if (weightType == 4u || weightType == 5u) {
    let base = (row * (cols / 32u) + c / 32u) * 5u;
    let head = unpack2x16float(weight[base]);
    let word = weight[base + 1u + (c & 15u) / 4u];
    let low = fourBytes(word & 0x0F0F0F0Fu);
    let high = fourBytes((word >> 4u) & 0x0F0F0F0Fu);
    if (weightType == 4u) { return mat2x4f(head.x * (low - 8.0), head.x * (high - 8.0)); }
    return mat2x4f(head.x * low + head.y, head.x * high + head.y);
  }
  return mat2x4f(weightFour(row, c, cols), weightFour(row, c + 16u, cols));
}
