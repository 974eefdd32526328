//! f16 to f32.

/// Bytes of an f16.
pub const HALF_BYTES: usize = 2;

/// Widens one f16, exactly (subnormals, infinities and NaN included).
#[inline(always)]
pub fn half_to_f32(bits: u16) -> f32 {
    let sign = (bits as u32 & 0x8000) << 16;
    let magnitude = (bits as u32 & 0x7fff) << 13;
    if magnitude >= 0x0f80_0000 {
        return f32::from_bits(sign | magnitude | 0x7f80_0000);
    }
    // The exponent biases differ by 112; the product also normalises subnormals.
    f32::from_bits(sign | (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits())
}
