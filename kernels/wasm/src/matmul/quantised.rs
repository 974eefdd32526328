//! Matmul with block-quantised weights: integer dot products per block, scales and minima in f32.
//!
//! A result is `seed + sum over blocks of (scale_w * scale_x) * dot + min_w * sum_x`, always in this order, so its bits depend
//! neither on the number of threads nor on which rows of x are multiplied together.

use super::activations::{BLOCK, TILE};
use super::dots::{dots, format_of};
use super::lanes::{fma, load_pair, splat, widen_halves};
use super::tile::{seed, share, store};
use super::MatmulArgs;
use crate::pack::half::HALF_BYTES;
use crate::pack::{Minimum, LAYOUTS, ROW_INTERLEAVE};
use core::arch::wasm32::*;

/// Rows of x that are multiplied with a group of weights before the next group: their codes stay in the L2 cache.
const ROWS_AT_ONCE: usize = 128;

/// Eight scales or minima of a record.
#[inline(always)]
unsafe fn head(at: *const u8, width: usize) -> [v128; 2] {
    if width == HALF_BYTES {
        widen_halves(at)
    } else {
        load_pair(at)
    }
}

/// Scales and minima of a record.
#[inline(always)]
unsafe fn heads<const TY: usize>(record: *const u8) -> ([v128; 2], [v128; 2]) {
    let layout = const { LAYOUTS[TY] };
    let scales = head(record, layout.width);
    let minima = match layout.minimum {
        Minimum::None => scales,
        Minimum::Stored => head(record.add(8 * layout.width), layout.width),
        Minimum::Eighth => scales.map(|s| f32x4_mul(s, f32x4_splat(-8.0))),
    };
    (scales, minima)
}

/// T rows of x from row m times the group of weights that gives outputs from n.
#[inline(always)]
unsafe fn tile<const TY: usize, const T: usize>(args: &MatmulArgs, m: usize, n: usize) {
    let layout = const { LAYOUTS[TY] };
    let format = const { format_of(LAYOUTS[TY].family) };
    let blocks = args.k / BLOCK;
    let mut w = args.w.add(n / ROW_INTERLEAVE * (args.k / layout.block) * layout.record());
    let mut x: *const u8 = args.scratch.add(m * blocks * format.record());
    let mut sums = seed::<T>(args, m, n, true);
    for _ in 0..blocks {
        let tail = x.add(format.words() * 4 * T);
        for part in 0..BLOCK / layout.block {
            let dot = dots::<T>(&layout, w.add(layout.head()), x.add(part * format.words() * 2 * T));
            let (scales, minima) = heads::<TY>(w);
            for t in 0..T {
                let scale = splat(tail.add(4 * t));
                for half in 0..2 {
                    let product = f32x4_mul(scales[half], scale);
                    sums[t][half] = fma(f32x4_convert_i32x4(dot[t][half]), product, sums[t][half]);
                }
                if layout.minimum != Minimum::None {
                    let sum = splat(tail.add(4 * (T + t)));
                    for half in 0..2 {
                        sums[t][half] = fma(minima[half], sum, sums[t][half]);
                    }
                }
            }
            w = w.add(layout.record());
        }
        x = x.add(T * format.record());
    }
    store(args, m, n, &sums);
}

/// One function per kernel keeps each small enough for the engine's register allocator.
#[inline(never)]
unsafe fn rows<const TY: usize>(args: &MatmulArgs, from: usize, to: usize, n: usize) {
    let mut m = from;
    while m + TILE <= to {
        tile::<TY, TILE>(args, m, n);
        m += TILE;
    }
    while m < to {
        tile::<TY, 1>(args, m, n);
        m += 1;
    }
}

/// This thread's share of the outputs.
pub unsafe fn multiply<const TY: usize>(args: &MatmulArgs, thread: usize, threads: usize) {
    let (first, last) = share(args.n.div_ceil(ROW_INTERLEAVE), thread, threads);
    let mut m = 0;
    while m < args.m {
        let to = (m + ROWS_AT_ONCE).min(args.m);
        for group in first..last {
            rows::<TY>(args, m, to, group * ROW_INTERLEAVE);
        }
        m = to;
    }
}
