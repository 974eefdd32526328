//! Softmax attention over one tier of ragged rows. One query: [`decode`], split over chunks of rows. Several: [`prefill`], split
//! over blocks of queries. [`reduce`] sums attention per row, [`single`] that of one query. Scores never leave a cache-sized tile.

mod ahead;
pub mod coded;
pub mod decode;
pub mod gemm;
pub mod kept;
pub mod plain;
pub mod prefill;
pub mod raw;
pub mod reduce;
pub mod single;
pub mod tile;

use crate::codec::Codec;
use crate::layout::{code, segment, Segment};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;
use kept::Kept;

/// Operands q, keys, values, position, layout, queryPosition, out, lse, with `attendRows` keep and counts, then scratch, of
/// `attend` what keeps its scores.
#[derive(Clone, Copy)]
pub struct Attend {
    pub m: usize,
    pub heads: usize,
    pub kv_heads: usize,
    /// Query heads per KV head.
    pub group: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub scale: f32,
    pub window: u32,
    pub key_codec: Codec,
    pub value_codec: Codec,
    pub softcap: f32,
    merge: bool,
    pub q: *const f32,
    pub keys: *const u8,
    pub values: *const u8,
    pub position: *const u32,
    pub query_position: *const u32,
    out: *mut f32,
    lse: *mut f32,
    keep: *const u32,
    counts: *const u32,
    pub scratch: *mut f32,
}

impl Attend {
    unsafe fn of(instr: &Instr) -> Attend {
        let rows = instr.op == code::ATTEND_ROWS;
        Attend {
            m: instr.u(0),
            heads: instr.u(1),
            kv_heads: instr.u(2),
            group: instr.u(1) / instr.u(2),
            key_dim: instr.u(3),
            value_dim: instr.u(4),
            scale: instr.f(7),
            window: instr.u(8) as u32,
            key_codec: Codec::of(instr.u(5)),
            value_codec: Codec::of(instr.u(6)),
            softcap: instr.f(9),
            merge: instr.u(10) != 0,
            q: instr.ptr(0),
            keys: instr.ptr(1),
            values: instr.ptr(2),
            position: instr.ptr(3),
            query_position: instr.ptr(5),
            out: instr.ptr(6),
            lse: instr.ptr(7),
            keep: if rows { instr.ptr(8) } else { core::ptr::null() },
            counts: if rows { instr.ptr(9) } else { core::ptr::null() },
            scratch: instr.ptr(if rows { 10 } else { 8 }),
        }
    }

    /// The scores of an `attendReduce`, without values.
    unsafe fn scoring(instr: &Instr) -> Attend {
        Attend {
            m: 1,
            heads: instr.u(1),
            kv_heads: instr.u(2),
            group: instr.u(1) / instr.u(2),
            key_dim: instr.u(3),
            value_dim: 0,
            scale: instr.f(5),
            window: instr.u(6) as u32,
            key_codec: Codec::of(instr.u(4)),
            value_codec: Codec::of(1),
            softcap: instr.f(7),
            merge: false,
            q: instr.ptr(0),
            keys: instr.ptr(1),
            values: core::ptr::null(),
            position: instr.ptr(2),
            query_position: instr.ptr(4),
            out: core::ptr::null_mut(),
            lse: core::ptr::null_mut(),
            keep: core::ptr::null(),
            counts: core::ptr::null(),
            scratch: instr.ptr(9),
        }
    }

    /// Indices of the rows of KV head h that alone are seen, if they are named.
    pub unsafe fn named(&self, s: &Segment, h: usize) -> Option<&[u32]> {
        if self.keep.is_null() {
            return None;
        }
        Some(core::slice::from_raw_parts(self.keep.add(s.from()), *self.counts.add(h) as usize))
    }

    /// Writes the result of one (token, head) row, or merges it with what is there: two partial softmaxes weigh as the
    /// exponentials of their log-sum-exps. `o` is the sum of exponentials times values, `l` that of exponentials, `top` their
    /// shift, `factor` what o still lacks.
    #[inline(never)]
    pub unsafe fn finish(&self, row: usize, top: f32, l: f32, o: *const f32, factor: f32) {
        let (out, lse) = (self.out.add(row * self.value_dim), self.lse.add(row));
        if l == 0.0 {
            if !self.merge {
                *lse = SENTINEL;
                core::slice::from_raw_parts_mut(out, self.value_dim).fill(0.0);
            }
            return;
        }
        let fresh = top + ln(l);
        let before = if self.merge { *lse } else { SENTINEL };
        if before == SENTINEL {
            *lse = fresh;
            let f = f32x4_splat(factor / l);
            return unary(o, out, self.value_dim, |o| f32x4_mul(o, f));
        }
        let most = if before > fresh { before } else { fresh };
        let (a, b) = (exp1(before - most), exp1(fresh - most));
        *lse = most + ln(a + b);
        let (a, b) = (f32x4_splat(a / (a + b)), f32x4_splat(factor * (b / (a + b)) / l));
        binary(o, out, out, self.value_dim, |o, old| fma(o, b, f32x4_mul(old, a)));
    }
}

/// Indices [from, to) of the rows of a segment that a query at `query` sees: positions ascend, so they are a range.
#[inline(never)]
pub unsafe fn visible(position: *const u32, s: &Segment, query: u32, window: u32) -> (usize, usize) {
    if query == u32::MAX {
        return (0, 0);
    }
    let first = |beyond: &dyn Fn(u32) -> bool| {
        let (mut from, mut to) = (0, s.rows());
        // A decoding step's query sees all rows: one look at the last says so.
        if to > 0 && !beyond(*position.add(s.from() + to - 1)) {
            return to;
        }
        while from < to {
            let mid = (from + to) / 2;
            if beyond(*position.add(s.from() + mid)) { to = mid } else { from = mid + 1 }
        }
        from
    };
    let end = first(&|p| p > query);
    let start = if window == 0 { 0 } else { first(&|p| p as u64 + window as u64 > query as u64) };
    (start.min(end), end)
}

/// cap * tanh(s / cap) if there is a cap.
#[inline(always)]
pub fn cap(s: v128, softcap: f32) -> v128 {
    if softcap > 0.0 {
        return f32x4_mul(tanh(f32x4_div(s, f32x4_splat(softcap))), f32x4_splat(softcap));
    }
    s
}

/// Phases of an `attend`.
pub unsafe fn phases(instr: &Instr) -> u32 {
    if instr.u(0) == 1 { 2 } else { 1 }
}

/// This thread's share of a phase.
pub unsafe fn run(instr: &Instr, phase: u32, team: &Team) {
    let a = Attend::of(instr);
    if a.m == 1 {
        let longest = (0..a.kv_heads).map(|h| segment(instr, 4, h).rows()).max().unwrap_or(0);
        let chunks = decode::chunks(longest);
        if phase == 1 {
            return decode::merge_chunks(&a, chunks, team);
        }
        return team.each(a.kv_heads * chunks, |item| {
            let h = item / chunks;
            let kept = if a.keep.is_null() { Kept::of(instr, kept::OF_ATTEND, 4, h) } else { None };
            decode::chunk(&a, &segment(instr, 4, h), h, item % chunks, team.thread, kept);
        });
    }
    let blocks = a.m.div_ceil(prefill::tokens(a.group));
    team.each(a.kv_heads * blocks, |item| {
        let (h, block) = (item % a.kv_heads, blocks - 1 - item / a.kv_heads);
        let s = segment(instr, 4, h);
        let scratch = a.scratch.add(team.thread * prefill::floats(a.group, a.key_dim, a.value_dim));
        prefill::block(&a, &s, h, block, scratch);
    });
}
