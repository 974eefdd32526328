//! Matmul with block-quantised weights: integer dot products per block, scales and minima in f32.
//!
//! A result is `seed + sum over blocks of (scale_w * scale_x) * dot + min_w * sum_x`, always in this order, so its bits depend
//! neither on the number of threads nor on which rows of x are multiplied together.

use super::activations::{BLOCK, TILE};
use super::dots::{dots, format_of, Dots};
use super::lanes::{constants, fma, load_pair, widen_halves, words, Constants};
#[cfg(target_feature = "relaxed-simd")]
use super::panel;
use super::tile::{seed, share, store, Sums};
use super::MatmulArgs;
use crate::pack::half::HALF_BYTES;
#[cfg(target_feature = "relaxed-simd")]
use crate::pack::Family;
use crate::pack::{Minimum, LAYOUTS, ROW_INTERLEAVE};
use core::arch::wasm32::*;

/// Rows of x that are multiplied with a group of weights before the next group: their codes stay in the L2 cache.
const ROWS_AT_ONCE: usize = 128;

/// Eight scales or minima of a record.
#[inline(always)]
unsafe fn head(at: *const u8, width: usize, c: &Constants) -> [v128; 2] {
    if width == HALF_BYTES {
        widen_halves(at, c)
    } else {
        load_pair(at)
    }
}

/// Scales and minima of a record of type `TY`.
#[inline(always)]
pub unsafe fn heads<const TY: usize>(record: *const u8, c: &Constants) -> [[v128; 2]; 2] {
    let layout = const { LAYOUTS[TY] };
    let scales = head(record, layout.width, c);
    let minima = match layout.minimum {
        Minimum::None => scales,
        Minimum::Stored => head(record.add(8 * layout.width), layout.width, c),
        Minimum::Eighth => scales.map(|s| f32x4_mul(s, f32x4_splat(-8.0))),
    };
    [scales, minima]
}

/// Adds a block: `x` is the scales, then the sums of T rows.
#[inline(always)]
pub unsafe fn add_block<const T: usize>(sums: &mut Sums<T>, dot: Dots<T>, heads: [[v128; 2]; 2], x: *const u8, minimum: Minimum) {
    let [scales, minima] = heads;
    let scale = words::<T>(x);
    let sum = words::<T>(x.add(4 * T));
    for t in 0..T {
        for half in 0..2 {
            let product = f32x4_mul(scales[half], scale[t]);
            sums[t][half] = fma(f32x4_convert_i32x4(dot[t][half]), product, sums[t][half]);
            if minimum != Minimum::None {
                sums[t][half] = fma(minima[half], sum[t], sums[t][half]);
            }
        }
    }
}

/// T rows of x from row m times the group of weights that gives outputs from n.
#[inline(always)]
unsafe fn tile<const TY: usize, const T: usize, const PARTS: usize>(args: &MatmulArgs, m: usize, n: usize) {
    let layout = const { LAYOUTS[TY] };
    let format = const { format_of(LAYOUTS[TY].family, PARTS) };
    let blocks = args.k / BLOCK;
    let mut w = args.w.add(n / ROW_INTERLEAVE * (args.k / layout.block) * layout.record());
    let mut x: *const u8 = args.scratch.add(m * blocks * format.record());
    let c = constants();
    let mut sums = seed::<T>(args, m, n, true);
    for _ in 0..blocks {
        for part in 0..BLOCK / layout.block {
            let dot = dots::<T, PARTS>(&layout, w.add(layout.head()), x.add(part * format.words() * 2 * T), &c);
            let tail = x.add(format.words() * 4 * T);
            add_block(&mut sums, dot, heads::<TY>(w, &c), tail, layout.minimum);
            w = w.add(layout.record());
        }
        x = x.add(T * format.record());
    }
    store(args, m, n, &sums);
}

/// Rows `from..to` of x, whole tiles, times a group of weights.
#[cfg_attr(not(target_feature = "relaxed-simd"), allow(unused_variables))]
#[inline(never)]
unsafe fn tiles<const TY: usize, const PARTS: usize>(args: &MatmulArgs, from: usize, to: usize, n: usize, thread: usize) {
    #[cfg(target_feature = "relaxed-simd")]
    if const { matches!(LAYOUTS[TY].family, Family::Nibble) } && to - from >= panel::MIN_ROWS {
        return panel::multiply::<TY, PARTS>(args, from, to, n, thread);
    }
    for m in (from..to).step_by(TILE) {
        tile::<TY, TILE, PARTS>(args, m, n);
    }
}

/// Rows `from..to` of x, one by one, times a group of weights.
#[inline(never)]
unsafe fn singles<const TY: usize, const PARTS: usize>(args: &MatmulArgs, from: usize, to: usize, n: usize) {
    for m in from..to {
        tile::<TY, 1, PARTS>(args, m, n);
    }
}

/// This thread's share of the outputs.
pub unsafe fn multiply<const TY: usize, const PARTS: usize>(args: &MatmulArgs, thread: usize, threads: usize) {
    let (first, last) = share(args.n.div_ceil(ROW_INTERLEAVE), thread, threads);
    let mut m = 0;
    while m < args.m {
        let to = (m + ROWS_AT_ONCE).min(args.m);
        let full = m + (to - m) / TILE * TILE;
        for n in (first * ROW_INTERLEAVE..last * ROW_INTERLEAVE).step_by(ROW_INTERLEAVE) {
            if full > m {
                tiles::<TY, PARTS>(args, m, full, n, thread);
            }
            singles::<TY, PARTS>(args, full, to, n);
        }
        m = to;
    }
}
