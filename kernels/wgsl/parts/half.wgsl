// f32 to f16 bits, to nearest, ties to even. `pack2x16float` may round as its driver likes, and stored rows must be the same bits on
// every backend.
fn halfBits(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) { return sign | 0x7E00u | ((magnitude >> 13u) & 0x3FFu); }
  if (magnitude >= 0x47800000u) { return sign | 0x7C00u; }
  if (magnitude < 0x38800000u) { return sign | subnormalHalf(magnitude); }
  let odd = (magnitude >> 13u) & 1u;
  return sign | ((magnitude - 0x38000000u + 0xFFFu + odd) >> 13u);
}

// Below 2^-14 a half counts in steps of 2^-24.
fn subnormalHalf(magnitude: u32) -> u32 {
  let exponent = magnitude >> 23u;
  if (exponent < 102u) { return 0u; }
  let mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
  let shift = 126u - exponent;
  let whole = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  return whole + select(0u, 1u, rest > middle || (rest == middle && (whole & 1u) == 1u));
}
