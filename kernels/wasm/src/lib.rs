//! Kernels of kvfold's Wasm backend. JavaScript writes a program into linear memory once and calls [`kf_run`] per step;
//! everything between is here. Two builds of one source: `simd128` (one thread, the same bits on every machine) and `fast`
//! (relaxed SIMD, shared memory, threads).
#![no_std]

pub mod matmul;
pub mod pack;
pub mod peak;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
