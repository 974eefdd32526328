//! What this build can do at best, for the benches to divide by: loops over registers, and a plain read of memory.

use core::arch::wasm32::*;

/// Independent sums: enough to hide the latency of a multiply-add, few enough for sixteen registers.
const SUMS: usize = 12;
/// Vectors per step of the read.
const VECTORS: usize = 8;

/// Floating-point operations per iteration of [`peak_f32_fma`].
#[no_mangle]
pub extern "C" fn peak_f32_ops() -> u32 {
    SUMS as u32 * 8
}

/// Multiplications and additions of codes per iteration of [`peak_int8_dot`].
#[no_mangle]
pub extern "C" fn peak_int8_ops() -> u32 {
    SUMS as u32 * 16
}

/// Multiply-adds of f32, as the float matmul does them.
#[inline(always)]
fn multiply_add(sum: v128, x: v128) -> v128 {
    crate::matmul::lanes::fma(x, x, sum)
}

/// Products of i16, summed in i32: what the inner loops of matmuls in blocks do, or in two halves.
#[inline(always)]
fn dot_add(sum: v128, x: v128) -> v128 {
    i32x4_add(i32x4_dot_i16x8(sum, x), x)
}

/// Repeats a step on independent sums; the result keeps the work from being dropped.
#[inline(always)]
fn repeat(iterations: u32, x: v128, step: impl Fn(v128, v128) -> v128) -> i32 {
    let mut sums = [x; SUMS];
    for _ in 0..iterations {
        for sum in sums.iter_mut() {
            *sum = step(*sum, x);
        }
    }
    i32x4_extract_lane::<0>(sums.into_iter().fold(x, |a, b| v128_xor(a, b)))
}

/// Runs `iterations` times [`peak_f32_ops`] operations. `seed` keeps the operands unknown to the compiler.
#[no_mangle]
pub extern "C" fn peak_f32_fma(iterations: u32, seed: f32) -> i32 {
    repeat(iterations, f32x4_splat(seed), multiply_add)
}

/// Runs `iterations` times [`peak_int8_ops`] operations. `seed`: any number.
#[no_mangle]
pub extern "C" fn peak_int8_dot(iterations: u32, seed: u32) -> i32 {
    repeat(iterations, u32x4_splat(seed), dot_add)
}

/// Reads `bytes` (rounded down to 128) at `from`, `iterations` times over.
///
/// # Safety
/// The range is inside memory.
#[no_mangle]
pub unsafe extern "C" fn peak_read(from: *const u8, bytes: usize, iterations: u32) -> i32 {
    let mut sums = [i32x4_splat(0); VECTORS];
    for _ in 0..iterations {
        for at in (0..bytes / (16 * VECTORS)).map(|i| i * 16 * VECTORS) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = v128_xor(*sum, v128_load(from.add(at + 16 * i) as *const v128));
            }
        }
    }
    i32x4_extract_lane::<0>(sums.into_iter().fold(i32x4_splat(0), |a, b| v128_xor(a, b)))
}
