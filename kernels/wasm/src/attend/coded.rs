//! One query over coded rows: a tile is decoded once for all query heads of its group, then read as f32 rows. See [`decode`].

use super::decode::{prepare, scores, softmax, state, stride, values, CHUNKS, LEAST, PASS, TILE};
use super::{visible, Attend};
use crate::half::F32;
use crate::layout::Segment;
use crate::math::*;

/// Scratch floats of one thread: a tile of keys and values.
pub fn floats(key_dim: usize, value_dim: usize) -> usize {
    TILE * (key_dim + value_dim)
}

/// Item (KV head, chunk) for all query heads of its group.
pub unsafe fn chunk(a: &Attend, s: &Segment, item: usize, thread: usize) {
    let (from, to) = visible(a.position, s, *a.query_position, a.window);
    let size = LEAST.max((to - from).div_ceil(CHUNKS).next_multiple_of(16));
    let first = from + item % CHUNKS * size;
    let last = to.min(first + size);
    let scratch = a.scratch.add(super::decode::floats(a.heads, a.key_dim, a.value_dim) + thread * floats(a.key_dim, a.value_dim));
    for g in 0..a.group {
        let head = state(a, item, g);
        *head = SENTINEL;
        *head.add(1) = 0.0;
        if first < last {
            prepare::<F32>(a, head, item / CHUNKS * a.group + g);
        }
    }
    let mut t = first;
    while t < last {
        let rows = TILE.min(last - t);
        let tile = Tile { keys: scratch, values: scratch.add(TILE * a.key_dim), rows };
        a.key_codec.read(a.keys, s.from() + t, rows, a.key_dim, tile.keys);
        a.value_codec.read(a.values, s.from() + t, rows, a.value_dim, tile.values);
        for g in (0..a.group).step_by(PASS) {
            match a.group - g {
                1 => take::<1>(a, state(a, item, g), &tile),
                2 => take::<2>(a, state(a, item, g), &tile),
                3 => take::<3>(a, state(a, item, g), &tile),
                _ => take::<4>(a, state(a, item, g), &tile),
            }
        }
        t += rows;
    }
}

struct Tile {
    keys: *mut f32,
    values: *mut f32,
    rows: usize,
}

/// Takes a decoded tile into the states of R query heads.
unsafe fn take<const R: usize>(a: &Attend, head: *mut f32, tile: &Tile) {
    let stride = stride(a.key_dim, a.value_dim);
    let mut s = [[0f32; TILE]; R];
    let keys = tile.keys as *const u8;
    if R == PASS {
        scores::<F32, 2>(head.add(4), stride, keys, a.key_dim, tile.rows, &mut s[..2]);
        scores::<F32, 2>(head.add(4 + 2 * stride), stride, keys, a.key_dim, tile.rows, &mut s[2..]);
    } else {
        scores::<F32, R>(head.add(4), stride, keys, a.key_dim, tile.rows, &mut s);
    }
    let o = head.add(4 + a.key_dim.next_multiple_of(8));
    for (g, s) in s.iter_mut().enumerate() {
        let alpha = softmax(s, tile.rows, a.softcap, 1.0, 1.0, head.add(g * stride));
        if alpha != 1.0 {
            let o = o.add(g * stride);
            unary(o, o, a.value_dim.next_multiple_of(8), |x| f32x4_mul(x, f32x4_splat(alpha)));
        }
    }
    values::<F32, R>(&s, tile.values as *const u8, a.value_dim, tile.rows, o, stride);
}
