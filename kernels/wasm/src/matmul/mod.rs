//! `out[m, n] = x[m, k] * w[n, k]^T + bias`, added to `out` on request, for every packed weight type.
//!
//! Quantised weights take two phases: activations to whole numbers in scratch, then integer dot products. Float weights take one.

mod activations;
mod dots;
mod float;
pub(crate) mod lanes;
#[cfg(target_feature = "relaxed-simd")]
mod panel;
mod quantised;
mod tile;

use crate::pack::{Family, F32, LAYOUTS};
pub use activations::choose_eight_bits;
#[cfg(target_feature = "relaxed-simd")]
use activations::are_eight_bits;
use activations::{quantise_rows, Format, BLOCK};
use dots::format_of;

/// Threads that share one matmul; more do nothing.
pub const MAX_THREADS: usize = 16;

/// One matmul. `x` is f32 [m, k], `w` a packed weight of n rows and k columns, `out` f32 [m, n] and not `x`.
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
    /// Inputs; whole blocks of the type.
    pub k: usize,
    /// Add to what `out` holds.
    pub accumulate: bool,
    /// `scratch_bytes`, aligned to 64 bytes. Phase 1 alone may run where it holds the quantised `x` already: the last matmul had the same
    /// x, m, k and activation format.
    pub scratch: *mut u8,
}

/// How a type wants its activations quantised: equal non-zero numbers may share scratch, 0 means they stay f32.
pub fn activation_format(ty: u32) -> u32 {
    match LAYOUTS[ty as usize].family {
        Family::Float => 0,
        family => format_now(family) as u32 + 1,
    }
}

/// The format that the kernel of a family reads under the bits that are chosen.
fn format_now(family: Family) -> Format {
    #[cfg(target_feature = "relaxed-simd")]
    if are_eight_bits() {
        return format_of(family, 1);
    }
    format_of(family, 2)
}

/// Bytes of scratch for any number of threads.
pub fn scratch_bytes(ty: u32, m: usize, _n: usize, k: usize) -> usize {
    match LAYOUTS[ty as usize].family {
        Family::Float if ty == F32 || m < activations::TILE => 0,
        Family::Float => MAX_THREADS * float::PANEL_BYTES,
        #[cfg(target_feature = "relaxed-simd")]
        Family::Nibble if m >= panel::MIN_ROWS => panel::panels_at(m, k, format_now(Family::Nibble)).saturating_add(MAX_THREADS * panel::PANEL_BYTES),
        family => m.saturating_mul(k / BLOCK).saturating_mul(format_now(family).record()),
    }
}

/// Phases to run with a barrier between them.
pub fn phases(ty: u32, _m: usize, _n: usize, _k: usize) -> u32 {
    if activation_format(ty) == 0 {
        1
    } else {
        2
    }
}

/// Runs this thread's share of a phase.
///
/// # Safety
/// All pointers of `args` hold what their fields say; all threads call every phase with the same arguments.
pub unsafe fn run(phase: u32, args: &MatmulArgs, thread: usize, threads: usize) {
    let threads = threads.min(MAX_THREADS);
    if thread >= threads {
        return;
    }
    let family = LAYOUTS[args.ty as usize].family;
    if family == Family::Float {
        let panel = if args.ty == F32 { args.scratch } else { args.scratch.add(thread * float::PANEL_BYTES) };
        float::multiply(args, panel, thread, threads);
    } else if phase > 0 {
        multiply_blocks(args, thread, threads);
    } else {
        quantise_rows(format_now(family), args, thread, threads);
    }
}

/// Picks the kernel of a quantised type, nibbles also by the parts of a code; Q5_0 lies like Q8_0.
unsafe fn multiply_blocks(args: &MatmulArgs, thread: usize, threads: usize) {
    #[cfg(target_feature = "relaxed-simd")]
    if are_eight_bits() {
        match args.ty {
            4 => return quantised::multiply::<4, 1>(args, thread, threads),
            5 => return quantised::multiply::<5, 1>(args, thread, threads),
            8 => return quantised::multiply::<8, 1>(args, thread, threads),
            _ => {}
        }
    }
    let kernel = match args.ty {
        3 | 6 => quantised::multiply::<3, 2>,
        4 => quantised::multiply::<4, 2>,
        5 => quantised::multiply::<5, 2>,
        7 => quantised::multiply::<7, 2>,
        8 => quantised::multiply::<8, 2>,
        9 => quantised::multiply::<9, 2>,
        _ => quantised::multiply::<10, 2>,
    };
    kernel(args, thread, threads);
}
