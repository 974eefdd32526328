//! Rows as they are stored: f32 or f16. f16 bits become f32 bits by shifts and a mask; the value is then 2^-112 too small, and
//! kernels put the missing power into a factor they multiply by anyway. Finite values only, subnormals included, exact.

use crate::math::*;

/// Sign, exponent and mantissa of an f16 moved into f32 places.
const KEEP: u32 = 0x8fff_e000;

/// What halves are widened with.
#[derive(Clone, Copy)]
pub struct Parts {
    keep: v128,
    /// In every word 2^13 for the low half and 0 for the high one: a product by pairs takes the low half where two shifts would, on a unit of the
    /// processor that has less to do.
    low: v128,
}

/// How a row codec is read, eight values at a time.
pub trait Rows: Copy {
    /// Bytes per value.
    const BYTES: usize;
    /// True value = raw value * SCALE.
    const SCALE: f32;
    /// A power of two for the other factor of a product with raw values, so that nothing is lost to tiny numbers.
    const LIFT: f32;
    /// Raw values at p, p + 1, .. p + 7 in this codec's own order.
    unsafe fn load8(p: *const u8, parts: Parts) -> (v128, v128);
    /// The four raw values of step `step` of a row at p: first and second half of the first `load8`, of the second one, and so on.
    unsafe fn four(p: *const u8, step: usize, parts: Parts) -> v128;
    /// Bits of eight stored values.
    type Bits: Copy;
    /// All bits of those whose words are set.
    fn bits8(words: [v128; 2]) -> Self::Bits;
    /// Raw values at b where the bits of a stored value are set, at a where not, in the order of `load8`.
    unsafe fn pick8(a: *const u8, b: *const u8, which: Self::Bits, parts: Parts) -> (v128, v128);
    /// What `load8` wants beside the address: constants, from a place where the compiler cannot see them, so that engines keep them
    /// in registers instead of building them for every load.
    fn parts() -> Parts;
    /// One raw value.
    unsafe fn one(p: *const u8) -> f32;
    /// Eight floats brought into the order of `load8`.
    fn to_raw(lo: v128, hi: v128) -> (v128, v128);
    /// Back from the order of `load8`.
    fn from_raw(a: v128, b: v128) -> (v128, v128);
}

/// 32-bit rows.
#[derive(Clone, Copy)]
pub struct F32;

impl Rows for F32 {
    #[inline(always)]
    fn parts() -> Parts {
        Parts { keep: u32x4_splat(0), low: u32x4_splat(0) }
    }
    const BYTES: usize = 4;
    const SCALE: f32 = 1.0;
    const LIFT: f32 = 1.0;
    #[inline(always)]
    unsafe fn load8(p: *const u8, _: Parts) -> (v128, v128) {
        (v128_load(p as *const v128), v128_load(p.add(16) as *const v128))
    }
    #[inline(always)]
    unsafe fn four(p: *const u8, step: usize, _: Parts) -> v128 {
        v128_load(p.add(16 * step) as *const v128)
    }
    type Bits = [v128; 2];
    #[inline(always)]
    fn bits8(words: [v128; 2]) -> [v128; 2] {
        words
    }
    #[inline(always)]
    unsafe fn pick8(a: *const u8, b: *const u8, which: [v128; 2], _: Parts) -> (v128, v128) {
        (pick(a, b, which[0]), pick(a.add(16), b.add(16), which[1]))
    }
    #[inline(always)]
    unsafe fn one(p: *const u8) -> f32 {
        (p as *const f32).read_unaligned()
    }
    #[inline(always)]
    fn to_raw(lo: v128, hi: v128) -> (v128, v128) {
        (lo, hi)
    }
    #[inline(always)]
    fn from_raw(a: v128, b: v128) -> (v128, v128) {
        (a, b)
    }
}

/// 16-bit rows; the order of `load8` is even values, then odd ones.
#[derive(Clone, Copy)]
pub struct F16;

impl Rows for F16 {
    #[inline(always)]
    fn parts() -> Parts {
        Parts { keep: hidden(u32x4_splat(KEEP)), low: hidden(u32x4_splat(1 << 13)) }
    }
    const BYTES: usize = 2;
    const SCALE: f32 = 5.192_296_9e33; // 2^112
    const LIFT: f32 = 1.844_674_4e19; // 2^64
    #[inline(always)]
    unsafe fn load8(p: *const u8, parts: Parts) -> (v128, v128) {
        F16::widen(v128_load(p as *const v128), parts)
    }
    /// The low halves are the high ones of words two bytes before: the same two instructions, and no vector to be kept from one step to the next.
    #[inline(always)]
    unsafe fn four(p: *const u8, step: usize, parts: Parts) -> v128 {
        let words = p.wrapping_add(16 * (step / 2)).wrapping_sub(if step % 2 == 0 { 2 } else { 0 });
        v128_and(i32x4_shr(v128_load(words as *const v128), 3), parts.keep)
    }
    type Bits = v128;
    #[inline(always)]
    fn bits8([lo, hi]: [v128; 2]) -> v128 {
        i16x8_narrow_i32x4(lo, hi)
    }
    #[inline(always)]
    unsafe fn pick8(a: *const u8, b: *const u8, which: v128, parts: Parts) -> (v128, v128) {
        F16::widen(pick(a, b, which), parts)
    }
    #[inline(always)]
    unsafe fn one(p: *const u8) -> f32 {
        let bits = (p as *const i16).read_unaligned() as i32;
        f32::from_bits((bits << 13) as u32 & KEEP)
    }
    #[inline(always)]
    fn to_raw(lo: v128, hi: v128) -> (v128, v128) {
        (i32x4_shuffle::<0, 2, 4, 6>(lo, hi), i32x4_shuffle::<1, 3, 5, 7>(lo, hi))
    }
    #[inline(always)]
    fn from_raw(a: v128, b: v128) -> (v128, v128) {
        (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b))
    }
}

/// Bits at b where those of `which` are set, at a where not.
#[inline(always)]
unsafe fn pick(a: *const u8, b: *const u8, which: v128) -> v128 {
    v128_bitselect(v128_load(b as *const v128), v128_load(a as *const v128), which)
}

impl F16 {
    /// The low halves of four words, and the high ones, raw.
    #[inline(always)]
    pub fn widen(w: v128, parts: Parts) -> (v128, v128) {
        (v128_and(i32x4_dot_i16x8(w, parts.low), parts.keep), v128_and(i32x4_shr(w, 3), parts.keep))
    }
}

/// Decodes `count` values into true f32.
#[inline(never)]
pub unsafe fn decode<C: Rows>(src: *const u8, dst: *mut f32, count: usize) {
    let (scale, parts) = (f32x4_splat(C::SCALE), C::parts());
    let whole = count & !7;
    let mut i = 0;
    while i < whole {
        let (a, b) = C::load8(src.add(i * C::BYTES), parts);
        let (lo, hi) = C::from_raw(a, b);
        store(dst.add(i), f32x4_mul(lo, scale));
        store(dst.add(i + 4), f32x4_mul(hi, scale));
        i += 8;
    }
    for j in whole..count {
        *dst.add(j) = C::one(src.add(j * C::BYTES)) * C::SCALE;
    }
}

/// Bits of the smallest normal half as f32, 2^-14.
const NORMAL: u32 = 0x3880_0000;
/// Bits of 2^15, from which on rounding may end beyond the largest half.
const BEYOND: u32 = 0x4700_0000;

/// Four f32 to f16 bits in the low halves of the lanes, rounded to nearest even; beyond 65504 infinity, NaN stays NaN.
#[inline(always)]
fn to_half(x: v128) -> v128 {
    let sign = v128_and(x, u32x4_splat(0x8000_0000));
    let bits = v128_xor(x, sign);
    let odd = v128_and(u32x4_shr(bits, 13), u32x4_splat(1));
    let normal = u32x4_shr(i32x4_add(i32x4_add(bits, u32x4_splat(0xc800_0fff)), odd), 13);
    // Adding 0.5 leaves the rounded subnormal in the lowest bits.
    let small = i32x4_sub(f32x4_add(bits, f32x4_splat(0.5)), f32x4_splat(0.5));
    let h = v128_bitselect(small, normal, u32x4_lt(bits, u32x4_splat(NORMAL)));
    let large = v128_bitselect(u32x4_splat(0x7e00), u32x4_splat(0x7c00), u32x4_gt(bits, u32x4_splat(0x7f80_0000)));
    let h = v128_bitselect(large, h, u32x4_ge(bits, u32x4_splat(0x4780_0000)));
    v128_or(h, u32x4_shr(sign, 16))
}

/// Encodes `count` floats as f16. Where all of eight become normal halves, the common case, less is to be looked after.
#[inline(never)]
pub unsafe fn encode_f16(src: *const f32, dst: *mut u16, count: usize) {
    let [sign, least, span, round, one] = [0x8000_0000, NORMAL, BEYOND - NORMAL, 0xc800_0fff, 1].map(|x| hidden(u32x4_splat(x)));
    let whole = count & !7;
    for i in (0..whole).step_by(8) {
        let x = [load(src.add(i)), load(src.add(i + 4))];
        let bits = x.map(|x| v128_andnot(x, sign));
        let normal = bits.map(|bits| u32x4_lt(i32x4_sub(bits, least), span));
        let [lo, hi] = if i32x4_all_true(v128_and(normal[0], normal[1])) {
            core::array::from_fn(|k| {
                let odd = v128_and(u32x4_shr(bits[k], 13), one);
                v128_or(u32x4_shr(i32x4_add(i32x4_add(bits[k], round), odd), 13), u32x4_shr(v128_and(x[k], sign), 16))
            })
        } else {
            x.map(|x| to_half(x))
        };
        v128_store(dst.add(i) as *mut v128, u16x8_narrow_i32x4(lo, hi));
    }
    for j in whole..count {
        let h = to_half(f32x4_splat(*src.add(j)));
        dst.add(j).write_unaligned(u32x4_extract_lane::<0>(h) as u16);
    }
}
