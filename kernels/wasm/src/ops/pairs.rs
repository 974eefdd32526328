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

/// Rows that look for their likeness together, and rows they are compared with at a time; a multiple of 12.
pub const TILE: usize = 48;

/// Scratch floats of a thread: searching rows by channel [dim, TILE], others [TILE, dim], products [TILE, TILE].
pub fn floats(dim: usize) -> usize {
    2 * TILE * dim + TILE * TILE
}

/// Operands rows, norms, layout, out, scratch; parameters heads, dim, codec, above.
pub unsafe fn newest_like(instr: &Instr, team: &Team) {
    let heads = instr.u(0);
    let own = instr.ptr::<f32>(4).add(team.thread * floats(instr.u(1)));
    let longest = (0..heads).map(|h| segment(instr, 2, h).rows()).max().unwrap_or(0);
    team.each(longest.div_ceil(TILE) * heads, |item| {
        let (h, from) = (item % heads, item / heads * TILE);
        search(instr, h, from, own);
    });
}

/// Rows [from, from + TILE) of head h against all rows, newest first, until each has found its own.
unsafe fn search(instr: &Instr, h: usize, from: usize, own: *mut f32) {
    let (s, dim) = (segment(instr, 2, h), instr.u(1));
    if from >= s.rows() {
        return;
    }
    let (codec, rows) = (Codec::of(instr.u(2)), instr.ptr::<u8>(0));
    let norm = |i: usize| (*instr.ptr::<f32>(1).add(s.from() + i)).max(LEAST);
    let out = instr.ptr::<u32>(3).add(s.from());
    let (searching, others, products) = (own, own.add(TILE * dim), own.add(2 * TILE * dim));
    let mut open = TILE.min(s.rows() - from);
    // What a product with a searching row must exceed; nothing exceeds infinity, so lanes that are done drop out.
    let mut limits = [f32::INFINITY; TILE];
    codec.read(rows, s.from() + from, open, dim, others);
    core::slice::from_raw_parts_mut(searching, TILE * dim).fill(0.0);
    for r in 0..open {
        limits[r] = instr.f(3);
        *out.add(from + r) = NO_ROW;
        for d in 0..dim {
            *searching.add(d * TILE + r) = *others.add(r * dim + d) / norm(from + r);
        }
    }
    let mut top = s.rows();
    while top > 0 && open > 0 {
        let low = top.saturating_sub(TILE);
        codec.read(rows, s.from() + low, top - low, dim, others);
        let (left, right) = (Left { at: others, row: dim, step: 1 }, Matrix { at: searching, row: TILE });
        multiply::<false>(top - low, TILE, dim, left, right, Matrix { at: products, row: TILE });
        for j in (low..top).rev() {
            let length = f32x4_splat(norm(j));
            for r in (0..TILE).step_by(4) {
                let over = f32x4_gt(load(products.add((j - low) * TILE + r)), f32x4_mul(load(limits.as_ptr().add(r)), length));
                let hits = i32x4_bitmask(over);
                for lane in (0..4).filter(|lane| hits >> lane & 1 == 1 && from + r + lane != j) {
                    *out.add(from + r + lane) = j as u32;
                    limits[r + lane] = f32::INFINITY;
                    open -= 1;
                }
            }
        }
        top = low;
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
    let (scale, mask) = (f32x4_splat(C::SCALE), C::mask());
    let (mut low, mut high) = (f32x4_splat(0.0), f32x4_splat(0.0));
    let whole = dim & !7;
    for i in (0..whole).step_by(8) {
        let ((a0, a1), (b0, b1)) = (C::load8(a.add(i * C::BYTES), mask), C::load8(b.add(i * C::BYTES), mask));
        low = fma(f32x4_mul(a0, scale), f32x4_mul(b0, scale), low);
        high = fma(f32x4_mul(a1, scale), f32x4_mul(b1, scale), high);
    }
    let one = |p: *const u8, i: usize| C::one(p.add(i * C::BYTES)) * C::SCALE;
    sum(f32x4_add(low, high)) + (whole..dim).map(|i| one(a, i) * one(b, i)).sum::<f32>()
}
