//! Attention mass per row without the matrix. One query: rows are scored as [`super::decode`] does. Several: phase 0 transposes the queries into
//! blocks, phase 1 takes tiles of rows through all blocks, so every sum is over one tile's own numbers in a fixed order.

use super::gemm::{multiply, Left, Rows as Matrix};
use super::{cap, single, visible};
use crate::codec::Codec;
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Rows per tile.
const TILE: usize = 48;
/// Queries per block, about.
const QUERIES: usize = 48;
/// Divisors below this count as this.
pub const LEAST: f32 = 1e-30;

/// Sizes of one op. Lane `g * tokens + i` of a block holds query head g of the group at the block's token i.
#[derive(Clone, Copy)]
struct Shape {
    queries: usize,
    heads: usize,
    kv_heads: usize,
    group: usize,
    dim: usize,
    tokens: usize,
    lanes: usize,
    blocks: usize,
}

impl Shape {
    fn of(queries: usize, heads: usize, kv_heads: usize, dim: usize) -> Shape {
        let group = heads / kv_heads;
        let tokens = (QUERIES / group).next_multiple_of(12).max(12);
        Shape { queries, heads, kv_heads, group, dim, tokens, lanes: group * tokens, blocks: queries.div_ceil(tokens) }
    }

    /// Floats of a block: queries [dim, lanes], then per lane lse, from, to.
    fn block(&self) -> usize {
        (self.dim + 3) * self.lanes
    }

    /// Floats of a thread: keys [TILE, dim], scores [TILE, lanes], masses [group, TILE].
    fn thread(&self) -> usize {
        TILE * (self.dim + self.lanes + self.group)
    }
}

/// Scratch floats.
pub fn floats(queries: usize, heads: usize, kv_heads: usize, dim: usize, threads: usize) -> usize {
    if queries == 1 {
        return threads * single::floats(heads / kv_heads, dim);
    }
    let shape = Shape::of(queries, heads, kv_heads, dim);
    shape.blocks * kv_heads * shape.block() + threads * shape.thread()
}

/// Operands q, keys, position, layout, queryPosition, lse, out, divisor, gain, scratch, kept scores, what was written since they were; parameters
/// queries, heads, kvHeads, keyDim, keyCodec, scale, window, softcap, overQueries, overGroup, accumulate.
pub unsafe fn run(instr: &Instr, phase: u32, team: &Team) {
    if instr.u(0) == 1 {
        return single::run(instr, team);
    }
    let shape = Shape::of(instr.u(0), instr.u(1), instr.u(2), instr.u(3));
    let scratch = instr.ptr::<f32>(9);
    if phase == 0 {
        return team.each(shape.blocks * shape.kv_heads, |item| {
            fill(instr, shape, item / shape.kv_heads, item % shape.kv_heads, scratch.add(item * shape.block()));
        });
    }
    let own = scratch.add(shape.blocks * shape.kv_heads * shape.block() + team.thread * shape.thread());
    let longest = (0..shape.kv_heads).map(|h| segment(instr, 3, h).rows()).max().unwrap_or(0);
    team.each(longest.div_ceil(TILE) * shape.kv_heads, |item| {
        let (h, t) = (item % shape.kv_heads, item / shape.kv_heads * TILE);
        tile(instr, shape, h, t, own);
    });
}

/// Phases of an `attendReduce`.
pub fn phases(instr: &Instr) -> u32 {
    if instr.u(0) == 1 { 1 } else { 2 }
}

/// One block of queries for one KV head. A lane that sees nothing, or whose softmax was empty, has an empty range.
unsafe fn fill(instr: &Instr, shape: Shape, block: usize, h: usize, to: *mut f32) {
    let s = segment(instr, 3, h);
    let lane = to.add(shape.dim * shape.lanes);
    for r in 0..shape.lanes {
        let (token, head) = (block * shape.tokens + r % shape.tokens, h * shape.group + r / shape.tokens);
        let real = token < shape.queries;
        let row = token * shape.heads + head;
        let lse = if real { *instr.ptr::<f32>(5).add(row) } else { SENTINEL };
        let seen = if lse == SENTINEL { (0, 0) } else { visible(instr.ptr(2), &s, *instr.ptr::<u32>(4).add(token), instr.u(6) as u32) };
        // p / divisor = exp(score - (lse + ln divisor)).
        *lane.add(r) = if real && instr.has(7) { lse + ln((*instr.ptr::<f32>(7).add(token)).max(LEAST)) } else { lse };
        *(lane.add(shape.lanes + r) as *mut i32) = seen.0 as i32;
        *(lane.add(2 * shape.lanes + r) as *mut i32) = seen.1 as i32;
        for d in 0..shape.dim {
            *to.add(d * shape.lanes + r) = if real { *instr.ptr::<f32>(0).add(row * shape.dim + d) * instr.f(5) } else { 0.0 };
        }
    }
}

/// Rows [t, t + TILE) of head h.
unsafe fn tile(instr: &Instr, shape: Shape, h: usize, t: usize, own: *mut f32) {
    let s = segment(instr, 3, h);
    if t >= s.rows() {
        return;
    }
    let rows = TILE.min(s.rows() - t);
    let scores = own.add(TILE * shape.dim);
    let masses = scores.add(TILE * shape.lanes);
    Codec::of(instr.u(4)).read(instr.ptr(1), s.from() + t, rows, shape.dim, own);
    core::slice::from_raw_parts_mut(masses, shape.group * TILE).fill(0.0);
    for block in 0..shape.blocks {
        let queries = instr.ptr::<f32>(9).add((block * shape.kv_heads + h) * shape.block());
        let lane = queries.add(shape.dim * shape.lanes);
        if !(0..shape.lanes).any(|r| sees(lane, shape, r, t, rows)) {
            continue;
        }
        let (keys, right) = (Left { at: own, row: shape.dim, step: 1 }, Matrix { at: queries, row: shape.lanes });
        multiply::<false>(rows, shape.lanes, shape.dim, keys, right, Matrix { at: scores, row: shape.lanes });
        for i in 0..rows {
            for g in 0..shape.group {
                let at = g * shape.tokens;
                let mass = fold(instr, shape, scores.add(i * shape.lanes + at), lane.add(at), t + i);
                let m = masses.add(g * TILE + i);
                *m = if instr.u(8) != 2 { *m + mass } else if mass > *m { mass } else { *m };
            }
        }
    }
    write(instr, shape, masses, s.from() + t, rows);
}

unsafe fn sees(lane: *const f32, shape: Shape, r: usize, t: usize, rows: usize) -> bool {
    let (from, to) = (*(lane.add(shape.lanes + r) as *const i32), *(lane.add(2 * shape.lanes + r) as *const i32));
    from < to && (from as usize) < t + rows && to as usize > t
}

/// Sum, or maximum, of the masses one row gets from the block's tokens of one head.
#[inline(always)]
unsafe fn fold(instr: &Instr, shape: Shape, scores: *const f32, lane: *const f32, t: usize) -> f32 {
    let (softcap, is_max) = (instr.f(7), instr.u(8) == 2);
    let index = i32x4_splat(t as i32);
    let mut total = f32x4_splat(0.0);
    for i in (0..shape.tokens).step_by(4) {
        let x = f32x4_sub(cap(load(scores.add(i)), softcap), load(lane.add(i)));
        let seen = v128_andnot(i32x4_lt(index, load(lane.add(2 * shape.lanes + i))), i32x4_lt(index, load(lane.add(shape.lanes + i))));
        let p = v128_and(exp_negative(f32x4_pmin(f32x4_splat(88.0), x)), seen);
        total = if is_max { f32x4_pmax(total, p) } else { f32x4_add(total, p) };
    }
    if is_max { max(total) } else { sum(total) }
}

/// Folds over the group and writes the column.
unsafe fn write(instr: &Instr, shape: Shape, masses: *const f32, slot: usize, rows: usize) {
    let real = (0..shape.queries).filter(|i| *instr.ptr::<u32>(4).add(*i) != u32::MAX).count();
    let by_queries = if instr.u(8) == 1 && real > 0 { 1.0 / real as f32 } else { 1.0 };
    for i in 0..rows {
        settle(instr, shape.group, slot + i, |g| unsafe { *masses.add(g * TILE + i) } * by_queries);
    }
}

/// Writes what the query heads of a group have gathered for the row at `slot`.
#[inline(always)]
pub unsafe fn settle(instr: &Instr, group: usize, slot: usize, gathered: impl Fn(usize) -> f32) {
    let heads = (0..group).map(|g| gathered(g) * if instr.has(8) { *instr.ptr::<f32>(8).add(slot * group + g) } else { 1.0 });
    let mass = match instr.u(9) {
        2 => heads.fold(0.0, |a, b| if b > a { b } else { a }),
        1 => heads.sum::<f32>() * (1.0 / group as f32),
        _ => heads.sum::<f32>(),
    };
    let out = instr.ptr::<f32>(6).add(slot);
    *out = if instr.u(10) != 0 { *out + mass } else { mass };
}
