//! One query: the visible rows of a KV head, or those that are named, are cut into at most [`CHUNKS`] chunks (fixed by the length alone), all query heads
//! of the group read a chunk in one pass, and partial softmaxes are merged in chunk order.

use super::{cap, visible, Attend};
use crate::half::{Rows, F16};
use crate::layout::Segment;
use crate::math::*;
use crate::team::Team;

/// Chunks per KV head at most.
pub const CHUNKS: usize = 32;
/// Rows per chunk at least.
pub(super) const LEAST: usize = 128;
/// Rows per tile of scores: few, so that values are read nearly in the order in which they lie in memory.
pub(super) const TILE: usize = 16;
/// Query heads in one pass.
pub(super) const PASS: usize = 4;

/// State of one (chunk, query head): top, l, two unused, the query in raw order, then o in raw order.
pub(super) fn stride(key_dim: usize, value_dim: usize) -> usize {
    4 + key_dim.next_multiple_of(8) + value_dim.next_multiple_of(8)
}

/// Scratch floats for one query.
pub fn floats(heads: usize, key_dim: usize, value_dim: usize) -> usize {
    heads * CHUNKS * stride(key_dim, value_dim)
}

pub(super) unsafe fn state(a: &Attend, item: usize, g: usize) -> *mut f32 {
    a.scratch.add((item * a.group + g) * stride(a.key_dim, a.value_dim))
}

/// Item (KV head, chunk) for all query heads of its group.
pub unsafe fn chunk<K: Rows, V: Rows>(a: &Attend, s: &Segment, item: usize) {
    let (from, to) = visible(a.position, s, *a.query_position, a.window);
    let named = a.named(s, item / CHUNKS);
    let count = named.map_or(to - from, |named| named.len());
    let size = LEAST.max(count.div_ceil(CHUNKS).next_multiple_of(16));
    let first = item % CHUNKS * size;
    let last = count.min(first + size);
    for g in 0..a.group {
        let head = state(a, item, g);
        *head = SENTINEL;
        *head.add(1) = 0.0;
        if first < last {
            prepare::<K>(a, head, item / CHUNKS * a.group + g);
        }
    }
    let mut t = first;
    while t < last {
        let (row, rows) = match named {
            None => (from + t, TILE.min(last - t)),
            Some(named) => run(&named[t..last]),
        };
        // Of named rows all of a run are seen, or none of it, or a part that needs the ends taken off.
        let (start, end) = (row.max(from), (row + rows).min(to));
        t += rows;
        if start >= end {
            continue;
        }
        for g in (0..a.group).step_by(PASS) {
            let (head, slot) = (state(a, item, g), s.from() + start);
            match a.group - g {
                1 => tile::<K, V, 1>(a, head, slot, end - start),
                2 => tile::<K, V, 2>(a, head, slot, end - start),
                3 => tile::<K, V, 3>(a, head, slot, end - start),
                _ => tile::<K, V, 4>(a, head, slot, end - start),
            }
        }
    }
}

/// First row and length of the run of neighbours that the list begins with, a tile at most.
fn run(named: &[u32]) -> (usize, usize) {
    let rows = (1..TILE.min(named.len())).take_while(|i| named[*i] == named[0] + *i as u32).count() + 1;
    (named[0] as usize, rows)
}

/// Puts the scaled query into the raw order of the keys, clears o.
pub(super) unsafe fn prepare<K: Rows>(a: &Attend, head: *mut f32, query_head: usize) {
    let (q, raw, dim) = (a.q.add(query_head * a.key_dim), head.add(4), a.key_dim);
    let factor = f32x4_splat(a.scale * K::LIFT);
    for d in (0..dim & !7).step_by(8) {
        let (x, y) = K::to_raw(load(q.add(d)), load(q.add(d + 4)));
        store(raw.add(d), f32x4_mul(x, factor));
        store(raw.add(d + 4), f32x4_mul(y, factor));
    }
    for d in dim & !7..dim {
        *raw.add(d) = *q.add(d) * (a.scale * K::LIFT);
    }
    let o = raw.add(dim.next_multiple_of(8));
    core::slice::from_raw_parts_mut(o, a.value_dim.next_multiple_of(8)).fill(0.0);
}

/// Takes `rows` rows from `slot` on into the states of R query heads.
unsafe fn tile<K: Rows, V: Rows, const R: usize>(a: &Attend, head: *mut f32, slot: usize, rows: usize) {
    let stride = stride(a.key_dim, a.value_dim);
    let mut s = [[0f32; TILE]; R];
    let keys = a.keys.add(slot * a.key_dim * K::BYTES);
    if R == PASS {
        // Four queries times four rows are more sums than registers: two and two again take half the time.
        scores::<K, 2>(head.add(4), stride, keys, a.key_dim, rows, &mut s[..2]);
        scores::<K, 2>(head.add(4 + 2 * stride), stride, keys, a.key_dim, rows, &mut s[2..]);
    } else {
        scores::<K, R>(head.add(4), stride, keys, a.key_dim, rows, &mut s);
    }
    let o = head.add(4 + a.key_dim.next_multiple_of(8));
    for (g, s) in s.iter_mut().enumerate() {
        let state = head.add(g * stride);
        let alpha = softmax(s, rows, a.softcap, K::SCALE / K::LIFT, V::LIFT, state);
        if alpha != 1.0 {
            let o = o.add(g * stride);
            unary(o, o, a.value_dim.next_multiple_of(8), |x| f32x4_mul(x, f32x4_splat(alpha)));
        }
    }
    values::<V, R>(&s, a.values.add(slot * a.value_dim * V::BYTES), a.value_dim, rows, o, stride);
}

/// s[g][t] = raw dot of query g and row t; four rows at a time, so up to three scores beyond `rows` are repeats of the last.
#[inline(never)]
pub(super) unsafe fn scores<K: Rows, const R: usize>(
    q: *const f32,
    stride: usize,
    keys: *const u8,
    dim: usize,
    rows: usize,
    s: &mut [[f32; TILE]],
) {
    let mask = K::mask();
    let mut t = 0;
    while t < rows {
        let row: [*const u8; 4] = core::array::from_fn(|i| keys.add((t + i).min(rows - 1) * dim * K::BYTES));
        let mut acc = [[f32x4_splat(0.0); 4]; R];
        for d in (0..dim & !7).step_by(8) {
            for i in 0..4 {
                let (x, y) = K::load8(row[i].add(d * K::BYTES), mask);
                for g in 0..R {
                    let q = q.add(g * stride + d);
                    acc[g][i] = fma(y, load(q.add(4)), fma(x, load(q), acc[g][i]));
                }
            }
        }
        for g in 0..R {
            let mut total = sums(acc[g][0], acc[g][1], acc[g][2], acc[g][3]);
            for d in dim & !7..dim {
                let [x, y, z, w] = row.map(|row| K::one(row.add(d * K::BYTES)));
                total = fma(f32x4(x, y, z, w), splat(q.add(g * stride + d)), total);
            }
            store(s[g].as_mut_ptr().add(t), total);
        }
        t += 4;
    }
}

/// Turns raw scores into exponentials times `lift` in place, moves top and l of the state; what o must be multiplied by.
#[inline(never)]
pub(super) unsafe fn softmax(s: &mut [f32; TILE], rows: usize, softcap: f32, factor: f32, lift: f32, state: *mut f32) -> f32 {
    let p = s.as_mut_ptr();
    let factor = f32x4_splat(factor);
    let mut most = splat(state);
    for t in (0..rows).step_by(4) {
        let x = cap(f32x4_mul(load(p.add(t)), factor), softcap);
        store(p.add(t), x);
        most = f32x4_pmax(most, x);
    }
    let top = max(most);
    let alpha = f32x4_extract_lane::<0>(exp_negative(f32x4_splat(*state - top)));
    let mut l = f32x4_splat(0.0);
    for t in rows..rows.next_multiple_of(4) {
        s[t] = 2.0 * SENTINEL;
    }
    for t in (0..rows).step_by(4) {
        let e = exp_negative(f32x4_sub(load(p.add(t)), f32x4_splat(top)));
        l = f32x4_add(l, e);
        store(p.add(t), f32x4_mul(e, f32x4_splat(lift)));
    }
    *state = top;
    *state.add(1) = *state.add(1) * alpha + sum(l);
    alpha
}

/// o[g] += sum over rows of p[g][t] * row t, in raw order.
#[inline(never)]
pub(super) unsafe fn values<V: Rows, const R: usize>(p: &[[f32; TILE]; R], rows: *const u8, dim: usize, count: usize, o: *mut f32, stride: usize) {
    let (bytes, mask) = (dim * V::BYTES, V::mask());
    for d in (0..dim & !7).step_by(8) {
        let mut acc: [[v128; 2]; R] = core::array::from_fn(|g| core::array::from_fn(|i| load(o.add(g * stride + d + 4 * i))));
        let mut row = rows.add(d * V::BYTES);
        for t in 0..count {
            let (x, y) = V::load8(row, mask);
            for g in 0..R {
                let p = splat(p[g].as_ptr().add(t));
                acc[g] = [fma(x, p, acc[g][0]), fma(y, p, acc[g][1])];
            }
            row = row.add(bytes);
        }
        for g in 0..R {
            for i in 0..2 {
                store(o.add(g * stride + d + 4 * i), acc[g][i]);
            }
        }
    }
    for d in dim & !7..dim {
        for g in 0..R {
            let terms = (0..count).map(|t| p[g][t] * V::one(rows.add(t * bytes + d * V::BYTES)));
            *o.add(g * stride + d) += terms.sum::<f32>();
        }
    }
}

/// Merges the chunks of each query head in order and writes its result.
pub unsafe fn merge_chunks(a: &Attend, f16: bool, team: &Team) {
    team.each(a.heads, |head| {
        let (h, g) = (head / a.group, head % a.group);
        let chunks = || (0..CHUNKS).map(|c| state(a, h * CHUNKS + c, g)).filter(|s| *s.add(1) > 0.0);
        let top = chunks().fold(SENTINEL, |top, s| if *s > top { *s } else { top });
        let first = state(a, h * CHUNKS, g);
        let skip = 4 + a.key_dim.next_multiple_of(8);
        let (o, width) = (first.add(skip), a.value_dim.next_multiple_of(8));
        let mut l = 0.0;
        for (c, s) in chunks().enumerate() {
            let weight = exp1(*s - top);
            l += weight * *s.add(1);
            let w = f32x4_splat(weight);
            match c {
                0 => unary(s.add(skip), o, width, |x| f32x4_mul(x, w)),
                _ => binary(s.add(skip), o, o, width, |x, y| fma(x, w, y)),
            }
        }
        if !f16 {
            return a.finish(head, top, l, o, 1.0);
        }
        for d in (0..a.value_dim & !7).step_by(8) {
            let (lo, hi) = F16::from_raw(load(o.add(d)), load(o.add(d + 4)));
            store(o.add(d), lo);
            store(o.add(d + 4), hi);
        }
        a.finish(head, top, l, o, F16::SCALE / F16::LIFT);
    });
}
