//! Kernels of kvfold's Wasm backend. JavaScript writes a program into linear memory once and calls [`kf_run`] per step;
//! everything between is here. Two builds of one source: `simd128` (one thread, the same bits on every machine) and `fast`
//! (relaxed SIMD, shared memory, threads). Op codes and parameter order are those of `backends/ops.ts`.
#![no_std]
#![cfg_attr(target_feature = "atomics", feature(stdarch_wasm_atomic_wait))]
// Pointers come from the encoder in `backends/wasm`, which checks every size; each kernel states what its pointers hold.
#![allow(clippy::missing_safety_doc)]

pub mod attend;
pub mod channels;
pub mod code;
pub mod codec;
pub mod decoded;
pub mod exports;
pub mod half;
pub mod layout;
pub mod math;
pub mod matmul;
pub mod ops;
pub mod pack;
pub mod peak;
pub mod program;
pub mod team;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
