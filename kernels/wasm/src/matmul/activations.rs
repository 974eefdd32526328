//! Activations as int8: per row of x and 32 inputs one scale, max|x| / 127, and codes rounded to the nearest integer.
//!
//! Rows are taken four at a time (a tile), what is left singly. A tile of T rows is a run of records, one per 32 inputs:
//! `[codes][T scales][T sums]`, f32, where a sum is scale * sum of codes (for weights with a minimum). Codes come in words of four bytes:
//! word w of row t lies at `(w * T + t) * 4`, so that one load gives what a step of the kernel multiplies.

use super::tile::share;
use super::MatmulArgs;
use core::arch::wasm32::*;

/// Rows of a full tile.
pub const TILE: usize = 4;
/// Inputs that share a scale.
pub const BLOCK: usize = 32;

/// How codes are laid in words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Four bytes in order.
    Bytes,
    /// Two i16 in order.
    Pairs,
    /// Two i16, pairs (0,2) (4,6) (1,3) (5,7) of each eight: the order in which shifting i16 lanes yields nibbles.
    Shifted,
}

impl Format {
    /// Words per 32 inputs.
    pub const fn words(self) -> usize {
        match self {
            Format::Bytes => 8,
            _ => 16,
        }
    }

    /// Bytes of a record per row.
    pub const fn record(self) -> usize {
        self.words() * 4 + 8
    }
}

/// Largest of |x| over 32 inputs; NaN if one is NaN.
#[inline(always)]
unsafe fn largest(x: &[v128; 8]) -> f32 {
    let mut most = f32x4_abs(x[0]);
    for v in &x[1..] {
        most = f32x4_max(most, f32x4_abs(*v));
    }
    most = f32x4_max(most, i32x4_shuffle::<2, 3, 0, 1>(most, most));
    most = f32x4_max(most, i32x4_shuffle::<1, 0, 3, 2>(most, most));
    f32x4_extract_lane::<0>(most)
}

/// Quantises 32 inputs to four vectors of i16; also scale and scale * sum.
#[inline(always)]
unsafe fn quantise(at: *const f32) -> ([v128; 4], f32, f32) {
    let mut x = [f32x4_splat(0.0); 8];
    for (i, v) in x.iter_mut().enumerate() {
        *v = v128_load(at.add(4 * i) as *const v128);
    }
    let most = largest(&x);
    let scale = most / 127.0;
    // Below this the reciprocal overflows: such a block counts as zeros.
    let inverse = if most < 1e-30 { 0.0 } else { 127.0 / most };
    let round = |v: v128| i32x4_trunc_sat_f32x4(f32x4_nearest(f32x4_mul(v, f32x4_splat(inverse))));
    let mut codes = [i16x8_splat(0); 4];
    let mut sum = i16x8_splat(0);
    for (i, code) in codes.iter_mut().enumerate() {
        *code = i16x8_narrow_i32x4(round(x[2 * i]), round(x[2 * i + 1]));
        sum = i16x8_add(sum, *code);
    }
    let sum = i32x4_extadd_pairwise_i16x8(sum);
    let sum = i32x4_add(sum, i32x4_shuffle::<2, 3, 0, 1>(sum, sum));
    let sum = i32x4_extract_lane::<0>(sum) + i32x4_extract_lane::<1>(sum);
    (codes, scale, scale * sum as f32)
}

/// Scatters the four words of a vector, `step` bytes apart.
#[inline(always)]
unsafe fn put_words(words: v128, to: *mut u8, step: usize) {
    v128_store32_lane::<0>(words, to as *mut u32);
    v128_store32_lane::<1>(words, to.add(step) as *mut u32);
    v128_store32_lane::<2>(words, to.add(2 * step) as *mut u32);
    v128_store32_lane::<3>(words, to.add(3 * step) as *mut u32);
}

/// Writes row `t` of a record of T rows.
#[inline(always)]
unsafe fn put_row<const T: usize>(format: Format, at: *const f32, record: *mut u8, t: usize) {
    let (codes, scale, sum) = quantise(at);
    let (to, step) = (record.add(4 * t), 4 * T);
    match format {
        Format::Bytes => {
            put_words(i8x16_narrow_i16x8(codes[0], codes[1]), to, step);
            put_words(i8x16_narrow_i16x8(codes[2], codes[3]), to.add(4 * step), step);
        }
        Format::Pairs => {
            for (i, code) in codes.iter().enumerate() {
                put_words(*code, to.add(i * 4 * step), step);
            }
        }
        Format::Shifted => {
            for (i, code) in codes.iter().enumerate() {
                put_words(i16x8_shuffle::<0, 2, 4, 6, 1, 3, 5, 7>(*code, *code), to.add(i * 4 * step), step);
            }
        }
    }
    let tail = record.add(format.words() * 4 * T) as *mut f32;
    *tail.add(t) = scale;
    *tail.add(T + t) = sum;
}

/// Quantises the tile of T rows that starts at row m.
unsafe fn put_tile<const T: usize>(format: Format, args: &MatmulArgs, m: usize) {
    let blocks = args.k / BLOCK;
    let tile = args.scratch.add(m * blocks * format.record());
    for t in 0..T {
        for b in 0..blocks {
            put_row::<T>(format, args.x.add((m + t) * args.k + b * BLOCK), tile.add(b * T * format.record()), t);
        }
    }
}

/// Quantises this thread's share of the rows into scratch.
pub unsafe fn quantise_rows(format: Format, args: &MatmulArgs, thread: usize, threads: usize) {
    let full = args.m / TILE;
    let (from, to) = share(full + args.m % TILE, thread, threads);
    for i in from..to {
        if i < full {
            put_tile::<TILE>(format, args, i * TILE);
        } else {
            put_tile::<1>(format, args, full * TILE + i - full);
        }
    }
}
