//! Several queries: a block of tokens times the query heads of one KV head shares every tile of keys and values. Scores of a tile
//! are kept as [row of the cache, query], so softmax runs in
//! lanes over queries; outputs as [value column, query]. Neither product needs a transposed tile.

use super::gemm::{multiply, Left, Rows as Matrix};
use super::{cap, visible, Attend};
use crate::layout::Segment;
use crate::math::*;

/// Rows of the cache per tile.
pub const TILE: usize = 48;
/// Queries (token, head) per block, about.
const QUERIES: usize = 48;

/// Tokens per block.
pub fn tokens(group: usize) -> usize {
    (QUERIES / group).max(1)
}

/// Queries per block, padded.
fn lanes(group: usize) -> usize {
    (tokens(group) * group).next_multiple_of(12)
}

/// Scratch floats of one thread.
pub fn floats(group: usize, key_dim: usize, value_dim: usize) -> usize {
    let r = lanes(group);
    (key_dim * r + TILE * (key_dim + value_dim + r) + r * value_dim + value_dim + 5 * r).next_multiple_of(16)
}

/// Where things lie in a thread's scratch.
struct Work {
    lanes: usize,
    /// [key_dim, lanes], scaled.
    queries: *mut f32,
    /// [TILE, key_dim]
    keys: *mut f32,
    /// [TILE, value_dim]
    values: *mut f32,
    /// [TILE, lanes]
    scores: *mut f32,
    /// [value_dim, lanes]
    o: *mut f32,
    /// [value_dim]
    row: *mut f32,
    top: *mut f32,
    l: *mut f32,
    alpha: *mut f32,
    from: *mut i32,
    to: *mut i32,
}

impl Work {
    unsafe fn at(a: &Attend, scratch: *mut f32) -> Work {
        let lanes = lanes(a.group);
        let mut next = scratch;
        let mut take = |count: usize| {
            let p = next;
            next = next.add(count);
            p
        };
        Work {
            lanes,
            queries: take(a.key_dim * lanes),
            keys: take(TILE * a.key_dim),
            values: take(TILE * a.value_dim),
            scores: take(TILE * lanes),
            o: take(lanes * a.value_dim),
            row: take(a.value_dim),
            top: take(lanes),
            l: take(lanes),
            alpha: take(lanes),
            from: take(lanes) as *mut i32,
            to: take(lanes) as *mut i32,
        }
    }
}

/// What a block sees: [from, to) by any of its queries, [full_from, full_to) by all.
#[derive(Clone, Copy)]
struct Range {
    from: usize,
    to: usize,
    full_from: usize,
    full_to: usize,
}

/// Item (KV head h, block of tokens).
pub unsafe fn block(a: &Attend, s: &Segment, h: usize, block: usize, scratch: *mut f32) {
    let w = Work::at(a, scratch);
    let first = block * tokens(a.group);
    let count = tokens(a.group).min(a.m - first);
    let range = start(a, &w, s, h, first, count);
    let mut t = range.from;
    while t < range.to {
        let rows = TILE.min(range.to - t);
        tile(a, &w, s.from() + t, t, rows, range);
        t += rows;
    }
    for r in 0..count * a.group {
        let row = (first + r / a.group) * a.heads + h * a.group + r % a.group;
        for d in 0..a.value_dim {
            *w.row.add(d) = *w.o.add(d * w.lanes + r);
        }
        a.finish(row, *w.top.add(r), *w.l.add(r), w.row, 1.0);
    }
}

/// Fills queries and ranges, clears the state.
unsafe fn start(a: &Attend, w: &Work, s: &Segment, h: usize, first: usize, count: usize) -> Range {
    let mut range = Range { from: usize::MAX, to: 0, full_from: 0, full_to: usize::MAX };
    for r in 0..w.lanes {
        let (token, head) = (first + r / a.group, h * a.group + r % a.group);
        let real = r < count * a.group;
        let (from, to) = if real { visible(a.position, s, *a.query_position.add(token), a.window) } else { (0, 0) };
        *w.from.add(r) = from as i32;
        *w.to.add(r) = to as i32;
        *w.top.add(r) = SENTINEL;
        *w.l.add(r) = 0.0;
        if real {
            range.full_from = range.full_from.max(from);
            range.full_to = range.full_to.min(to);
        }
        if from < to {
            range.from = range.from.min(from);
            range.to = range.to.max(to);
        }
        for d in 0..a.key_dim {
            let q = if real { *a.q.add((token * a.heads + head) * a.key_dim + d) * a.scale } else { 0.0 };
            *w.queries.add(d * w.lanes + r) = q;
        }
    }
    core::slice::from_raw_parts_mut(w.o, w.lanes * a.value_dim).fill(0.0);
    range
}

/// Rows [t, t + rows) of the segment, at `slot`.
unsafe fn tile(a: &Attend, w: &Work, slot: usize, t: usize, rows: usize, range: Range) {
    a.key_codec.read(a.keys, slot, rows, a.key_dim, w.keys);
    let keys = Left { at: w.keys, row: a.key_dim, step: 1 };
    let (queries, scores) = (Matrix { at: w.queries, row: w.lanes }, Matrix { at: w.scores, row: w.lanes });
    multiply::<false>(rows, w.lanes, a.key_dim, keys, queries, scores);
    let masked = t < range.full_from || t + rows > range.full_to;
    for r in (0..w.lanes).step_by(4) {
        let moved = if masked { softmax::<true>(a, w, r, t, rows) } else { softmax::<false>(a, w, r, t, rows) };
        for d in 0..if moved { a.value_dim } else { 0 } {
            let o = w.o.add(d * w.lanes + r);
            store(o, f32x4_mul(load(o), load(w.alpha.add(r))));
        }
    }
    a.value_codec.read(a.values, slot, rows, a.value_dim, w.values);
    let values = Left { at: w.values, row: 1, step: a.value_dim };
    multiply::<true>(a.value_dim, w.lanes, rows, values, scores, Matrix { at: w.o, row: w.lanes });
}

/// Scores of four queries become exponentials; did a maximum move?
#[inline(never)]
unsafe fn softmax<const MASK: bool>(a: &Attend, w: &Work, r: usize, t: usize, rows: usize) -> bool {
    let s = w.scores.add(r);
    let (from, to) = (load(w.from.add(r) as *const f32), load(w.to.add(r) as *const f32));
    let before = load(w.top.add(r));
    let mut top = before;
    for i in 0..rows {
        let p = s.add(i * w.lanes);
        let mut x = cap(load(p), a.softcap);
        if MASK {
            let index = i32x4_splat((t + i) as i32);
            let seen = v128_andnot(i32x4_lt(index, to), i32x4_lt(index, from));
            // Below the sentinel, so that its exponential is 0 even where nothing was seen yet.
            x = v128_bitselect(x, f32x4_splat(2.0 * SENTINEL), seen);
        }
        if MASK || a.softcap > 0.0 {
            store(p, x);
        }
        top = f32x4_pmax(top, x);
    }
    let mut l = f32x4_splat(0.0);
    for i in 0..rows {
        let p = s.add(i * w.lanes);
        let e = exp_negative(f32x4_sub(load(p), top));
        l = f32x4_add(l, e);
        store(p, e);
    }
    let alpha = exp_negative(f32x4_sub(before, top));
    store(w.alpha.add(r), alpha);
    store(w.top.add(r), top);
    store(w.l.add(r), fma(load(w.l.add(r)), alpha, l));
    v128_any_true(f32x4_ne(before, top))
}
