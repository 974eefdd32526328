//! Ops that turn what queries see into one number per row: groupVotes, tailLoss, and softmax over a column.

use super::columns::total;
use crate::attend::visible;
use crate::decoded::Decoded;
use crate::half::{Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Operands a, layout, out; parameters heads, dropLast.
pub unsafe fn softmax(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let s = segment(instr, 1, h);
        let taken = s.rows().saturating_sub(instr.u(1));
        let (a, out) = (instr.ptr::<f32>(0).add(s.from()), instr.ptr::<f32>(2).add(s.from()));
        let top = (0..taken).map(|i| *a.add(i)).fold(f32::NEG_INFINITY, |x, y| if y > x { y } else { x });
        unary(a, out, taken, |x| exp(f32x4_sub(x, f32x4_splat(top))));
        let all = (0..taken).map(|i| *out.add(i) as f64).sum::<f64>() as f32;
        unary(out, out, taken, |x| f32x4_div(x, f32x4_splat(all)));
        core::slice::from_raw_parts_mut(out.add(taken), s.rows() - taken).fill(0.0);
    });
}

/// A query's score of a stored row.
#[inline(always)]
unsafe fn score<C: Rows>(row: *const u8, q: *const f32, dim: usize, scale: f32) -> f32 {
    total::<C>(row, dim, |v, c| f32x4_mul(v, load(q.add(c))), |x, c| x * *q.add(c)) * scale
}

/// Operands q, keys, layout, queryPosition, out; parameters queries, heads, kvHeads, keyDim, keyCodec, scale, dropLast.
pub unsafe fn group_votes(instr: &Instr, team: &Team) {
    let (rows, dim) = (instr.ptr::<u8>(1), instr.u(3));
    team.each(instr.u(2), |h| match instr.u(4) {
        0 => votes::<F32>(instr, h, |slot| rows.add(slot * dim * 4)),
        1 => votes::<F16>(instr, h, |slot| rows.add(slot * dim * 2)),
        choice => {
            let mut decoded = Decoded::of(choice, rows, dim);
            votes::<F32>(instr, h, |slot| decoded.row(slot))
        }
    });
}

/// One head: per query a pass for the sum of exponentials and one for the shares.
unsafe fn votes<C: Rows>(instr: &Instr, h: usize, mut row_at: impl FnMut(usize) -> *const u8) {
    let (s, heads, dim) = (segment(instr, 2, h), instr.u(1), instr.u(3));
    let group = heads / instr.u(2);
    let taken = s.rows().saturating_sub(instr.u(6));
    let out = instr.ptr::<f32>(4).add(s.from());
    core::slice::from_raw_parts_mut(out, s.rows()).fill(0.0);
    let queries = (0..instr.u(0)).filter(|i| *instr.ptr::<u32>(3).add(*i) != u32::MAX);
    let count = queries.clone().count() as f32;
    for i in queries {
        let q = instr.ptr::<f32>(0).add((i * heads + h * group) * dim);
        let mut largest = |t: usize| {
            let row = row_at(s.from() + t);
            (0..group).map(|g| score::<C>(row, q.add(g * dim), dim, instr.f(5))).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
        };
        let (mut top, mut all) = (f32::NEG_INFINITY, 0f64);
        for t in 0..taken {
            let x = largest(t);
            if x > top {
                all *= exp1(top - x) as f64;
                top = x;
            }
            all += exp1(x - top) as f64;
        }
        for t in 0..taken {
            *out.add(t) += exp1(largest(t) - top) / all as f32 / count;
        }
    }
}

/// Operands q, keys, position, layout, queryPosition, lse, out; parameters heads, kvHeads, keyDim, keyCodec, scale, window, sinks,
/// scope. One query: little work, and sums over heads in a fixed order, so one thread does it.
pub unsafe fn tail_loss(instr: &Instr, team: &Team) {
    if team.thread != 0 {
        return;
    }
    let (rows, kv_heads, dim) = (instr.ptr::<u8>(1), instr.u(1), instr.u(2));
    let out = instr.ptr::<f32>(6);
    let is_sink = |slot: usize| *instr.ptr::<u32>(2).add(slot) < instr.u(6) as u32;
    let mut whole = 0.0;
    for h in 0..kv_heads {
        whole += match instr.u(3) {
            0 => remaining::<F32>(instr, h, |slot| rows.add(slot * dim * 4)),
            1 => remaining::<F16>(instr, h, |slot| rows.add(slot * dim * 2)),
            choice => {
                let mut decoded = Decoded::of(choice, rows, dim);
                remaining::<F32>(instr, h, |slot| decoded.row(slot))
            }
        };
    }
    let longest = (0..kv_heads).map(|h| segment(instr, 3, h).rows()).max().unwrap_or(0);
    for t in 0..longest {
        let reaching = (0..kv_heads).map(|h| segment(instr, 3, h)).filter(|s| t < s.rows()).map(|s| s.from() + t);
        let left: f32 = reaching.clone().map(|slot| *out.add(slot)).sum();
        for slot in reaching {
            *out.add(slot) = if is_sink(slot) { 0.0 } else if whole == 0.0 { 1.0 } else { 1.0 - left / whole };
        }
    }
}

/// Writes, per row of KV head h, the norms of its query heads that remain behind the row; their sum with nothing gone.
unsafe fn remaining<C: Rows>(instr: &Instr, h: usize, mut row_at: impl FnMut(usize) -> *const u8) -> f32 {
    let (s, dim, group) = (segment(instr, 3, h), instr.u(2), instr.u(0) / instr.u(1));
    let out = instr.ptr::<f32>(6).add(s.from());
    let is_sink = |t: usize| *instr.ptr::<u32>(2).add(s.from() + t) < instr.u(6) as u32;
    core::slice::from_raw_parts_mut(out, s.rows()).fill(0.0);
    let mut whole = 0.0;
    for head in h * group..(h + 1) * group {
        let lse = *instr.ptr::<f32>(5).add(head);
        let seen = if lse == SENTINEL { (0, 0) } else { visible(instr.ptr(2), &s, *instr.ptr::<u32>(4), instr.u(5) as u32) };
        let mut paid = |t: usize| {
            let row = row_at(s.from() + t);
            let x = 2.0 * (score::<C>(row, instr.ptr::<f32>(0).add(head * dim), dim, instr.f(4)) - lse);
            if t < seen.0 || t >= seen.1 { 0.0 } else { exp1(x) as f64 }
        };
        let sinks = (0..s.rows()).take_while(|t| is_sink(*t)).count();
        let mut left: f64 = if instr.u(7) == 0 { 0.0 } else { (0..sinks).map(&mut paid).sum() };
        for t in (0..s.rows()).rev() {
            *out.add(t) += sqrt1(left as f32);
            left += if t < sinks { 0.0 } else { paid(t) };
        }
        whole += sqrt1(left as f32);
    }
    whole
}
