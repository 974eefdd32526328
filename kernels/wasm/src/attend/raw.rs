//! The order in which codes are read, and what it asks of queries and of scales.
//!
//! Sixteen bytes are four words, each with codes of neighbouring channels. A mask leaves one code of every word where it stands, so what
//! becomes a float is code * 2^shift; the other factor takes the power. Of a pair of masks, the last reaches the sign bit, which is flipped
//! beforehand: its code then counts from minus one half of the range on, which a constant repairs.

use super::decode::LANES;
use crate::codec::Codec;
use crate::half::{decode, Rows, F16};
use crate::math::*;
use core::mem::MaybeUninit;

/// Channels in sixteen bytes.
pub fn span(codec: Codec) -> usize {
    128 / codec.bits
}

/// Can rows of `dim` channels be read as whole vectors of codes, each with one pair of scale and offset, or, for values, with two?
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

/// Four rows of four numbers by columns.
#[inline(always)]
fn transpose(r: [v128; 4]) -> [v128; 4] {
    let (a, b) = (i32x4_shuffle::<0, 4, 1, 5>(r[0], r[1]), i32x4_shuffle::<2, 6, 3, 7>(r[0], r[1]));
    let (c, d) = (i32x4_shuffle::<0, 4, 1, 5>(r[2], r[3]), i32x4_shuffle::<2, 6, 3, 7>(r[2], r[3]));
    [
        i32x4_shuffle::<0, 1, 4, 5>(a, c),
        i32x4_shuffle::<2, 3, 6, 7>(a, c),
        i32x4_shuffle::<0, 1, 4, 5>(b, d),
        i32x4_shuffle::<2, 3, 6, 7>(b, d),
    ]
}

/// Calls `f` for every four vectors of raw order: index of the first, and the places of the four quadruples of channels they are made of.
#[inline(always)]
unsafe fn quads(codec: Codec, dim: usize, mut f: impl FnMut(usize, [usize; 4])) {
    let (span, run) = (span(codec), 32 / codec.bits);
    for chunk in (0..dim).step_by(span) {
        for j in (0..run).step_by(4) {
            f((chunk / 4) + j, core::array::from_fn(|l| chunk + l * run + j));
        }
    }
}

/// Channels into raw order: vector j of sixteen bytes holds the j-th codes of their words.
#[inline(never)]
pub unsafe fn to_raw(codec: Codec, dim: usize, from: *const f32, to: *mut f32) {
    quads(codec, dim, |v, at| {
        for (i, x) in transpose(at.map(|c| load(from.add(c)))).into_iter().enumerate() {
            store(to.add(4 * (v + i)), x);
        }
    });
}

/// And back, in another place.
#[inline(never)]
pub unsafe fn from_raw(codec: Codec, dim: usize, from: *const f32, to: *mut f32) {
    quads(codec, dim, |v, at| {
        for (x, c) in transpose(core::array::from_fn(|i| load(from.add(4 * (v + i))))).into_iter().zip(at) {
            store(to.add(c), x);
        }
    });
}

/// 2^-shift of raw vector v, and whether it reaches the sign.
#[inline(always)]
pub fn power(codec: Codec, v: usize) -> (f32, bool) {
    let run = 32 / codec.bits;
    let j = v % run;
    (f32::from_bits(((127 - j * codec.bits) as u32) << 23), j + 1 == run)
}

/// Half of the range of codes, which vectors that reach the sign lack.
pub fn half(codec: Codec) -> f32 {
    (1u32 << (codec.bits - 1)) as f32
}

/// Writes a query from raw order at `raw` as the scores read it, eight channels every `step` floats, each with its power of two, and per group
/// the pair (what codes that reach the sign lack, sum of the query).
pub unsafe fn prepare(codec: Codec, dim: usize, raw: *const f32, to: *mut f32, step: usize, pairs: *mut f32) {
    let per_group = codec.group(dim) / 4;
    let (mut lack, mut all) = (f32x4_splat(0.0), f32x4_splat(0.0));
    for v in 0..dim / 4 {
        let x = load(raw.add(4 * v));
        let (power, sign) = power(codec, v);
        store(to.add(v / 2 * step + v % 2 * 4), f32x4_mul(x, f32x4_splat(power)));
        all = f32x4_add(all, x);
        lack = if sign { f32x4_add(lack, x) } else { lack };
        if (v + 1) % per_group == 0 {
            *pairs.add(2 * (v / per_group)) = sum(lack) * half(codec);
            *pairs.add(2 * (v / per_group) + 1) = sum(all);
            (lack, all) = (f32x4_splat(0.0), f32x4_splat(0.0));
        }
    }
}

/// The same with the pairs of a block, powers included: the query takes their scales, its sum their offsets.
#[inline(never)]
pub unsafe fn prepare_block(codec: Codec, dim: usize, raw: *const f32, block: *const f32, to: *mut f32, step: usize, pairs: *mut f32) {
    let run = 32 / codec.bits;
    let (mut lack, mut all, mut to) = (f32x4_splat(0.0), f32x4_splat(0.0), to);
    for v in (0..dim / 4).step_by(2) {
        let (p, b) = (raw.add(4 * v), block.add(4 * v));
        let (q, r) = (load(p), load(p.add(4)));
        let (x, y) = (f32x4_mul(q, load(b)), f32x4_mul(r, load(b.add(4))));
        all = fma(r, load(b.add(dim + 4)), fma(q, load(b.add(dim)), all));
        if (v + 2) % run == 0 {
            lack = f32x4_add(lack, y);
        }
        store(to, x);
        store(to.add(4), y);
        to = to.add(step);
    }
    *pairs = sum(lack) * (half(codec) / power(codec, run - 1).0);
    *pairs.add(1) = sum(all);
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

/// Scales and offsets of a block of rows, by channel in raw order, to `out` and `out + dim`; with `powers`, scales have those of [`power`].
pub unsafe fn block_pairs(codec: Codec, pairs: *const u8, dim: usize, out: *mut f32, powers: bool) {
    let mut natural = MaybeUninit::<[f32; 1024]>::uninit();
    let natural = natural.as_mut_ptr() as *mut f32;
    for i in 0..2 {
        decode::<F16>(pairs.add(2 * i * dim), natural, dim);
        to_raw(codec, dim, natural, out.add(i * dim));
    }
    for v in 0..if powers { dim / 4 } else { 0 } {
        store(out.add(4 * v), f32x4_mul(load(out.add(4 * v)), f32x4_splat(power(codec, v).0)));
    }
}
