//! Integer dot products of one record of weights (eight rows) with T rows of activations, exact in every build.

use super::activations::{Format, BLOCK};
use super::lanes::{load, splat};
use crate::pack::{Family, Layout};
use core::arch::wasm32::*;

/// Activation layout that the kernel of a family reads.
pub const fn format_of(family: Family) -> Format {
    match family {
        Family::Nibble if cfg!(target_feature = "relaxed-simd") => Format::Bytes,
        Family::Nibble => Format::Shifted,
        _ => Format::Pairs,
    }
}

/// i32 dot products of `layout.block` inputs: `[t][half]`, lanes are output rows.
#[inline(always)]
pub unsafe fn dots<const T: usize>(layout: &Layout, codes: *const u8, x: *const u8) -> [[v128; 2]; T] {
    match layout.family {
        Family::Nibble => nibble_dots::<T>(codes, x),
        _ => byte_dots::<T>(layout.block, codes, x),
    }
}

/// Signed bytes times i16 pairs.
#[inline(always)]
unsafe fn byte_dots<const T: usize>(block: usize, codes: *const u8, x: *const u8) -> [[v128; 2]; T] {
    let mut sums = [[i32x4_splat(0); 2]; T];
    for s in 0..block / 2 {
        let low = i16x8_load_extend_i8x8(codes.add(16 * s) as *const i8);
        let high = i16x8_load_extend_i8x8(codes.add(16 * s + 8) as *const i8);
        for (t, sum) in sums.iter_mut().enumerate() {
            let pair = splat(x.add((s * T + t) * 4));
            sum[0] = i32x4_add(sum[0], i32x4_dot_i16x8(low, pair));
            sum[1] = i32x4_add(sum[1], i32x4_dot_i16x8(high, pair));
        }
    }
    sums
}

/// Nibbles times bytes. Pairs of products are summed in i16 over the whole record: at most 8 * 2 * 15 * 127 = 30,480.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
unsafe fn nibble_dots<const T: usize>(codes: *const u8, x: *const u8) -> [[v128; 2]; T] {
    let mut sums = [[i16x8_splat(0); 2]; T];
    for s in 0..BLOCK / 8 {
        let bytes = [load(codes.add(32 * s)), load(codes.add(32 * s + 16))];
        let low = [v128_and(bytes[0], u8x16_splat(15)), v128_and(bytes[1], u8x16_splat(15))];
        let high = [u8x16_shr(bytes[0], 4), u8x16_shr(bytes[1], 4)];
        for (t, sum) in sums.iter_mut().enumerate() {
            let four = splat(x.add((2 * s * T + t) * 4));
            sum[0] = i16x8_add(sum[0], i16x8_relaxed_dot_i8x16_i7x16(four, low[0]));
            sum[1] = i16x8_add(sum[1], i16x8_relaxed_dot_i8x16_i7x16(four, low[1]));
        }
        for (t, sum) in sums.iter_mut().enumerate() {
            let four = splat(x.add(((2 * s + 1) * T + t) * 4));
            sum[0] = i16x8_add(sum[0], i16x8_relaxed_dot_i8x16_i7x16(four, high[0]));
            sum[1] = i16x8_add(sum[1], i16x8_relaxed_dot_i8x16_i7x16(four, high[1]));
        }
    }
    let ones = i16x8_splat(1);
    sums.map(|sum| [i32x4_dot_i16x8(sum[0], ones), i32x4_dot_i16x8(sum[1], ones)])
}

/// Nibbles times i16 pairs: an i16 lane holds four nibbles, one shift each.
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
unsafe fn nibble_dots<const T: usize>(codes: *const u8, x: *const u8) -> [[v128; 2]; T] {
    let mut sums = [[i32x4_splat(0); 2]; T];
    let mask = u16x8_splat(15);
    for s in 0..BLOCK / 8 {
        let bytes = [load(codes.add(32 * s)), load(codes.add(32 * s + 16))];
        for i in 0..4 {
            let nibbles = bytes.map(|b| v128_and(u16x8_shr(b, 4 * i), mask));
            for (t, sum) in sums.iter_mut().enumerate() {
                let pair = splat(x.add(((4 * s + i as usize) * T + t) * 4));
                sum[0] = i32x4_add(sum[0], i32x4_dot_i16x8(nibbles[0], pair));
                sum[1] = i32x4_add(sum[1], i32x4_dot_i16x8(nibbles[1], pair));
            }
        }
    }
    sums
}
