//! The order in which codes are read, and what it asks of queries and of scales.
//!
//! Sixteen bytes are eight half words, each with codes of neighbouring channels. A shift and a mask leave one code of every half word, so eight
//! codes at a time are multiplied with whole numbers of sixteen bits: queries, or weights of rows, each a multiple of its own unit. A code counts
//! from the middle of its range on where that unit has rounded a factor, which a constant sees to: the rounding then meets what codes differ by,
//! not what they have in common.

use super::decode::LANES;
use crate::codec::Codec;
use crate::half::{decode, Rows, F16};
use crate::math::*;
use core::mem::MaybeUninit;

/// Largest whole number of sixteen bits.
const MOST: f32 = 32767.0;
/// 1.5 * 2^23: what it is added to is rounded to a whole number, which then lies in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Channels in sixteen bytes.
pub fn span(codec: Codec) -> usize {
    128 / codec.bits
}

/// Can rows of `dim` channels be read as whole vectors of codes, each with one pair of scale and offset, or, for values, with one a half?
pub fn fits(codec: Codec, dim: usize, values: bool) -> bool {
    let (span, group) = (span(codec), codec.group(dim));
    dim % span == 0 && (codec.channel || group % span == 0 || values && 2 * group == span)
}

/// Bytes from the codes of a row to those of the next.
pub fn stride(codec: Codec, dim: usize) -> usize {
    if codec.channel { dim * codec.bits / 8 } else { codec.bytes(dim) }
}

/// Pairs a row has.
pub fn groups(codec: Codec, dim: usize) -> usize {
    if codec.channel { 1 } else { dim / codec.group(dim) }
}

/// Middle of the range of codes.
pub fn middle(codec: Codec) -> f32 {
    ((1u32 << codec.bits) - 1) as f32 * 0.5
}

/// Calls `f` for every four half words and, of their codes, every four: place of the first channel, channels from half word to half word, and
/// place of the first in raw order, where the codes of one half word are eight apart.
#[inline(always)]
fn quads(codec: Codec, dim: usize, mut f: impl FnMut(usize, usize, usize)) {
    let (span, run) = (span(codec), 16 / codec.bits);
    for chunk in (0..dim).step_by(span) {
        for l in [0, 4] {
            for j in (0..run).step_by(4) {
                f(chunk + l * run + j, run, chunk + 8 * j + l);
            }
        }
    }
}

/// Channels into raw order: vector j of sixteen bytes holds the j-th codes of their half words.
#[inline(never)]
pub unsafe fn to_raw(codec: Codec, dim: usize, from: *const f32, to: *mut f32) {
    quads(codec, dim, |at, run, raw| {
        if run == 2 {
            let (a, b) = (load(from.add(at)), load(from.add(at + 4)));
            store(to.add(raw), i32x4_shuffle::<0, 2, 4, 6>(a, b));
            return store(to.add(raw + 8), i32x4_shuffle::<1, 3, 5, 7>(a, b));
        }
        for (j, x) in transpose(core::array::from_fn(|l| load(from.add(at + l * run)))).into_iter().enumerate() {
            store(to.add(raw + 8 * j), x);
        }
    });
}

/// And back, in another place.
#[inline(never)]
pub unsafe fn from_raw(codec: Codec, dim: usize, from: *const f32, to: *mut f32) {
    quads(codec, dim, |at, run, raw| {
        if run == 2 {
            let (a, b) = (load(from.add(raw)), load(from.add(raw + 8)));
            store(to.add(at), i32x4_shuffle::<0, 4, 1, 5>(a, b));
            return store(to.add(at + 4), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        }
        for (l, x) in transpose(core::array::from_fn(|j| load(from.add(raw + 8 * j)))).into_iter().enumerate() {
            store(to.add(at + l * run), x);
        }
    });
}

/// Numbers as multiples of a unit.
#[derive(Clone, Copy)]
pub struct Unit {
    pub value: f32,
    inverse: v128,
}

impl Unit {
    /// The unit of numbers that reach up to the largest of `most`.
    #[inline(always)]
    pub fn of(most: v128) -> Unit {
        let value = max(most) / MOST;
        Unit { value, inverse: f32x4_splat(if value > 0.0 { 1.0 / value } else { 0.0 }) }
    }

    /// Eight numbers as whole ones of sixteen bits, and their sums four by four.
    #[inline(always)]
    pub fn round(self, x: v128, y: v128) -> (v128, v128) {
        let (round, bits) = (f32x4_splat(ROUND), u32x4_splat(ROUND.to_bits()));
        let (x, y) = (fma(x, self.inverse, round), fma(y, self.inverse, round));
        let whole = i16x8_narrow_i32x4(i32x4_sub(x, bits), i32x4_sub(y, bits));
        (whole, f32x4_add(f32x4_sub(x, round), f32x4_sub(y, round)))
    }
}

/// Writes a query from raw order at `raw` as the scores read it, eight channels every `step` floats, and per group the pair (what its rounding
/// leaves for the middle of codes, sum of the query); its unit.
#[inline(never)]
pub unsafe fn prepare(codec: Codec, dim: usize, raw: *const f32, to: *mut f32, step: usize, pairs: *mut f32) -> f32 {
    let most = (0..dim).step_by(4).fold(f32x4_splat(0.0), |most, c| f32x4_pmax(most, f32x4_abs(load(raw.add(c)))));
    let (unit, per_group) = (Unit::of(most), codec.group(dim) / 8);
    for group in 0..dim / 8 / per_group {
        let (mut all, mut rounded) = (f32x4_splat(0.0), f32x4_splat(0.0));
        for v in group * per_group..(group + 1) * per_group {
            let (x, y) = (load(raw.add(8 * v)), load(raw.add(8 * v + 4)));
            let (whole, sum) = unit.round(x, y);
            v128_store(to.add(v * step) as *mut v128, whole);
            all = f32x4_add(all, f32x4_add(x, y));
            rounded = f32x4_add(rounded, sum);
        }
        *pairs.add(2 * group) = middle(codec) * (sum(all) - unit.value * sum(rounded));
        *pairs.add(2 * group + 1) = sum(all);
    }
    unit.value
}

/// The same with the pairs of a block: the query takes their scales, its sum their offsets.
#[inline(never)]
pub unsafe fn prepare_block(codec: Codec, dim: usize, raw: *const f32, block: *const f32, to: *mut f32, step: usize, pairs: *mut f32) -> f32 {
    let (mut most, mut offset) = (f32x4_splat(0.0), f32x4_splat(0.0));
    for c in (0..dim).step_by(4) {
        let q = load(raw.add(c));
        most = f32x4_pmax(most, f32x4_abs(f32x4_mul(q, load(block.add(c)))));
        offset = fma(q, load(block.add(dim + c)), offset);
    }
    let (unit, mut all, mut rounded) = (Unit::of(most), f32x4_splat(0.0), f32x4_splat(0.0));
    for v in 0..dim / 8 {
        let (p, b) = (raw.add(8 * v), block.add(8 * v));
        let (x, y) = (f32x4_mul(load(p), load(b)), f32x4_mul(load(p.add(4)), load(b.add(4))));
        let (whole, sum) = unit.round(x, y);
        v128_store(to.add(v * step) as *mut v128, whole);
        all = f32x4_add(all, f32x4_add(x, y));
        rounded = f32x4_add(rounded, sum);
    }
    *pairs = middle(codec) * (sum(all) - unit.value * sum(rounded));
    *pairs.add(1) = sum(offset);
    unit.value
}

/// Scales of `rows` rows, of their pair number `group`, to `to`, offsets to `to + LANES`; zeros up to a multiple of four.
pub unsafe fn row_pairs(codec: Codec, base: *const u8, dim: usize, rows: usize, group: usize, to: *mut f32) {
    let (bytes, mask, lift) = (codec.bytes(dim), F16::mask(), f32x4_splat(F16::SCALE));
    let put = |t: usize, words: v128| {
        let (s, z) = F16::widen(words, mask);
        store(to.add(t), f32x4_mul(s, lift));
        store(to.add(LANES + t), f32x4_mul(z, lift));
    };
    let mut at = base.add(4 * group);
    for t in (0..rows & !3).step_by(4) {
        let word = |i: usize| (at.add(i * bytes) as *const i32).read_unaligned();
        put(t, i32x4(word(0), word(1), word(2), word(3)));
        at = at.add(4 * bytes);
    }
    if rows % 4 != 0 {
        let word = |i: usize| if i < rows % 4 { (at.add(i * bytes) as *const i32).read_unaligned() } else { 0 };
        put(rows & !3, i32x4(word(0), word(1), word(2), word(3)));
    }
}

/// Scales and offsets of a block of rows, by channel in raw order, to `out` and `out + dim`.
pub unsafe fn block_pairs(codec: Codec, pairs: *const u8, dim: usize, out: *mut f32) {
    let mut natural = MaybeUninit::<[f32; 1024]>::uninit();
    let natural = natural.as_mut_ptr() as *mut f32;
    for i in 0..2 {
        decode::<F16>(pairs.add(2 * i * dim), natural, dim);
        to_raw(codec, dim, natural, out.add(i * dim));
    }
}
