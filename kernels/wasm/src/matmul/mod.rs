//! `out[m, n] = x[m, k] * w[n, k]^T + bias`, added to `out` on request, for every packed weight type.

use crate::pack::{embed_row, ROW_INTERLEAVE};

/// One matmul. `x` is f32 [m, k], `w` a packed weight of n rows and k columns, `out` f32 [m, n].
pub struct MatmulArgs {
    /// Weight type, index in `WeightType`.
    pub ty: u32,
    /// Activations, f32 [m, k].
    pub x: *const f32,
    /// Packed weight.
    pub w: *const u8,
    /// f32 [n] or null.
    pub bias: *const f32,
    /// Result, f32 [m, n].
    pub out: *mut f32,
    /// Rows of x.
    pub m: usize,
    /// Rows of w.
    pub n: usize,
    /// Inputs.
    pub k: usize,
    /// Add to what `out` holds.
    pub accumulate: bool,
    /// `scratch` already holds the quantised `x`: the last matmul had the same x, m, k and activation format.
    pub reuse: bool,
    /// `scratch_bytes`, aligned to 64 bytes.
    pub scratch: *mut u8,
}

/// How a type wants its activations quantised: equal numbers may share scratch. 0 means they stay f32.
pub fn activation_format(_ty: u32) -> u32 {
    0
}

/// Bytes of scratch for any number of threads.
pub fn scratch_bytes(_ty: u32, _m: usize, _n: usize, k: usize) -> usize {
    k * 4 * 64
}

/// Phases to run with a barrier between them.
pub fn phases(_ty: u32, _m: usize, _n: usize, _k: usize) -> u32 {
    1
}

/// Runs this thread's share of a phase.
///
/// # Safety
/// All pointers of `args` hold what their fields say; all threads call every phase with the same arguments.
pub unsafe fn run(_phase: u32, args: &MatmulArgs, thread: usize, threads: usize) {
    let row = (args.scratch as *mut f32).add(thread % 64 * args.k);
    let mut n = thread * ROW_INTERLEAVE;
    while n < args.n {
        for r in n..(n + ROW_INTERLEAVE).min(args.n) {
            embed_row(args.ty, args.n, args.k, 1, args.w, r, row);
            for m in 0..args.m {
                let mut sum = 0.0;
                for k in 0..args.k {
                    sum += *row.add(k) * *args.x.add(m * args.k + k);
                }
                let out = args.out.add(m * args.n + r);
                let bias = if args.bias.is_null() { 0.0 } else { *args.bias.add(r) };
                *out = sum + bias + if args.accumulate { *out } else { 0.0 };
            }
        }
        n += threads * ROW_INTERLEAVE;
    }
}
