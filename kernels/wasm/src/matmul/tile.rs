//! Where a tile of results starts and ends: T rows of x by one group of eight rows of w.

use super::lanes::load_pair;
use super::MatmulArgs;
use crate::pack::ROW_INTERLEAVE;
use core::arch::wasm32::*;

/// Sums of a tile: for each row of x, eight outputs.
pub type Sums<const T: usize> = [[v128; 2]; T];

/// Reads up to eight f32, zeros after the `count`-th.
#[inline(always)]
unsafe fn read_row(at: *const f32, count: usize) -> [v128; 2] {
    if count >= ROW_INTERLEAVE {
        return load_pair(at as *const u8);
    }
    let mut row = [0f32; ROW_INTERLEAVE];
    core::ptr::copy_nonoverlapping(at, row.as_mut_ptr(), count);
    load_pair(row.as_ptr() as *const u8)
}

/// What the sums of rows `m..m + T` and outputs from `n` start from: bias and old result, or (`!first`) the partial sums in `out`.
#[inline(always)]
pub unsafe fn seed<const T: usize>(args: &MatmulArgs, m: usize, n: usize, first: bool) -> Sums<T> {
    let count = args.n - n;
    let mut sums = [[f32x4_splat(0.0); 2]; T];
    if args.accumulate || !first {
        for (t, row) in sums.iter_mut().enumerate() {
            *row = read_row(args.out.add((m + t) * args.n + n), count);
        }
    }
    if first && !args.bias.is_null() {
        let bias = read_row(args.bias.add(n), count);
        for row in sums.iter_mut() {
            *row = [f32x4_add(row[0], bias[0]), f32x4_add(row[1], bias[1])];
        }
    }
    sums
}

/// Writes the sums of a tile; outputs past n are dropped.
#[inline(always)]
pub unsafe fn store<const T: usize>(args: &MatmulArgs, m: usize, n: usize, sums: &Sums<T>) {
    let count = (args.n - n).min(ROW_INTERLEAVE);
    for (t, row) in sums.iter().enumerate() {
        let to = args.out.add((m + t) * args.n + n);
        if count == ROW_INTERLEAVE {
            v128_store(to as *mut v128, row[0]);
            v128_store(to.add(4) as *mut v128, row[1]);
        } else {
            core::ptr::copy_nonoverlapping(row.as_ptr() as *const f32, to, count);
        }
    }
}

/// This thread's share of `count` things, as a range: contiguous, so that its weights stay in its cache.
#[inline(always)]
pub fn share(count: usize, thread: usize, threads: usize) -> (usize, usize) {
    (count * thread / threads, count * (thread + 1) / threads)
}
