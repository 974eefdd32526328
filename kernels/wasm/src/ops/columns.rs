//! Ops that give one number per row: reduce, meanUnit, similarity, positions, pool, headMean, projectedNorm.

use crate::decoded::Decoded;
use crate::half::{Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Rows per work item.
const ROWS: usize = 256;
/// The same where a row is a number or two: less is not worth the asking.
pub(super) const NUMBERS: usize = 2048;
/// Norms below this count as this.
pub(super) const LEAST: f32 = 1e-12;

/// Calls `work(head, from, to)` with slots of the rows of each head, in items of [`ROWS`] rows; heads of any lengths.
unsafe fn slots(instr: &Instr, layout: usize, heads: usize, team: &Team, work: impl FnMut(usize, usize, usize)) {
    slots_by(ROWS, instr, layout, heads, team, work)
}

/// The same in items of `rows` rows.
pub(super) unsafe fn slots_by(rows: usize, instr: &Instr, layout: usize, heads: usize, team: &Team, mut work: impl FnMut(usize, usize, usize)) {
    let longest = (0..heads).map(|h| segment(instr, layout, h).rows()).max().unwrap_or(0);
    let blocks = longest.div_ceil(rows);
    team.each(heads * blocks, |item| {
        let (h, from) = (item / blocks, item % blocks * rows);
        let s = segment(instr, layout, h);
        if from < s.rows() {
            work(h, s.from() + from, s.from() + s.rows().min(from + rows));
        }
    });
}

/// Folds f over the true values of a row: `v` on vectors of four, `one` on the last dim % 8 values, both into `acc`.
#[inline(always)]
unsafe fn fold<C: Rows>(row: *const u8, dim: usize, start: f32, f: impl Fn(v128, v128, usize) -> v128) -> v128 {
    let (scale, parts) = (f32x4_splat(C::SCALE), C::parts());
    let mut acc = f32x4_splat(start);
    let whole = dim & !7;
    let mut i = 0;
    while i < whole {
        let (a, b) = C::load8(row.add(i * C::BYTES), parts);
        let (lo, hi) = C::from_raw(a, b);
        acc = f(acc, f32x4_mul(lo, scale), i);
        acc = f(acc, f32x4_mul(hi, scale), i + 4);
        i += 8;
    }
    acc
}

/// Sum over a row of f(value, index); lanes f(vector, index).
#[inline(always)]
pub(super) unsafe fn total<C: Rows>(row: *const u8, dim: usize, lanes: impl Fn(v128, usize) -> v128, one: impl Fn(f32, usize) -> f32) -> f32 {
    let mut total = sum(fold::<C>(row, dim, 0.0, |acc, v, i| f32x4_add(acc, lanes(v, i))));
    for i in dim & !7..dim {
        total += one(C::one(row.add(i * C::BYTES)) * C::SCALE, i);
    }
    total
}

#[inline(always)]
unsafe fn norm<C: Rows>(row: *const u8, dim: usize) -> f32 {
    sqrt1(total::<C>(row, dim, |v, _| f32x4_mul(v, v), |x, _| x * x))
}

#[inline(always)]
unsafe fn largest<C: Rows>(row: *const u8, dim: usize) -> f32 {
    let acc = fold::<C>(row, dim, f32::NEG_INFINITY, |acc, v, _| f32x4_max(acc, v));
    let lanes = [
        f32x4_extract_lane::<0>(acc),
        f32x4_extract_lane::<1>(acc),
        f32x4_extract_lane::<2>(acc),
        f32x4_extract_lane::<3>(acc),
    ];
    let tail = (dim & !7..dim).map(|i| C::one(row.add(i * C::BYTES)) * C::SCALE);
    lanes.into_iter().chain(tail).fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a })
}

#[inline(always)]
unsafe fn reduce_row<C: Rows>(by: usize, row: *const u8, dim: usize) -> f32 {
    match by {
        0 => total::<C>(row, dim, |v, _| f32x4_abs(v), |x, _| x.abs()),
        1 => norm::<C>(row, dim),
        2 => total::<C>(row, dim, |v, _| v, |x, _| x),
        3 => total::<C>(row, dim, |v, _| v, |x, _| x) / dim as f32,
        _ => largest::<C>(row, dim),
    }
}

/// Operands rows, layout, out; parameters heads, dim, codec, by.
pub unsafe fn reduce(instr: &Instr, team: &Team) {
    let (dim, by) = (instr.u(1), instr.u(3));
    let (rows, out) = (instr.ptr::<u8>(0), instr.ptr::<f32>(2));
    slots(instr, 1, instr.u(0), team, |_, from, to| {
        for slot in from..to {
            *out.add(slot) = match instr.u(2) {
                0 => reduce_row::<F32>(by, rows.add(slot * dim * 4), dim),
                1 => reduce_row::<F16>(by, rows.add(slot * dim * 2), dim),
                _ => reduce_row::<F32>(by, Decoded::of(instr.u(2), rows, dim).row(slot), dim),
            };
        }
    });
}

/// Operands rows, layout, out; parameters heads, dim, codec.
pub unsafe fn mean_unit(instr: &Instr, team: &Team) {
    let (rows, dim) = (instr.ptr::<u8>(0), instr.u(1));
    team.each(instr.u(0), |h| match instr.u(2) {
        0 => mean_unit_head::<F32>(instr, h, |slot| rows.add(slot * dim * 4)),
        1 => mean_unit_head::<F16>(instr, h, |slot| rows.add(slot * dim * 2)),
        choice => {
            let mut decoded = Decoded::of(choice, rows, dim);
            mean_unit_head::<F32>(instr, h, |slot| decoded.row(slot))
        }
    });
}

unsafe fn mean_unit_head<C: Rows>(instr: &Instr, h: usize, mut row_at: impl FnMut(usize) -> *const u8) {
    let dim = instr.u(1);
    let s = segment(instr, 1, h);
    let out = instr.ptr::<f32>(2).add(h * dim);
    core::slice::from_raw_parts_mut(out, dim).fill(0.0);
    for slot in s.from()..s.from() + s.rows() {
        let row = row_at(slot);
        let factor = 1.0 / norm::<C>(row, dim).max(LEAST) / s.rows() as f32;
        let lanes = f32x4_splat(factor);
        fold::<C>(row, dim, 0.0, |acc, v, i| {
            let p = out.add(i);
            store(p, fma(v, lanes, load(p)));
            acc
        });
        for i in dim & !7..dim {
            *out.add(i) += C::one(row.add(i * C::BYTES)) * C::SCALE * factor;
        }
    }
}

/// Operands rows, anchor, layout, out; parameters heads, dim, codec.
pub unsafe fn similarity(instr: &Instr, team: &Team) {
    let (rows, dim) = (instr.ptr::<u8>(0), instr.u(1));
    slots(instr, 2, instr.u(0), team, |h, from, to| match instr.u(2) {
        0 => similar::<F32>(instr, h, from, to, |slot| rows.add(slot * dim * 4)),
        1 => similar::<F16>(instr, h, from, to, |slot| rows.add(slot * dim * 2)),
        choice => {
            let mut decoded = Decoded::of(choice, rows, dim);
            similar::<F32>(instr, h, from, to, |slot| decoded.row(slot))
        }
    });
}

unsafe fn similar<C: Rows>(instr: &Instr, h: usize, from: usize, to: usize, mut row_at: impl FnMut(usize) -> *const u8) {
    let dim = instr.u(1);
    let anchor = instr.ptr::<f32>(1).add(h * dim);
    let length = norm::<F32>(anchor as *const u8, dim).max(LEAST);
    for slot in from..to {
        let row = row_at(slot);
        let dot = total::<C>(row, dim, |v, i| f32x4_mul(v, load(anchor.add(i))), |x, i| x * *anchor.add(i));
        *instr.ptr::<f32>(3).add(slot) = dot / norm::<C>(row, dim).max(LEAST) / length;
    }
}

/// Positions as numbers.
pub unsafe fn positions(instr: &Instr, team: &Team) {
    let (position, out) = (instr.ptr::<f32>(0), instr.ptr::<f32>(2));
    slots_by(NUMBERS, instr, 1, instr.u(0), team, |_, from, to| {
        unary(position.add(from), out.add(from), to - from, |p| f32x4_convert_u32x4(p));
    });
}

/// Operands a, layout, out; parameters heads, by, size, dropLast.
pub unsafe fn pool(instr: &Instr, team: &Team) {
    let (size, drop) = (instr.u(2), instr.u(3));
    let reach = size / 2;
    slots(instr, 1, instr.u(0), team, |h, from, to| {
        let s = segment(instr, 1, h);
        let row = instr.ptr::<f32>(0).add(s.from());
        let pooled = s.rows().saturating_sub(drop);
        for t in from - s.from()..to - s.from() {
            let window = t.saturating_sub(reach)..pooled.min(t + reach + 1);
            *instr.ptr::<f32>(2).add(s.from() + t) = match instr.u(1) {
                _ if t >= pooled => *row.add(t),
                0 => window.map(|i| *row.add(i)).fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a }),
                _ => window.map(|i| *row.add(i)).sum::<f32>() / size as f32,
            };
        }
    });
}

/// Operands a, layout, out; parameters heads.
pub unsafe fn head_mean(instr: &Instr, team: &Team) {
    let heads = instr.u(0);
    let (a, out) = (instr.ptr::<f32>(0), instr.ptr::<f32>(2));
    let longest = (0..heads).map(|h| segment(instr, 1, h).rows()).max().unwrap_or(0);
    team.chunks(longest, ROWS, |from, to| {
        for t in from..to {
            let (mut total, mut count) = (0.0, 0);
            for h in 0..heads {
                let s = segment(instr, 1, h);
                if t < s.rows() {
                    total += *a.add(s.from() + t);
                    count += 1;
                }
            }
            let mean = total / count as f32;
            for h in 0..heads {
                let s = segment(instr, 1, h);
                if t < s.rows() {
                    *out.add(s.from() + t) = mean;
                }
            }
        }
    });
}

/// Operands rows, gram, layout, out; parameters heads, kvHeads, dim, codec.
pub unsafe fn projected_norm(instr: &Instr, team: &Team) {
    let (group, dim) = (instr.u(0) / instr.u(1), instr.u(2));
    slots(instr, 2, instr.u(1), team, |h, from, to| {
        for slot in from..to {
            for g in 0..group {
                let gram = instr.ptr::<f32>(1).add((h * group + g) * dim * dim);
                *instr.ptr::<f32>(3).add(slot * group + g) = match instr.u(3) {
                    0 => length_under::<F32>(instr.ptr::<u8>(0).add(slot * dim * 4), dim, gram),
                    1 => length_under::<F16>(instr.ptr::<u8>(0).add(slot * dim * 2), dim, gram),
                    choice => length_under::<F32>(Decoded::of(choice, instr.ptr(0), dim).row(slot), dim, gram),
                };
            }
        }
    });
}

/// sqrt(row^T gram row), 0 where rounding makes that negative.
unsafe fn length_under<C: Rows>(row: *const u8, dim: usize, gram: *const f32) -> f32 {
    let mut square = 0.0;
    for c in 0..dim {
        let line = gram.add(c * dim);
        let dot = total::<C>(row, dim, |v, i| f32x4_mul(v, load(line.add(i))), |x, i| x * *line.add(i));
        square += C::one(row.add(c * C::BYTES)) * C::SCALE * dot;
    }
    sqrt1(if square > 0.0 { square } else { 0.0 })
}

/// Operands x, position, layout, newest, column; parameters m, heads.
pub unsafe fn per_token(instr: &Instr, team: &Team) {
    let (m, heads) = (instr.u(0), instr.u(1));
    let (x, newest) = (instr.ptr::<f32>(0), *instr.ptr::<u32>(3) as u64);
    team.each(heads, |h| {
        let s = segment(instr, 2, h);
        for slot in (s.from()..s.from() + s.rows()).rev() {
            let before = newest.wrapping_sub(*instr.ptr::<u32>(1).add(slot) as u64);
            // Positions ascend: rows before this one are older still.
            if before >= m as u64 {
                break;
            }
            *instr.ptr::<f32>(4).add(slot) = *x.add((m - 1 - before as usize) * heads + h);
        }
    });
}
