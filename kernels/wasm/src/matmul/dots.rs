//! Integer dot products of one record of weights (eight rows) with T rows of activations, exact in every build.
//!
//! Some engines check bounds in code, three instructions a load: activations are loaded four words at a time and spread by shuffles.

use super::activations::{Format, BLOCK};
use super::lanes::{load, spread, Constants};
use crate::pack::{Family, Layout};
use core::arch::wasm32::*;

/// Dot products: `[t][half]`, lanes are output rows.
pub type Dots<const T: usize> = [[v128; 2]; T];

/// Activation layout that the kernel of a family reads where codes come in so many parts.
pub const fn format_of(family: Family, _parts: usize) -> Format {
    match family {
        #[cfg(target_feature = "relaxed-simd")]
        Family::Nibble if _parts == 1 => Format::Byte,
        #[cfg(target_feature = "relaxed-simd")]
        Family::Nibble => Format::Bytes,
        #[cfg(not(target_feature = "relaxed-simd"))]
        Family::Nibble => Format::Shifted,
        _ => Format::Pairs,
    }
}

/// i32 dot products of `layout.block` inputs.
#[inline(always)]
pub unsafe fn dots<const T: usize, const PARTS: usize>(layout: &Layout, codes: *const u8, x: *const u8, c: &Constants) -> Dots<T> {
    match layout.family {
        Family::Nibble => nibble_dots::<T, PARTS>(codes, x, c),
        _ => byte_dots::<T>(layout.block, codes, x, c),
    }
}

/// Four steps of activations: `[step][t]` is word `step` of row t, spread over all lanes.
#[inline(always)]
unsafe fn four_steps<const T: usize>(x: *const u8) -> [[v128; T]; 4] {
    let loads: [v128; T] = core::array::from_fn(|i| load(x.add(16 * i)));
    core::array::from_fn(|step| core::array::from_fn(|t| spread(loads[(step * T + t) / 4], (step * T + t) % 4)))
}

/// Adds one step of i16 weights times i16 pairs.
#[inline(always)]
fn add_pairs<const T: usize>(sums: &mut Dots<T>, w: [v128; 2], x: &[v128; T]) {
    for (sum, pair) in sums.iter_mut().zip(x) {
        sum[0] = i32x4_add(sum[0], i32x4_dot_i16x8(w[0], *pair));
        sum[1] = i32x4_add(sum[1], i32x4_dot_i16x8(w[1], *pair));
    }
}

/// Signed bytes times i16 pairs.
#[inline(always)]
unsafe fn byte_dots<const T: usize>(block: usize, codes: *const u8, x: *const u8, c: &Constants) -> Dots<T> {
    let mut sums = [[i32x4_splat(0); 2]; T];
    if T == 4 {
        let mut s = 0;
        while s < 8 * block {
            let bytes = load(codes.add(s));
            let v = load(x.add(s));
            add_pairs(&mut sums, [i16x8_extend_low_i8x16(bytes), i16x8_extend_high_i8x16(bytes)], &core::array::from_fn(|t| spread(v, t)));
            s += c.step;
        }
        return sums;
    }
    for four in 0..block / 8 {
        let x = four_steps::<T>(x.add(16 * T * four));
        for (step, x) in x.iter().enumerate() {
            let bytes = load(codes.add(64 * four + 16 * step));
            add_pairs(&mut sums, [i16x8_extend_low_i8x16(bytes), i16x8_extend_high_i8x16(bytes)], x);
        }
    }
    sums
}

/// Nibbles times the bytes of codes. Pairs of products are summed in i16 over the whole record: at most 8 * 2 * 15 * 128 = 30,720.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
unsafe fn nibble_dots<const T: usize, const PARTS: usize>(codes: *const u8, x: *const u8, c: &Constants) -> Dots<T> {
    let mut sums = [[[i16x8_splat(0); 2]; T]; PARTS];
    for four in 0..BLOCK / 16 {
        let x: [_; PARTS] = core::array::from_fn(|part| four_steps::<T>(x.add(T * (BLOCK * part + 16 * four))));
        for two in 0..2 {
            let at = codes.add(64 * four + 32 * two);
            let bytes = [load(at), load(at.add(16))];
            let (even, odd) = (bytes.map(|b| v128_and(b, c.nibble)), bytes.map(|b| v128_and(u16x8_shr(b, 4), c.nibble)));
            for (sums, x) in sums.iter_mut().zip(&x) {
                add_bytes(sums, even, &x[2 * two]);
                add_bytes(sums, odd, &x[2 * two + 1]);
            }
        }
    }
    let mut dots = [[i32x4_splat(0); 2]; T];
    for (part, sums) in sums.iter().enumerate() {
        add_part(&mut dots, sums, c.parts[part]);
    }
    dots
}

/// Adds one step of bytes of at most 7 bits times bytes.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
pub fn add_bytes<const T: usize>(sums: &mut Dots<T>, w: [v128; 2], x: &[v128; T]) {
    for (sum, four) in sums.iter_mut().zip(x) {
        sum[0] = i16x8_add(sum[0], i16x8_relaxed_dot_i8x16_i7x16(*four, w[0]));
        sum[1] = i16x8_add(sum[1], i16x8_relaxed_dot_i8x16_i7x16(*four, w[1]));
    }
}

/// Adds sums over one byte of the codes, pairs of i16, times what that byte counts.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
pub fn add_part<const T: usize>(dots: &mut Dots<T>, sums: &Dots<T>, counts: v128) {
    for (dot, sum) in dots.iter_mut().zip(sums) {
        *dot = core::array::from_fn(|half| i32x4_add(dot[half], i32x4_dot_i16x8(sum[half], counts)));
    }
}

/// Nibbles times i16 pairs: an i16 lane holds four nibbles, one shift each.
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
unsafe fn nibble_dots<const T: usize, const PARTS: usize>(codes: *const u8, x: *const u8, c: &Constants) -> Dots<T> {
    let mut sums = [[i32x4_splat(0); 2]; T];
    // 15 in every i16.
    let mask = u16x8_shr(c.nibble, 8);
    for s in 0..BLOCK / 8 {
        let x = four_steps::<T>(x.add(16 * T * s));
        let bytes = [load(codes.add(32 * s)), load(codes.add(32 * s + 16))];
        for (i, x) in x.iter().enumerate() {
            add_pairs(&mut sums, bytes.map(|b| v128_and(u16x8_shr(b, 4 * i as u32), mask)), x);
        }
    }
    sums
}
