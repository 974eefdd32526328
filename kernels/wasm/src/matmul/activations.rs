//! Activations as whole numbers: per row of x and 32 inputs one scale, max|x| / the largest code, and codes rounded to the nearest integer.
//! Of 16 bits, a code is 256 * high + low, both of which fit a signed byte, so kernels that multiply bytes take it in two parts. Of 8 bits, if
//! the host says so, it is one part, and scale and sum keep the eleven significant bits of a half (but its range no limit), as in the Q8_0 and
//! Q8_1 blocks of llama.cpp (`ggml-quants.c`): both engines then round alike.
//!
//! Rows are taken four at a time (a tile), what is left singly. A tile of T rows is a run of records, one per 32 inputs:
//! `[codes][T scales][T sums]`, f32, where a sum is scale * sum of codes (for weights with a minimum). Codes come in words of four bytes:
//! word w of row t lies at `(w * T + t) * 4`, so that one load gives what a step of the kernel multiplies.

use super::lanes::{fma, load};
use super::tile::share;
use super::MatmulArgs;
use crate::math::{transpose, whole_sum};
use core::arch::wasm32::*;
use core::sync::atomic::{AtomicBool, Ordering};

/// Rows of a full tile.
pub const TILE: usize = 4;
/// Inputs that share a scale.
pub const BLOCK: usize = 32;
/// The largest code of 8 bits, and of 16: 127 * 256 + 127.
const MOST: [f32; 2] = [127.0, 32_639.0];
/// Words of 32 inputs of a row, but for [`Format::Byte`].
const WORDS: usize = 16;

/// How codes are laid in words. Nibble weights want `Bytes` in the relaxed build and `Shifted` in the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Codes of 8 bits, four bytes in order.
    #[cfg(target_feature = "relaxed-simd")]
    Byte,
    /// The low bytes of all 32 codes in order, then the high ones.
    #[cfg(target_feature = "relaxed-simd")]
    Bytes,
    /// Two i16 in order.
    Pairs,
    /// Two i16, pairs (0,2) (4,6) (1,3) (5,7) of each eight: the order in which shifting i16 lanes yields nibbles.
    #[cfg(not(target_feature = "relaxed-simd"))]
    Shifted,
}

impl Format {
    /// Words per 32 inputs.
    pub const fn words(self) -> usize {
        match self {
            #[cfg(target_feature = "relaxed-simd")]
            Format::Byte => WORDS / 2,
            _ => WORDS,
        }
    }

    /// Bytes of a record per row.
    pub const fn record(self) -> usize {
        self.words() * 4 + 8
    }
}

/// Whether codes have 8 bits instead of 16. The host says so once, ahead of all programs.
static EIGHT_BITS: AtomicBool = AtomicBool::new(false);

/// Chooses the bits of codes, for all threads.
pub fn choose_eight_bits(eight: bool) {
    EIGHT_BITS.store(eight, Ordering::Relaxed);
}

/// Whether codes have 8 bits.
pub fn are_eight_bits() -> bool {
    EIGHT_BITS.load(Ordering::Relaxed)
}

/// Thirty-two quantised inputs of one row.
#[derive(Clone, Copy)]
struct Quantised {
    /// Codes as i16, in order.
    codes: [v128; 4],
    /// One step of a code.
    scale: f32,
    /// scale * sum of codes.
    sum: f32,
}

/// Largest |x| of 32 inputs. Magnitudes order like their bits, and NaN is above infinity.
#[inline(always)]
fn largest(x: &[v128; 8]) -> f32 {
    let magnitude = |v: v128| v128_and(v, u32x4_splat(0x7fff_ffff));
    let mut most = magnitude(x[0]);
    for v in &x[1..] {
        most = i32x4_max(most, magnitude(*v));
    }
    most = i32x4_max(most, i32x4_shuffle::<2, 3, 0, 1>(most, most));
    most = i32x4_max(most, i32x4_shuffle::<1, 0, 3, 2>(most, most));
    f32x4_extract_lane::<0>(most)
}

/// The nearest number of eleven significant bits, ties to even.
#[inline(always)]
fn round_to_half(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add(0xfff + (bits >> 13 & 1)) & !0x1fff)
}

/// Quantises 32 inputs. A block with infinities or NaN gets such a scale, hence such results.
#[inline(always)]
unsafe fn quantise(at: *const f32, eight: bool) -> Quantised {
    let most_code = MOST[!eight as usize];
    let x: [v128; 8] = core::array::from_fn(|i| load(at.add(4 * i) as *const u8));
    let most = largest(&x);
    // Below this the reciprocal overflows: such a block counts as zeros.
    let inverse = f32x4_splat(if most < 1e-30 { 0.0 } else { most_code / most });
    // Adding 1.5 * 2^23 leaves the integer nearest to a number (ties to even) in the low bits of the sum.
    let magic = f32x4_splat(12_582_912.0);
    let round = |v: v128| i32x4_sub(fma(v, inverse, magic), magic);
    let codes: [v128; 4] = core::array::from_fn(|i| i16x8_narrow_i32x4(round(x[2 * i]), round(x[2 * i + 1])));
    let pairs = codes.map(|v| i32x4_extadd_pairwise_i16x8(v));
    let sum = whole_sum(i32x4_add(i32x4_add(pairs[0], pairs[1]), i32x4_add(pairs[2], pairs[3])));
    let scale = most * (1.0 / most_code);
    let sum = scale * sum as f32;
    if eight {
        return Quantised { codes, scale: round_to_half(scale), sum: round_to_half(sum) };
    }
    Quantised { codes, scale, sum }
}

/// Words `4 i..4 i + 4` of a row.
#[inline(always)]
fn words(format: Format, codes: &[v128; 4], i: usize) -> v128 {
    match format {
        #[cfg(target_feature = "relaxed-simd")]
        Format::Byte => i8x16_narrow_i16x8(codes[2 * i], codes[2 * i + 1]),
        #[cfg(target_feature = "relaxed-simd")]
        Format::Bytes if i < 2 => {
            i8x16_shuffle::<0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30>(codes[2 * i], codes[2 * i + 1])
        }
        #[cfg(target_feature = "relaxed-simd")]
        Format::Bytes => {
            // A low byte counts as signed: the high one is that of code + 128.
            let [a, b] = [codes[2 * i - 4], codes[2 * i - 3]].map(|v| i16x8_add(v, i16x8_splat(128)));
            i8x16_shuffle::<1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31>(a, b)
        }
        Format::Pairs => codes[i],
        #[cfg(not(target_feature = "relaxed-simd"))]
        Format::Shifted => i16x8_shuffle::<0, 2, 4, 6, 1, 3, 5, 7>(codes[i], codes[i]),
    }
}

/// Writes a record of four rows.
#[inline(always)]
unsafe fn put_four(format: Format, rows: [Quantised; 4], record: *mut u8) {
    let store = |i: usize, v: v128| v128_store(record.add(16 * i) as *mut v128, v);
    for i in 0..format.words() / 4 {
        for (j, column) in transpose(rows.map(|row| words(format, &row.codes, i))).into_iter().enumerate() {
            store(4 * i + j, column);
        }
    }
    store(format.words(), f32x4(rows[0].scale, rows[1].scale, rows[2].scale, rows[3].scale));
    store(format.words() + 1, f32x4(rows[0].sum, rows[1].sum, rows[2].sum, rows[3].sum));
}

/// Writes a record of one row.
#[inline(always)]
unsafe fn put_one(format: Format, row: Quantised, record: *mut u8) {
    for i in 0..format.words() / 4 {
        v128_store(record.add(16 * i) as *mut v128, words(format, &row.codes, i));
    }
    let tail = record.add(format.words() * 4) as *mut f32;
    *tail = row.scale;
    *tail.add(1) = row.sum;
}

/// Quantises tiles `from..to`, the first `full` of which have four rows.
#[inline(always)]
unsafe fn tiles(format: Format, args: &MatmulArgs, full: usize, from: usize, to: usize) {
    let blocks = args.k / BLOCK;
    let eight = are_eight_bits();
    for i in from..to {
        let m = if i < full { i * TILE } else { full * TILE + i - full };
        let x = args.x.add(m * args.k);
        let tile = args.scratch.add(m * blocks * format.record());
        for b in 0..blocks {
            if i < full {
                let rows = core::array::from_fn(|t| quantise(x.add(t * args.k + b * BLOCK), eight));
                put_four(format, rows, tile.add(b * TILE * format.record()));
            } else {
                put_one(format, quantise(x.add(b * BLOCK), eight), tile.add(b * format.record()));
            }
        }
    }
}

/// Quantises this thread's share of the rows into scratch.
pub unsafe fn quantise_rows(format: Format, args: &MatmulArgs, thread: usize, threads: usize) {
    let full = args.m / TILE;
    let (from, to) = share(full + args.m % TILE, thread, threads);
    match format {
        #[cfg(target_feature = "relaxed-simd")]
        Format::Byte => tiles(Format::Byte, args, full, from, to),
        #[cfg(target_feature = "relaxed-simd")]
        Format::Bytes => tiles(Format::Bytes, args, full, from, to),
        Format::Pairs => tiles(Format::Pairs, args, full, from, to),
        #[cfg(not(target_feature = "relaxed-simd"))]
        Format::Shifted => tiles(Format::Shifted, args, full, from, to),
    }
}
