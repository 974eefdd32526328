//! Matmul with f32, f16 and bf16 weights, in f32.
//!
//! A result is `seed + sum over inputs`, one product after the other, so its bits depend neither on the number of threads nor on which
//! rows of x are multiplied together. Chunks of inputs pass their partial sums through `out`.

use super::lanes::{fma, load_pair, splat, widen_bf16, widen_halves};
use super::tile::{seed, share, store};
use super::MatmulArgs;
use crate::pack::{BF16, F16, F32, LAYOUTS, ROW_INTERLEAVE};
use core::arch::wasm32::*;

/// Inputs per chunk: eight rows of f32 panel are 16 KiB, half of a first-level cache.
pub const CHUNK: usize = 512;
/// Bytes of one thread's panel.
pub const PANEL_BYTES: usize = CHUNK * ROW_INTERLEAVE * 4;
/// Rows of x per tile.
const TILE: usize = 4;

/// Widens a chunk of one group of 16-bit weights.
unsafe fn widen_panel(ty: u32, from: *const u8, panel: *mut u8, inputs: usize) {
    for k in 0..inputs {
        let pair = if ty == BF16 { widen_bf16(from.add(16 * k)) } else { widen_halves(from.add(16 * k)) };
        v128_store(panel.add(32 * k) as *mut v128, pair[0]);
        v128_store(panel.add(32 * k + 16) as *mut v128, pair[1]);
    }
}

/// T rows of x from row m, inputs `from..from + inputs`, times a panel of f32 weights.
#[inline(always)]
unsafe fn tile<const T: usize>(args: &MatmulArgs, panel: *const u8, m: usize, n: usize, from: usize, inputs: usize) {
    let mut sums = seed::<T>(args, m, n, from == 0);
    let x: [*const u8; T] = core::array::from_fn(|t| args.x.add((m + t) * args.k + from) as *const u8);
    for k in 0..inputs {
        let w = load_pair(panel.add(32 * k));
        for t in 0..T {
            let value = splat(x[t].add(4 * k));
            sums[t] = [fma(value, w[0], sums[t][0]), fma(value, w[1], sums[t][1])];
        }
    }
    store(args, m, n, &sums);
}

/// All rows of x times one panel.
#[inline(never)]
unsafe fn rows(args: &MatmulArgs, panel: *const u8, n: usize, from: usize, inputs: usize) {
    let mut m = 0;
    while m + TILE <= args.m {
        tile::<TILE>(args, panel, m, n, from, inputs);
        m += TILE;
    }
    while m < args.m {
        tile::<1>(args, panel, m, n, from, inputs);
        m += 1;
    }
}

/// This thread's share of the outputs; `panel` is its own.
pub unsafe fn multiply(args: &MatmulArgs, panel: *mut u8, thread: usize, threads: usize) {
    let width = LAYOUTS[args.ty as usize].width;
    let (first, last) = share(args.n.div_ceil(ROW_INTERLEAVE), thread, threads);
    for group in first..last {
        let weights = args.w.add(group * args.k * ROW_INTERLEAVE * width);
        let mut from = 0;
        // One pass at least: with no inputs the result is the seed.
        while from == 0 || from < args.k {
            let inputs = CHUNK.min(args.k - from);
            let chunk = weights.add(from * ROW_INTERLEAVE * width);
            let at = if args.ty == F32 { chunk } else { panel as *const u8 };
            if args.ty == F16 || args.ty == BF16 {
                widen_panel(args.ty, chunk, panel, inputs);
            }
            rows(args, at, group * ROW_INTERLEAVE, from, inputs);
            from += CHUNK;
        }
    }
}
