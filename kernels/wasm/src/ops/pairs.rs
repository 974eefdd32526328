//! Ops that compare the rows of a head with each other: newestLike, redundancy. No matrix of all pairs is ever stored.

use super::columns::{total, LEAST};
use crate::attend::gemm::{multiply, Left, Rows as Matrix};
use crate::codec::Codec;
use crate::decoded::Decoded;
use crate::half::{Rows, F16, F32};
use crate::layout::{segment, NO_ROW};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Rows of a tile of others; a multiple of 12.
pub const TILE: usize = 48;
/// Rows that look for their likeness together.
const SEARCHING: usize = 576;
/// While more than these are looking they are compared with rows of a few at a time: most of them need no more.
const MANY: usize = 96;
const FEW: usize = 12;

/// Scratch floats of a thread for tiles: rows by channel [dim, TILE], others [TILE, dim], products [TILE, TILE].
pub fn floats(dim: usize) -> usize {
    2 * TILE * dim + TILE * TILE
}

/// Scratch floats of a thread: searching rows [SEARCHING, dim], others [TILE, dim], the same by channel [dim, TILE], products
/// [SEARCHING, TILE].
pub fn search_floats(dim: usize) -> usize {
    (SEARCHING + 2 * TILE) * dim + SEARCHING * TILE
}

/// Operands rows, norms, layout, out, scratch; parameters heads, dim, codec, above.
pub unsafe fn newest_like(instr: &Instr, team: &Team) {
    let heads = instr.u(0);
    let own = instr.ptr::<f32>(4).add(team.thread * search_floats(instr.u(1)));
    let longest = (0..heads).map(|h| segment(instr, 2, h).rows()).max().unwrap_or(0);
    team.each(longest.div_ceil(SEARCHING) * heads, |item| {
        let (h, from) = (item % heads, item / heads * SEARCHING);
        search(instr, h, from, own);
    });
}

/// Rows [from, from + SEARCHING) of head h against all rows, newest first. Those that have found their own drop out at once: most do among the
/// newest rows, and the few that have none must not take the others along to the oldest.
unsafe fn search(instr: &Instr, h: usize, from: usize, own: *mut f32) {
    let (s, dim) = (segment(instr, 2, h), instr.u(1));
    if from >= s.rows() {
        return;
    }
    let (codec, rows) = (Codec::of(instr.u(2)), instr.ptr::<u8>(0));
    let norm = |i: usize| (*instr.ptr::<f32>(1).add(s.from() + i)).max(LEAST);
    let out = instr.ptr::<u32>(3).add(s.from());
    let (searching, others) = (own, own.add(SEARCHING * dim));
    let (turned, products) = (others.add(TILE * dim), others.add(2 * TILE * dim));
    let mut open = SEARCHING.min(s.rows() - from);
    let mut index: [usize; SEARCHING] = core::array::from_fn(|r| from + r);
    codec.read(rows, s.from() + from, open, dim, searching);
    core::slice::from_raw_parts_mut(out.add(from), open).fill(NO_ROW);
    let mut top = s.rows();
    while top > 0 && open > 0 {
        let width = if open > MANY { FEW } else { TILE };
        let low = top.saturating_sub(width);
        codec.read(rows, s.from() + low, top - low, dim, others);
        turn(others, width, dim, turned);
        // What a product must exceed, over the searching row's norm; nothing exceeds infinity, so lanes without a row never do.
        let limits: [f32; TILE] = core::array::from_fn(|j| if low + j < top { instr.f(3) * norm(low + j) } else { f32::INFINITY });
        let left = Left { at: searching, row: dim, step: 1 };
        multiply::<false>(open, width, dim, left, Matrix { at: turned, row: TILE }, Matrix { at: products, row: TILE });
        let mut kept = 0;
        for r in 0..open {
            let (i, found) = (index[r], products.add(r * TILE));
            if (low..top).contains(&i) {
                *found.add(i - low) = f32::NEG_INFINITY;
            }
            if let Some(j) = last_over(found, &limits[..width], norm(i)) {
                *out.add(i) = (low + j) as u32;
                continue;
            }
            if kept < r {
                copy(searching.add(r * dim), searching.add(kept * dim), dim);
                index[kept] = i;
            }
            kept += 1;
        }
        open = kept;
        top = low;
    }
}

/// The last of a tile's products that is over its limit times `norm`.
#[inline(always)]
unsafe fn last_over(products: *const f32, limits: &[f32], norm: f32) -> Option<usize> {
    let norm = f32x4_splat(norm);
    (0..limits.len()).step_by(4).rev().find_map(|j| {
        let limit = f32x4_mul(load(limits.as_ptr().add(j)), norm);
        let hits = i32x4_bitmask(f32x4_gt(load(products.add(j)), limit));
        (hits != 0).then(|| j + hits.ilog2() as usize)
    })
}

/// Copies a row; rows are too short for a call.
#[inline(always)]
unsafe fn copy(from: *const f32, to: *mut f32, dim: usize) {
    for d in (0..dim & !3).step_by(4) {
        store(to.add(d), load(from.add(d)));
    }
    for d in dim & !3..dim {
        *to.add(d) = *from.add(d);
    }
}

/// Rows [count, dim] by channel, [dim, TILE].
unsafe fn turn(rows: *const f32, count: usize, dim: usize, turned: *mut f32) {
    for r in (0..count).step_by(4) {
        for d in (0..dim & !3).step_by(4) {
            let four = core::array::from_fn(|i| load(rows.add((r + i) * dim + d)));
            for (i, v) in transpose(four).into_iter().enumerate() {
                store(turned.add((d + i) * TILE + r), v);
            }
        }
        for d in dim & !3..dim {
            for i in r..r + 4 {
                *turned.add(d * TILE + i) = *rows.add(i * dim + d);
            }
        }
    }
}

/// What a redundancy spares: the likeness, the row that has it, or the likeness and else the first row.
const OWN: usize = 1;
const FIRST: usize = 2;

/// Operands rows, norms, anchor, like, layout, out; parameters heads, dim, codec, spares.
pub unsafe fn redundancy(instr: &Instr, team: &Team) {
    let (rows, dim) = (instr.ptr::<u8>(0), instr.u(1));
    team.each(instr.u(0), |h| match instr.u(2) {
        0 => redundant::<F32>(instr, h, |slot| rows.add(slot * dim * 4), |slot| rows.add(slot * dim * 4)),
        1 => redundant::<F16>(instr, h, |slot| rows.add(slot * dim * 2), |slot| rows.add(slot * dim * 2)),
        choice => {
            let (mut one, mut other) = (Decoded::of(choice, rows, dim), Decoded::of(choice, rows, dim));
            redundant::<F32>(instr, h, |slot| one.row(slot), |slot| other.row(slot));
        }
    });
}

unsafe fn redundant<C: Rows>(
    instr: &Instr,
    h: usize,
    mut row_at: impl FnMut(usize) -> *const u8,
    mut other_at: impl FnMut(usize) -> *const u8,
) {
    let (s, dim) = (segment(instr, 4, h), instr.u(1));
    let norm = |i: usize| (*instr.ptr::<f32>(1).add(s.from() + i)).max(LEAST);
    let anchor = instr.ptr::<f32>(2).add(h * dim);
    let (like, out) = (instr.ptr::<u32>(3).add(s.from()), instr.ptr::<f32>(5).add(s.from()));
    let count = s.rows() as f32;
    for i in 0..s.rows() {
        let row = row_at(s.from() + i);
        let all = total::<C>(row, dim, |v, c| f32x4_mul(v, load(anchor.add(c))), |x, c| x * *anchor.add(c)) / norm(i);
        *out.add(i) = all * count - dot::<C>(row, row, dim) / norm(i) / norm(i);
    }
    for i in 0..s.rows() {
        let j = match *like.add(i) {
            NO_ROW if instr.u(3) == FIRST => 0,
            j => j as usize,
        };
        if j != NO_ROW as usize && j != i {
            let spared = if instr.u(3) == OWN { i } else { j };
            *out.add(spared) -= dot::<C>(row_at(s.from() + i), other_at(s.from() + j), dim) / norm(i) / norm(j);
        }
    }
    for i in 0..s.rows() {
        *out.add(i) /= count;
    }
}

/// Product of two stored rows.
#[inline(always)]
pub(super) unsafe fn dot<C: Rows>(a: *const u8, b: *const u8, dim: usize) -> f32 {
    let (scale, parts) = (f32x4_splat(C::SCALE), C::parts());
    let (mut low, mut high) = (f32x4_splat(0.0), f32x4_splat(0.0));
    let whole = dim & !7;
    for i in (0..whole).step_by(8) {
        let ((a0, a1), (b0, b1)) = (C::load8(a.add(i * C::BYTES), parts), C::load8(b.add(i * C::BYTES), parts));
        low = fma(f32x4_mul(a0, scale), f32x4_mul(b0, scale), low);
        high = fma(f32x4_mul(a1, scale), f32x4_mul(b1, scale), high);
    }
    let one = |p: *const u8, i: usize| C::one(p.add(i * C::BYTES)) * C::SCALE;
    sum(f32x4_add(low, high)) + (whole..dim).map(|i| one(a, i) * one(b, i)).sum::<f32>()
}
