//! Ops that turn what queries see into one number per row: groupVotes, tailLoss, and softmax over a column.

use super::columns::total;
use super::pairs::TILE;
use crate::attend::gemm::{multiply, Left, Rows as Matrix};
use crate::attend::visible;
use crate::codec::Codec;
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

/// Lanes of queries that score a tile of rows together: `quads` times four queries, for each head of the group.
#[derive(Clone, Copy)]
struct Lanes {
    quads: usize,
    group: usize,
    dim: usize,
    /// A multiple of 12.
    count: usize,
}

/// Most `quads`.
const QUADS: usize = 4;

impl Lanes {
    fn of(queries: usize, group: usize, dim: usize) -> Lanes {
        let quads = (12 / group).min(queries.div_ceil(4)).clamp(1, QUADS);
        Lanes { quads, group, dim, count: (4 * quads * group).next_multiple_of(12) }
    }
}

/// Tiles of a head whose scores are kept from the first pass to the second; those of later ones are computed again.
const KEPT: usize = 32;

/// Scratch floats of a thread: queries by channel [dim, lanes], rows [TILE, dim], products [TILE, lanes], scores [KEPT + 1, TILE, 4 quads].
pub fn floats(queries: usize, group: usize, dim: usize) -> usize {
    let lanes = Lanes::of(queries, group, dim);
    (dim + TILE) * lanes.count + TILE * dim + (KEPT + 1) * TILE * 4 * lanes.quads
}

/// Operands q, keys, layout, queryPosition, out, scratch; parameters queries, heads, kvHeads, keyDim, keyCodec, scale, dropLast.
pub unsafe fn group_votes(instr: &Instr, team: &Team) {
    let lanes = Lanes::of(instr.u(0), instr.u(1) / instr.u(2), instr.u(3));
    let own = instr.ptr::<f32>(5).add(team.thread * floats(instr.u(0), lanes.group, lanes.dim));
    team.each(instr.u(2), |h| votes(instr, h, lanes, own));
}

/// One head: a pass over its rows for the sum of each query's exponentials, and one for the shares.
unsafe fn votes(instr: &Instr, h: usize, lanes: Lanes, own: *mut f32) {
    let s = segment(instr, 2, h);
    let (taken, quads) = (s.rows().saturating_sub(instr.u(6)), lanes.quads);
    let out = instr.ptr::<f32>(4).add(s.from());
    core::slice::from_raw_parts_mut(out, s.rows()).fill(0.0);
    let mut queries = (0..instr.u(0)).filter(|i| *instr.ptr::<u32>(3).add(*i) != u32::MAX);
    let count = queries.clone().count();
    let scores = own.add((lanes.dim + TILE) * lanes.count + TILE * lanes.dim);
    let tile = |from: usize| scores.add((from / TILE).min(KEPT) * TILE * 4 * quads);
    let at = |tile: *const f32, r: usize, quad: usize| load(tile.add(4 * (r * quads + quad)));
    for _ in 0..count.div_ceil(4 * quads) {
        let mut shares = turn(instr, h, lanes, &mut queries, own);
        let (mut top, mut all) = ([f32x4_splat(SENTINEL); QUADS], [f32x4_splat(0.0); QUADS]);
        for from in (0..taken).step_by(TILE) {
            let (rows, tile) = (TILE.min(taken - from), tile(from));
            score_tile(instr, s.from() + from, rows, lanes, own, tile);
            for quad in 0..quads {
                let most = (0..rows).fold(top[quad], |m, r| f32x4_pmax(m, at(tile, r, quad)));
                let pay = |sum, r: usize| f32x4_add(sum, exp_negative(f32x4_sub(at(tile, r, quad), most)));
                let paid = (0..rows).fold(f32x4_splat(0.0), pay);
                all[quad] = fma(all[quad], exp_negative(f32x4_sub(top[quad], most)), paid);
                top[quad] = most;
            }
        }
        for quad in 0..quads {
            shares[quad] = f32x4_div(shares[quad], f32x4_mul(all[quad], f32x4_splat(count as f32)));
        }
        for from in (0..taken).step_by(TILE) {
            let (rows, tile) = (TILE.min(taken - from), tile(from));
            if from / TILE >= KEPT {
                score_tile(instr, s.from() + from, rows, lanes, own, tile);
            }
            for r in 0..rows {
                let vote = |v, quad: usize| fma(exp_negative(f32x4_sub(at(tile, r, quad), top[quad])), shares[quad], v);
                *out.add(from + r) += sum((0..quads).fold(f32x4_splat(0.0), vote));
            }
        }
    }
}

/// The next queries by channel, scaled; 1 for each lane of the first head that holds one, 0 for the others.
unsafe fn turn(instr: &Instr, h: usize, lanes: Lanes, queries: &mut impl Iterator<Item = usize>, turned: *mut f32) -> [v128; QUADS] {
    let (heads, Lanes { quads, group, dim, count }) = (instr.u(1), lanes);
    let mut filled = [0f32; 4 * QUADS];
    core::slice::from_raw_parts_mut(turned, dim * count).fill(0.0);
    for (lane, query) in (0..4 * quads).zip(queries) {
        filled[lane] = 1.0;
        for g in 0..group {
            let q = instr.ptr::<f32>(0).add((query * heads + h * group + g) * dim);
            for d in 0..dim {
                *turned.add(d * count + g * 4 * quads + lane) = *q.add(d) * instr.f(5);
            }
        }
    }
    core::array::from_fn(|quad| load(filled.as_ptr().add(4 * quad)))
}

/// Scores [rows, 4 quads] of rows from `slot` on: the largest of the group.
unsafe fn score_tile(instr: &Instr, slot: usize, rows: usize, Lanes { quads, group, dim, count }: Lanes, own: *mut f32, scores: *mut f32) {
    let keys = own.add(dim * count);
    let products = keys.add(TILE * dim);
    Codec::of(instr.u(4)).read(instr.ptr(1), slot, rows, dim, keys);
    let left = Left { at: keys, row: dim, step: 1 };
    multiply::<false>(rows, count, dim, left, Matrix { at: own, row: count }, Matrix { at: products, row: count });
    for r in 0..rows {
        for quad in 0..quads {
            let of = |g: usize| load(products.add(r * count + 4 * (g * quads + quad)));
            store(scores.add(4 * (r * quads + quad)), (1..group).fold(of(0), |most, g| f32x4_pmax(most, of(g))));
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
