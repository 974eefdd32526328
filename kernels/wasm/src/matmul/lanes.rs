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

/// Constants of the inner loops. Engines build a vector constant anew where it is used; a value that the compiler cannot
/// know stays in a register instead.
#[derive(Clone, Copy)]
pub struct Constants {
    /// 15 in every byte.
    pub nibble: v128,
    /// What the low and the high bytes of codes count: 1 in every i16, and 256.
    #[cfg(target_feature = "relaxed-simd")]
    pub parts: [v128; 2],
    /// 16, the bytes of a vector. A loop with this stride is not unrolled, and that is wanted: the compiler sinks each sum of an unrolled
    /// loop into one long expression, which keeps all loaded operands alive and spills them.
    pub step: usize,
    /// All bits but 28..30 of every i32.
    sign_once: v128,
    /// 2^112 in every f32.
    bias: v128,
}

/// The constants, from a place that the compiler must read.
#[inline(always)]
pub fn constants() -> Constants {
    static WORDS: [u32; 6] = [0x0f0f_0f0f, 0x8fff_ffff, (127 + 112) << 23, 0x0001_0001, 0x0100_0100, 16];
    // SAFETY: reads inside the array.
    let word = |i: usize| unsafe { WORDS.as_ptr().add(i).read_volatile() };
    Constants {
        nibble: u32x4_splat(word(0)),
        sign_once: u32x4_splat(word(1)),
        bias: u32x4_splat(word(2)),
        #[cfg(target_feature = "relaxed-simd")]
        parts: [u32x4_splat(word(3)), u32x4_splat(word(4))],
        step: word(5) as usize,
    }
}

/// Four sign-extended f16 as f32; exact for all finite values.
#[inline(always)]
fn widen(signed: v128, c: &Constants) -> v128 {
    // Sign extension smears the sign over bits 28..31: the mask leaves it at 31 only. 2^112 mends the exponent bias.
    f32x4_mul(v128_and(i32x4_shl(signed, 13), c.sign_once), c.bias)
}

/// Eight f16 as two vectors of f32.
#[inline(always)]
pub unsafe fn widen_halves(at: *const u8, c: &Constants) -> [v128; 2] {
    let halves = load(at);
    [widen(i32x4_extend_low_i16x8(halves), c), widen(i32x4_extend_high_i16x8(halves), c)]
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

/// Lane `i` in all lanes; `i` must be known when compiling.
#[inline(always)]
pub fn spread(v: v128, i: usize) -> v128 {
    match i {
        0 => i32x4_shuffle::<0, 0, 0, 0>(v, v),
        1 => i32x4_shuffle::<1, 1, 1, 1>(v, v),
        2 => i32x4_shuffle::<2, 2, 2, 2>(v, v),
        _ => i32x4_shuffle::<3, 3, 3, 3>(v, v),
    }
}

/// T consecutive words (T is 1 or 4), each in all lanes. One load and shuffles: engines that check bounds in code pay per load.
#[inline(always)]
pub unsafe fn words<const T: usize>(at: *const u8) -> [v128; T] {
    if T == 1 {
        return [splat(at); T];
    }
    let all = load(at);
    core::array::from_fn(|i| spread(all, i))
}
