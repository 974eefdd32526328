//! Positions to come: rerotate, expectedAttention.

use super::pairs::{floats, TILE};
use crate::attend::gemm::{multiply, Left, Rows as Matrix};
use crate::codec::Codec;
use crate::half::{encode_f16, Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Operands keys, position, layout, end, table; parameters heads, dim, codec, dims, count.
pub unsafe fn rerotate(instr: &Instr, team: &Team) {
    let heads = instr.u(0);
    let longest = (0..heads).map(|h| segment(instr, 2, h).rows()).max().unwrap_or(0);
    team.each(longest.div_ceil(TILE) * heads, |item| {
        let (s, from) = (segment(instr, 2, item % heads), item / heads * TILE);
        for i in from..s.rows().min(from + TILE) {
            let to = *instr.ptr::<u32>(3) as i64 - s.rows() as i64 + i as i64;
            let position = instr.ptr::<u32>(1).add(s.from() + i);
            let back = *position as i64 - to;
            if to < 0 || back < 0 || back >= instr.u(4) as i64 {
                continue;
            }
            *position = to as u32;
            match instr.u(2) {
                0 => turn::<F32>(instr, s.from() + i, back as usize),
                _ => turn::<F16>(instr, s.from() + i, back as usize),
            }
        }
    });
}

/// Turns one key back by row `back` of the table.
unsafe fn turn<C: Rows>(instr: &Instr, slot: usize, back: usize) {
    let (dim, dims) = (instr.u(1), instr.u(3));
    let (row, table) = (instr.ptr::<u8>(0).add(slot * dim * C::BYTES), instr.ptr::<f32>(4).add(back * dims));
    let half = dims / 2;
    for c in 0..half {
        let (first, second) = (row.add(c * C::BYTES), row.add((half + c) * C::BYTES));
        let (a, b) = (C::one(first) * C::SCALE, C::one(second) * C::SCALE);
        let (cos, sin) = (*table.add(c), *table.add(half + c));
        put::<C>(a * cos + b * sin, first);
        put::<C>(b * cos - a * sin, second);
    }
}

unsafe fn put<C: Rows>(x: f32, to: *mut u8) {
    if C::BYTES == 4 {
        (to as *mut f32).write_unaligned(x);
    } else {
        encode_f16(&x, to as *mut u16, 1);
    }
}

/// Two phases for each query head of a group: logits, then shares.
pub unsafe fn phases(instr: &Instr) -> u32 {
    2 * (instr.u(1) / instr.u(2).max(1)) as u32
}

/// Operands q, queryPosition, keys, layout, table, out, logits, scratch; parameters queries, heads, kvHeads, keyDim, keyCodec, dims, scale,
/// sinks, spread.
pub unsafe fn expected_attention(instr: &Instr, phase: u32, team: &Team) {
    let (heads, g) = (instr.u(2), phase as usize / 2);
    if phase % 2 == 1 {
        return team.each(heads, |h| share(instr, h, g));
    }
    let own = instr.ptr::<f32>(7).add(team.thread * floats(instr.u(3)));
    let longest = (0..heads).map(|h| segment(instr, 3, h).rows()).max().unwrap_or(0);
    team.each(longest.div_ceil(TILE) * heads, |item| logits(instr, item % heads, g, item / heads * TILE, own));
}

/// Logits of rows [from, from + TILE) of head h under query head g of its group.
unsafe fn logits(instr: &Instr, h: usize, g: usize, from: usize, own: *mut f32) {
    let (s, dim) = (segment(instr, 3, h), instr.u(3));
    if from >= s.rows() {
        return;
    }
    let count = TILE.min(s.rows() - from);
    let (rows, turned, products) = (own, own.add(TILE * dim), own.add(2 * TILE * dim));
    Codec::of(instr.u(4)).read(instr.ptr(2), s.from() + from, count, dim, rows);
    let (mut sums, mut squares, mut seen) = ([0f64; TILE], [0f64; TILE], 0f64);
    for first in (0..instr.u(0)).step_by(TILE) {
        let width = gather(instr, first, h, g, turned);
        let (left, right) = (Left { at: rows, row: dim, step: 1 }, Matrix { at: turned, row: TILE });
        multiply::<false>(count, TILE, dim, left, right, Matrix { at: products, row: TILE });
        for i in 0..count {
            for j in 0..width {
                let x = *products.add(i * TILE + j) as f64;
                sums[i] += x;
                squares[i] += x * x;
            }
        }
        seen += width as f64;
    }
    let out = instr.ptr::<f32>(6).add(s.from() + from);
    for i in 0..count {
        let mean = sums[i] / seen.max(1.0);
        let variance = (squares[i] / seen.max(1.0) - mean * mean).max(0.0);
        *out.add(i) = if instr.u(8) != 0 { mean + variance / 2.0 } else { mean } as f32;
    }
}

/// Those of queries [first, first + TILE) that count, mapped and scaled, by channel [dim, TILE]; how many.
unsafe fn gather(instr: &Instr, first: usize, h: usize, g: usize, turned: *mut f32) -> usize {
    let (dim, dims, heads) = (instr.u(3), instr.u(5), instr.u(1));
    let (half, scale, head) = (dims / 2, instr.f(6), h * (heads / instr.u(2)) + g);
    core::slice::from_raw_parts_mut(turned, TILE * dim).fill(0.0);
    let mut width = 0;
    for i in first..instr.u(0).min(first + TILE) {
        let position = *instr.ptr::<u32>(1).add(i);
        if position == u32::MAX || (position as usize) < instr.u(7) {
            continue;
        }
        let (q, table) = (instr.ptr::<f32>(0).add((i * heads + head) * dim), instr.ptr::<f32>(4).add(i * dims));
        for c in 0..half {
            let (a, b, cos, sin) = (*q.add(c), *q.add(half + c), *table.add(c), *table.add(half + c));
            *turned.add(c * TILE + width) = (a * cos - b * sin) * scale;
            *turned.add((half + c) * TILE + width) = (b * cos + a * sin) * scale;
        }
        for c in dims..dim {
            *turned.add(c * TILE + width) = *q.add(c) * scale;
        }
        width += 1;
    }
    width
}

/// Softmax of the logits of head h, its share of the group's mean added to the column.
unsafe fn share(instr: &Instr, h: usize, g: usize) {
    let s = segment(instr, 3, h);
    let (logits, out) = (instr.ptr::<f32>(6).add(s.from()), instr.ptr::<f32>(5).add(s.from()));
    let top = (0..s.rows()).map(|t| *logits.add(t)).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    let all = (0..s.rows()).map(|t| exp1(*logits.add(t) - top) as f64).sum::<f64>();
    let factor = 1.0 / (all * (instr.u(1) / instr.u(2)) as f64);
    for t in 0..s.rows() {
        let own = (exp1(*logits.add(t) - top) as f64 * factor) as f32;
        *out.add(t) = if g == 0 { own } else { *out.add(t) + own };
    }
}
