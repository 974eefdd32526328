//! Matmul with f32, f16 and bf16 weights, in f32.
//!
//! A result is `seed + sum over inputs`, one product after the other, so its bits depend neither on the number of threads nor on which
//! rows of x are multiplied together.
//!
//! Rows of x go four at a time over one group of weights, chunk by chunk of inputs: 16-bit weights are widened once per chunk into a
//! panel, and partial sums pass through `out`. Rows that are left go singly over four groups, enough sums in flight to hide the latency
//! of an addition.

use super::lanes::{constants, fma, load_pair, splat, widen_bf16, widen_halves, Constants};
use super::tile::{seed, share, store, Sums};
use super::MatmulArgs;
use crate::pack::{BF16, F16, F32, LAYOUTS, ROW_INTERLEAVE};
use core::arch::wasm32::*;

/// Inputs per chunk: eight rows of f32 panel are 16 KiB, half of a first-level cache.
const CHUNK: usize = 512;
/// Bytes of one thread's panel.
pub const PANEL_BYTES: usize = CHUNK * ROW_INTERLEAVE * 4;
/// Rows of x per tile.
const TILE: usize = 4;
/// Groups of weights per single row of x.
const GROUPS: usize = 4;

/// Eight weights of one input as f32.
#[inline(always)]
unsafe fn widen(ty: u32, at: *const u8, c: &Constants) -> [v128; 2] {
    match ty {
        F16 => widen_halves(at, c),
        BF16 => widen_bf16(at),
        _ => load_pair(at),
    }
}

/// Widens a chunk of one group of 16-bit weights.
unsafe fn widen_panel(ty: u32, from: *const u8, panel: *mut u8, inputs: usize) {
    let c = constants();
    for k in 0..inputs {
        let pair = widen(ty, from.add(2 * ROW_INTERLEAVE * k), &c);
        v128_store(panel.add(32 * k) as *mut v128, pair[0]);
        v128_store(panel.add(32 * k + 16) as *mut v128, pair[1]);
    }
}

/// TILE rows of x from row m, inputs `from..from + inputs`, times a panel of f32 weights.
#[inline(always)]
unsafe fn tile(args: &MatmulArgs, panel: *const u8, m: usize, n: usize, from: usize, inputs: usize) {
    let mut sums: Sums<TILE> = seed(args, m, n, from == 0);
    let x: [*const u8; TILE] = core::array::from_fn(|t| args.x.add((m + t) * args.k + from) as *const u8);
    for k in 0..inputs {
        let w = load_pair(panel.add(32 * k));
        for t in 0..TILE {
            let value = splat(x[t].add(4 * k));
            sums[t] = [fma(value, w[0], sums[t][0]), fma(value, w[1], sums[t][1])];
        }
    }
    store(args, m, n, &sums);
}

/// The first `rows` rows of x, a multiple of TILE, times one panel.
#[inline(never)]
unsafe fn tiles(args: &MatmulArgs, rows: usize, panel: *const u8, n: usize, from: usize, inputs: usize) {
    for m in (0..rows).step_by(TILE) {
        tile(args, panel, m, n, from, inputs);
    }
}

/// The first `rows` rows of x times the group of weights at `weights`.
unsafe fn group(args: &MatmulArgs, rows: usize, weights: *const u8, panel: *mut u8, n: usize) {
    let record = ROW_INTERLEAVE * LAYOUTS[args.ty as usize].width;
    let mut from = 0;
    // One pass at least: with no inputs the result is the seed.
    while from == 0 || from < args.k {
        let inputs = CHUNK.min(args.k - from);
        let chunk = weights.add(from * record);
        if args.ty == F32 {
            tiles(args, rows, chunk, n, from, inputs);
        } else {
            widen_panel(args.ty, chunk, panel, inputs);
            tiles(args, rows, panel, n, from, inputs);
        }
        from += CHUNK;
    }
}

/// Row m of x times G groups of weights.
#[inline(always)]
unsafe fn single<const G: usize>(ty: u32, args: &MatmulArgs, m: usize, weights: *const u8, n: usize) {
    let record = ROW_INTERLEAVE * LAYOUTS[ty as usize].width;
    let c = constants();
    let mut sums: [Sums<1>; G] = core::array::from_fn(|g| seed(args, m, n + g * ROW_INTERLEAVE, true));
    let w: [*const u8; G] = core::array::from_fn(|g| weights.add(g * args.k * record));
    let x = args.x.add(m * args.k);
    for k in 0..args.k {
        let value = splat(x.add(k) as *const u8);
        for g in 0..G {
            let pair = widen(ty, w[g].add(k * record), &c);
            sums[g][0] = [fma(value, pair[0], sums[g][0][0]), fma(value, pair[1], sums[g][0][1])];
        }
    }
    for g in 0..G {
        store(args, m, n + g * ROW_INTERLEAVE, &sums[g]);
    }
}

/// Row m of x times groups `first..last`.
#[inline(always)]
unsafe fn row(ty: u32, args: &MatmulArgs, m: usize, first: usize, last: usize) {
    let bytes = args.k * ROW_INTERLEAVE * LAYOUTS[ty as usize].width;
    let mut g = first;
    while g < last {
        let weights = args.w.add(g * bytes);
        if g + GROUPS <= last {
            single::<GROUPS>(ty, args, m, weights, g * ROW_INTERLEAVE);
            g += GROUPS;
        } else {
            single::<1>(ty, args, m, weights, g * ROW_INTERLEAVE);
            g += 1;
        }
    }
}

/// This thread's share of the outputs; `panel` is its own.
pub unsafe fn multiply(args: &MatmulArgs, panel: *mut u8, thread: usize, threads: usize) {
    let bytes = args.k * ROW_INTERLEAVE * LAYOUTS[args.ty as usize].width;
    let (first, last) = share(args.n.div_ceil(ROW_INTERLEAVE), thread, threads);
    let full = args.m / TILE * TILE;
    for g in first..last {
        if full > 0 {
            group(args, full, args.w.add(g * bytes), panel, g * ROW_INTERLEAVE);
        }
    }
    for m in full..args.m {
        match args.ty {
            F16 => row(F16, args, m, first, last),
            BF16 => row(BF16, args, m, first, last),
            _ => row(F32, args, m, first, last),
        }
    }
}
