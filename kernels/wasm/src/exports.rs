//! What JavaScript calls.

use crate::program::{run_program, Program};
use crate::ops::{pairs, promises, votes};
use crate::team::{Shared, Team};
use crate::ops::transfer;
use crate::{attend, matmul, pack};

/// First byte after the constants and the main stack: everything above belongs to the allocator in JavaScript.
#[no_mangle]
pub extern "C" fn kf_heap_base() -> usize {
    extern "C" {
        static __heap_base: u8;
    }
    &raw const __heap_base as usize
}

/// Runs a program as thread 0 of `threads`. Returns 0, or an error code of [`crate::layout`] with the index of the
/// instruction above bit 8.
#[no_mangle]
pub unsafe extern "C" fn kf_run(program: *const u32, table: *const [u32; 2], shared: *const Shared, threads: usize, may_wait: u32) -> u32 {
    let team = Team { thread: 0, threads, may_wait: may_wait != 0, shared: &*shared };
    if threads > 1 {
        team.shared.start(program as u32, table as u32);
    }
    run_program(&Program { words: program, table }, &team)
}

/// A helper thread: takes part in every run until [`Shared::stop`].
#[cfg(target_feature = "atomics")]
#[no_mangle]
pub unsafe extern "C" fn kf_worker(shared: *const Shared, thread: usize, threads: usize) {
    let team = Team { thread, threads, may_wait: true, shared: &*shared };
    let mut seen = 0;
    while let Some((program, table)) = team.shared.next_run(&mut seen) {
        run_program(&Program { words: program as *const u32, table: table as *const [u32; 2] }, &team);
    }
}

/// Bytes a weight takes packed; `ty` and `uses` as in [`crate::pack`].
#[no_mangle]
pub extern "C" fn kf_packed_bytes(ty: u32, rows: usize, cols: usize, uses: u32) -> usize {
    pack::packed_bytes(ty, rows, cols, uses)
}

/// Packs whole source rows [first, first + count).
#[no_mangle]
pub unsafe extern "C" fn kf_pack(ty: u32, rows: usize, cols: usize, uses: u32, src: *const u8, dst: *mut u8, first: usize, count: usize) {
    pack::pack(ty, rows, cols, uses, src, dst, first, count)
}

/// Rows per slice that [`kf_pack`] takes: a multiple of this, but for the last.
#[no_mangle]
pub extern "C" fn kf_row_interleave() -> usize {
    pack::ROW_INTERLEAVE
}

/// Scratch bytes of one matmul.
#[no_mangle]
pub extern "C" fn kf_matmul_scratch(ty: u32, m: usize, n: usize, k: usize) -> usize {
    matmul::scratch_bytes(ty, m, n, k)
}

/// Chooses, ahead of all programs, whether matmuls round activations to 8 bits instead of 16.
#[no_mangle]
pub extern "C" fn kf_choose_eight_bits(eight: u32) {
    matmul::choose_eight_bits(eight != 0);
}

/// Types with the same format share quantised activations; 0 = none.
#[no_mangle]
pub extern "C" fn kf_activation_format(ty: u32) -> u32 {
    matmul::activation_format(ty)
}

/// Scratch bytes of one attend.
#[no_mangle]
pub extern "C" fn kf_attend_scratch(m: usize, heads: usize, kv_heads: usize, key_dim: usize, value_dim: usize, threads: usize) -> usize {
    4 * match m {
        1 => attend::decode::floats(heads, kv_heads, key_dim, value_dim, threads),
        _ => threads * attend::prefill::floats(heads / kv_heads, key_dim, value_dim),
    }
}

/// Scratch bytes of one transfer.
#[no_mangle]
pub extern "C" fn kf_transfer_scratch(dim: usize, threads: usize) -> usize {
    4 * transfer::floats(dim, threads)
}

/// Scratch bytes of one pageScores by softmax.
#[no_mangle]
pub extern "C" fn kf_page_scores_scratch(heads: usize, kv_heads: usize, page: usize, capacity: usize) -> usize {
    promises::floats(heads, kv_heads, page, capacity).saturating_mul(4)
}

/// Scratch bytes of one attendReduce.
#[no_mangle]
pub extern "C" fn kf_attend_reduce_scratch(queries: usize, heads: usize, kv_heads: usize, dim: usize, threads: usize) -> usize {
    4 * attend::reduce::floats(queries, heads, kv_heads, dim, threads)
}

/// Bytes of the scores that an attend keeps for an attendReduce.
#[no_mangle]
pub extern "C" fn kf_kept_scores(slots: usize, group: usize) -> usize {
    attend::kept::bytes(slots, group)
}

/// Scratch bytes of a `newestLike`.
#[no_mangle]
pub extern "C" fn kf_newest_like_scratch(dim: usize, threads: usize) -> usize {
    pairs::search_floats(dim) * threads * 4
}

/// Scratch bytes of what goes tile by tile: `kmeans`, `centroids`, `expectedAttention`.
#[no_mangle]
pub extern "C" fn kf_tiles_scratch(dim: usize, threads: usize) -> usize {
    pairs::floats(dim) * threads * 4
}

/// Scratch bytes of a `groupVotes`.
#[no_mangle]
pub extern "C" fn kf_group_votes_scratch(queries: usize, group: usize, dim: usize, threads: usize) -> usize {
    votes::floats(queries, group, dim) * threads * 4
}
