//! The few vector operations that differ between the two builds, and the widening of f16.

use core::arch::wasm32::*;

/// a * b + c: fused where the relaxed build's machine fuses, in two roundings otherwise.
#[inline(always)]
pub fn fma(a: v128, b: v128, c: v128) -> v128 {
    #[cfg(target_feature = "relaxed-simd")]
    return f32x4_relaxed_madd(a, b, c);
    #[cfg(not(target_feature = "relaxed-simd"))]
    return f32x4_add(f32x4_mul(a, b), c);
}

/// Unaligned load.
#[inline(always)]
pub unsafe fn load(at: *const u8) -> v128 {
    v128_load(at as *const v128)
}

/// One 32-bit word in all lanes.
#[inline(always)]
pub unsafe fn splat(at: *const u8) -> v128 {
    v128_load32_splat(at as *const u32)
}

/// Four sign-extended f16 as f32; exact for all finite values.
#[inline(always)]
fn widen(signed: v128) -> v128 {
    // Sign extension smears the sign over bits 28..31: the mask leaves it at 31 only. 2^112 mends the exponent bias.
    let bits = v128_and(i32x4_shl(signed, 13), u32x4_splat(0x8fff_ffff));
    f32x4_mul(bits, f32x4_splat(f32::from_bits((127 + 112) << 23)))
}

/// Eight f16 as two vectors of f32.
#[inline(always)]
pub unsafe fn widen_halves(at: *const u8) -> [v128; 2] {
    let halves = load(at);
    [widen(i32x4_extend_low_i16x8(halves)), widen(i32x4_extend_high_i16x8(halves))]
}

/// Eight bf16 as two vectors of f32.
#[inline(always)]
pub unsafe fn widen_bf16(at: *const u8) -> [v128; 2] {
    let halves = load(at);
    [i32x4_shl(i32x4_extend_low_i16x8(halves), 16), i32x4_shl(i32x4_extend_high_i16x8(halves), 16)]
}

/// Eight f32.
#[inline(always)]
pub unsafe fn load_pair(at: *const u8) -> [v128; 2] {
    [load(at), load(at.add(16))]
}
