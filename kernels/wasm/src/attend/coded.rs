//! Scores and sums of values straight from codes: with q . k = s (q . code) + z sum(q), and the same for values, no row is ever decoded.
//! Products are of whole numbers; in which order codes are read, and how queries and weights become whole, is in [`super::raw`].

use super::decode::{Query, Sums, LANES};
use super::raw::{groups, row_pairs, span, stride, wholes, Pairs};
use crate::codec::Codec;
use crate::half::{Rows, F16};
use crate::math::*;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Scores of R queries and `rows` rows at `base`: per token, their own pairs; per channel, `base` is their codes and the queries carry the
/// scales. `constants` are those that preparing a query left, `units` what its numbers are multiples of.
pub unsafe fn scores<const R: usize>(codec: Codec, q: Query, units: Sums, constants: Sums, base: *const u8, dim: usize, rows: usize, s: *mut f32) {
    if R == 4 {
        scores::<2>(codec, q, units, constants, base, dim, rows, s);
        let [units, constants] = [units, constants].map(|x| Sums { at: x.of(2), ..x });
        return scores::<2>(codec, q.after(2), units, constants, base, dim, rows, s.add(2 * LANES));
    }
    let take = match codec.bits {
        8 => dots::<8, R>,
        4 => dots::<4, R>,
        _ => dots::<2, R>,
    };
    let bytes = stride(codec, dim);
    if codec.channel {
        let lift = Lift { units, constants, pairs: core::ptr::null(), more: false };
        return take(q, lift, Codes { at: base, bytes, chunks: dim / span(codec) }, rows, s);
    }
    let (groups, group) = (groups(codec, dim), codec.group(dim));
    for i in 0..groups {
        let q = Query { at: q.at.add(i * group / 8 * q.step), ..q };
        let lift = Lift { units, constants: Sums { at: constants.at.add(2 * i), ..constants }, pairs: base.add(4 * i), more: i > 0 };
        let at = base.add(4 * groups + i * group * codec.bits / 8);
        take(q, lift, Codes { at, bytes, chunks: group / span(codec) }, rows, s);
    }
}

/// What makes scores of dots: of query g its unit and its constants; per token, the place of the first row's pair. `more`: scores are added to.
#[derive(Clone, Copy)]
struct Lift {
    units: Sums,
    constants: Sums,
    pairs: *const u8,
    more: bool,
}

impl Lift {
    /// Scores of four rows, `at` bytes behind the first: scale * (unit * dot + what rounding left) + offset * sum(q), or the same without scales.
    #[inline(always)]
    unsafe fn write<const R: usize>(&self, dot: [v128; R], at: [usize; 4], s: *mut f32) {
        let (mut scale, mut offset) = (f32x4_splat(1.0), f32x4_splat(1.0));
        if !self.pairs.is_null() {
            let words = four_words(at.map(|at| self.pairs.add(at) as *const u32));
            let lift = f32x4_splat(F16::SCALE);
            let (x, y) = F16::widen(words, F16::parts());
            (scale, offset) = (f32x4_mul(x, lift), f32x4_mul(y, lift));
        }
        for g in 0..R {
            let (to, constants) = (s.add(g * LANES), self.constants.of(g));
            let left = fma(dot[g], splat(self.units.of(g)), splat(constants));
            let score = fma(scale, left, f32x4_mul(offset, splat(constants.add(1))));
            store(to, if self.more { f32x4_add(score, load(to)) } else { score });
        }
    }
}

/// Codes of rows, `bytes` apart, of which sixteen bytes `chunks` times are wanted.
#[derive(Clone, Copy)]
struct Codes {
    at: *const u8,
    bytes: usize,
    chunks: usize,
}

/// The j-th codes of eight half words.
#[inline(always)]
fn code<const BITS: usize>(words: v128, j: usize, mask: v128) -> v128 {
    let shifted = match BITS * j {
        0 => words,
        2 => u16x8_shr(words, 2),
        4 => u16x8_shr(words, 4),
        6 => u16x8_shr(words, 6),
        8 => u16x8_shr(words, 8),
        10 => u16x8_shr(words, 10),
        12 => u16x8_shr(words, 12),
        _ => u16x8_shr(words, 14),
    };
    if BITS * (j + 1) == 16 { shifted } else { v128_and(shifted, mask) }
}

/// s[g][t] = score of query g and the codes of row t; four rows at a time, so scores behind the last are repeats of it.
#[inline(never)]
unsafe fn dots<const BITS: usize, const R: usize>(q: Query, lift: Lift, codes: Codes, rows: usize, s: *mut f32) {
    let mask = u16x8_splat((1 << BITS) - 1);
    for t in (0..rows).step_by(4) {
        let places: [usize; 4] = core::array::from_fn(|i| (t + i).min(rows - 1) * codes.bytes);
        let mut row = places.map(|place| codes.at.add(place));
        let mut acc = [[i32x4_splat(0); 4]; R];
        let mut at = q.at;
        for _ in 0..codes.chunks {
            let words = row.map(|row| v128_load(row as *const v128));
            for j in 0..16 / BITS {
                let queries: [v128; R] = core::array::from_fn(|g| load(at.add(8 * g)));
                for i in 0..4 {
                    let x = code::<BITS>(words[i], j, mask);
                    for g in 0..R {
                        acc[g][i] = i32x4_add(acc[g][i], i32x4_dot_i16x8(x, queries[g]));
                    }
                }
                at = at.add(q.step);
            }
            row = row.map(|row| row.add(16));
        }
        let dot = acc.map(|acc| {
            let [a, b, c, d] = acc.map(|x| f32x4_convert_i32x4(x));
            sums(a, b, c, d)
        });
        lift.write(dot, places, s.add(t));
    }
}

/// o[g] += sum over rows of p[g][t] * row t in raw order, and, per token, what else all channels of a group get to its `offsets`. Per channel,
/// `base` is the codes and `block` their pairs, behind which there is room for R rows.
pub unsafe fn values<const R: usize>(codec: Codec, p: *mut f32, base: *const u8, dim: usize, rows: usize, o: Sums, offsets: Sums, block: Pairs) {
    let (mut w, mut own) = (MaybeUninit::<[[i16; LANES]; R]>::uninit(), MaybeUninit::<[f32; 2 * LANES]>::uninit());
    let (w, pairs) = (w.as_mut_ptr() as *mut i16, Pairs::at(own.as_mut_ptr() as *mut f32, LANES));
    let (p, count) = (Sums { at: p, step: LANES }, rows.next_multiple_of(8));
    let round = |pairs: Pairs| {
        let rounded = unsafe { wholes::<R>(p, pairs, count, w as *mut u8, 2 * LANES, 16) };
        (Weights::<R> { at: w, units: core::array::from_fn(|g| rounded.units[g]) }, rounded)
    };
    let codes = Codes { at: base, bytes: stride(codec, dim), chunks: dim / span(codec) };
    if codec.channel {
        let (weights, rounded) = round(pairs.even(count));
        let own = Sums { at: block.at.add(2 * dim), step: dim };
        core::slice::from_raw_parts_mut(own.at, R * dim).fill(0.0);
        add::<R>(codec.bits, codes, weights, rows, 0..dim, own);
        for g in 0..R {
            let all = rounded.offsets[g];
            let (left, all) = (f32x4_splat(rounded.constant(codec, g) - all), f32x4_splat(all));
            for c in (0..dim).step_by(4) {
                let sum = fma(load(block.offset(c)), all, load(o.of(g).add(c)));
                store(o.of(g).add(c), fma(load(block.at.add(c)), f32x4_add(load(own.of(g).add(c)), left), sum));
            }
        }
        return;
    }
    let (groups, group) = (groups(codec, dim), codec.group(dim));
    let codes = Codes { at: base.add(4 * groups), ..codes };
    for i in 0..groups {
        row_pairs(codec, base, dim, rows, i, pairs);
        let (weights, rounded) = round(pairs);
        for g in 0..R {
            *offsets.of(g).add(i) += rounded.constant(codec, g);
        }
        add::<R>(codec.bits, codes, weights, rows, i * group..(i + 1) * group, o);
    }
}

/// Weights of a tile as whole numbers, LANES of them per query, and their units.
#[derive(Clone, Copy)]
struct Weights<const R: usize> {
    at: *const i16,
    units: [f32; R],
}

/// o[g] += unit * sum of w[g][t] * codes of row t, at `channels`, which are whole halves of sixteen bytes, of eight bits whole ones.
unsafe fn add<const R: usize>(bits: usize, codes: Codes, w: Weights<R>, rows: usize, channels: Range<usize>, o: Sums) {
    if R == 4 {
        let [a, b, c, d] = core::array::from_fn(|g| w.units[g % R]);
        add(bits, codes, Weights { at: w.at, units: [a, b] }, rows, channels.clone(), o);
        let (w, o) = (Weights { at: w.at.add(2 * LANES), units: [c, d] }, Sums { at: o.of(2), ..o });
        return add(bits, codes, w, rows, channels, o);
    }
    match bits {
        8 => channels.step_by(16).for_each(|c| quad::<8, R>(codes, w, rows, c, 0, o)),
        4 => channels.step_by(16).for_each(|c| quad::<4, R>(codes, w, rows, c, 0, o)),
        _ => channels.step_by(16).for_each(|c| quad::<2, R>(codes, w, rows, c & !31, c / 16 % 2 * 4, o)),
    }
}

/// Sixteen channels: of the half words of eight bytes from channel `c` on, the codes j to j + 3; of eight bits, both codes of sixteen bytes. Two
/// rows at a time, so that their codes stand side by side; weights are read for eight. As in [`super::plain::values`], a question ends every pair.
#[inline(never)]
unsafe fn quad<const BITS: usize, const R: usize>(codes: Codes, w: Weights<R>, rows: usize, c: usize, j: usize, o: Sums) {
    let mask = u16x8_splat((1 << BITS) - 1);
    let mut acc = [[i32x4_splat(0); 4]; R];
    let (mut row, mut w_at) = (codes.at.add(c * BITS / 8), w.at);
    let last = row.add((rows - 1) * codes.bytes);
    macro_rules! add_pair {
        ($weights:ident, $i:literal) => {
            // Behind an odd last row there is a weight of zero.
            let next = row.add(if row == last { 0 } else { codes.bytes });
            let x = side_by_side::<BITS>(row, next, j, mask);
            for g in 0..R {
                let weight = i32x4_shuffle::<$i, $i, $i, $i>($weights[g], $weights[g]);
                for k in 0..4 {
                    acc[g][k] = i32x4_add(acc[g][k], i32x4_dot_i16x8(x[k], weight));
                }
            }
            if next == last {
                break;
            }
            row = next.add(codes.bytes);
        };
    }
    loop {
        let weights: [v128; R] = core::array::from_fn(|g| v128_load(w_at.add(g * LANES) as *const v128));
        add_pair!(weights, 0);
        add_pair!(weights, 1);
        add_pair!(weights, 2);
        add_pair!(weights, 3);
        w_at = w_at.add(8);
    }
    let span = 128 / BITS;
    let (chunk, half) = (c / span * span, c % span / (span / 2));
    for k in 0..4 {
        let place = if BITS == 8 { chunk + k % 2 * 8 + k / 2 * 4 } else { chunk + (j + k) * 8 + half * 4 };
        for g in 0..R {
            let to = o.of(g).add(place);
            store(to, fma(f32x4_convert_i32x4(acc[g][k]), f32x4_splat(w.units[g]), load(to)));
        }
    }
}

/// Codes of two rows in turn, four channels a vector.
#[inline(always)]
unsafe fn side_by_side<const BITS: usize>(row: *const u8, next: *const u8, j: usize, mask: v128) -> [v128; 4] {
    if BITS == 8 {
        let (a, b) = (v128_load(row as *const v128), v128_load(next as *const v128));
        let lo = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
        let hi = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
        return [code::<8>(lo, 0, mask), code::<8>(lo, 1, mask), code::<8>(hi, 0, mask), code::<8>(hi, 1, mask)];
    }
    let (a, b) = (v128_load64_zero(row as *const u64), v128_load64_zero(next as *const u64));
    let both = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
    let both = if BITS == 2 && j == 4 { u16x8_shr(both, 8) } else { both };
    core::array::from_fn(|k| code::<BITS>(both, k, mask))
}
