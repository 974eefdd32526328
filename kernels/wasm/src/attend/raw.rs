//! The order in which codes are read, and what it asks of queries and of scales.
//!
//! Sixteen bytes are eight half words, each with codes of neighbouring channels. A shift and a mask leave one code of every half word, so eight
//! codes at a time are multiplied with whole numbers of sixteen bits: queries, or weights of rows, each a multiple of its own unit. A code counts
//! from the middle of its range on where that unit has rounded a factor, which a constant sees to: the rounding then meets what codes differ by,
//! not what they have in common.

use super::decode::Sums;
use crate::codec::Codec;
use crate::half::{Parts, Rows, F16};
use crate::math::*;

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
}

/// Four numbers as whole ones: with ROUND added, the lowest bits are the nearest whole number, ties to even.
#[inline(always)]
fn whole(x: v128, inverse: v128, round: v128, bits: v128) -> v128 {
    i32x4_sub(fma(x, inverse, round), bits)
}

/// ROUND and its bits.
#[inline(always)]
fn rounding() -> (v128, v128) {
    (hidden(f32x4_splat(ROUND)), hidden(u32x4_splat(ROUND.to_bits())))
}

/// Writes a query from raw order at `raw` as the scores read it, eight channels every `step` floats, and per group the pair (what its rounding
/// leaves for the middle of codes, sum of the query); its unit.
#[inline(never)]
pub unsafe fn prepare(codec: Codec, dim: usize, raw: *const f32, to: *mut f32, step: usize, pairs: *mut f32) -> f32 {
    let most = (0..dim).step_by(4).fold(f32x4_splat(0.0), |most, c| f32x4_pmax(most, f32x4_abs(load(raw.add(c)))));
    let (unit, per_group, (round, bits)) = (Unit::of(most), codec.group(dim) / 8, rounding());
    for group in 0..dim / 8 / per_group {
        let (mut all, mut wholes) = (f32x4_splat(0.0), i32x4_splat(0));
        for v in group * per_group..(group + 1) * per_group {
            let (x, y) = (load(raw.add(8 * v)), load(raw.add(8 * v + 4)));
            let [a, b] = [x, y].map(|x| whole(x, unit.inverse, round, bits));
            v128_store(to.add(v * step) as *mut v128, i16x8_narrow_i32x4(a, b));
            all = f32x4_add(all, f32x4_add(x, y));
            wholes = i32x4_add(wholes, i32x4_add(a, b));
        }
        *pairs.add(2 * group) = middle(codec) * (sum(all) - unit.value * whole_sum(wholes) as f32);
        *pairs.add(2 * group + 1) = sum(all);
    }
    unit.value
}

/// Scales, and offsets with the middle of codes times their scale added: what products of whole numbers with codes want.
#[derive(Clone, Copy)]
pub struct Pairs {
    pub at: *mut f32,
    /// Floats from the scales to the offsets.
    apart: usize,
}

impl Pairs {
    pub fn at(at: *mut f32, apart: usize) -> Pairs {
        Pairs { at, apart }
    }

    pub unsafe fn offset(&self, i: usize) -> *mut f32 {
        self.at.add(self.apart + i)
    }

    /// Scales of one, offsets of one.
    pub unsafe fn even(self, count: usize) -> Pairs {
        core::slice::from_raw_parts_mut(self.at, count).fill(1.0);
        core::slice::from_raw_parts_mut(self.offset(0), count).fill(1.0);
        self
    }

    /// Four pairs as they are stored, but for [`F16::SCALE`], in place i.
    #[inline(always)]
    unsafe fn put(&self, i: usize, [scale, offset]: [v128; 2], middle: v128) {
        let lift = f32x4_splat(F16::SCALE);
        let scale = f32x4_mul(scale, lift);
        store(self.at.add(i), scale);
        store(self.offset(i), fma(offset, lift, f32x4_mul(scale, middle)));
    }
}

/// Of each query the unit of its whole numbers, the sum of its numbers times offsets, and what the unit's multiples sum to.
pub struct Rounded {
    pub units: [f32; 4],
    pub offsets: [f32; 4],
    pub wholes: [f32; 4],
}

impl Rounded {
    /// What query g gets whatever the codes are, next to products of whole numbers.
    pub fn constant(&self, codec: Codec, g: usize) -> f32 {
        self.offsets[g] - middle(codec) * self.units[g] * self.wholes[g]
    }
}

/// Writes `count` numbers of R queries times the scales as whole numbers: query by query `apart` bytes, eight by eight `step` bytes from each other.
#[inline(never)]
pub unsafe fn wholes<const R: usize>(a: Sums, pairs: Pairs, count: usize, to: *mut u8, apart: usize, step: usize) -> Rounded {
    let (round, bits) = rounding();
    let [mut most, mut offsets, mut wholes] = [[f32x4_splat(0.0); 4]; 3];
    for i in (0..count).step_by(4) {
        let (scale, offset) = (load(pairs.at.add(i)), load(pairs.offset(i)));
        for g in 0..R {
            let x = load(a.of(g).add(i));
            most[g] = f32x4_pmax(most[g], f32x4_abs(f32x4_mul(x, scale)));
            offsets[g] = fma(x, offset, offsets[g]);
        }
    }
    let units = most.map(Unit::of);
    for v in 0..count / 8 {
        let scales = pairs.at.add(8 * v);
        let scale = [load(scales), load(scales.add(4))];
        for g in 0..R {
            let x = a.of(g).add(8 * v);
            let [x, y]: [v128; 2] =
                core::array::from_fn(|i| whole(f32x4_mul(load(x.add(4 * i)), scale[i]), units[g].inverse, round, bits));
            wholes[g] = i32x4_add(wholes[g], i32x4_add(x, y));
            v128_store(to.add(g * apart + v * step) as *mut v128, i16x8_narrow_i32x4(x, y));
        }
    }
    let [a, b, c, d] = offsets;
    let mut rounded = Rounded { units: units.map(|unit| unit.value), offsets: [0.0; 4], wholes: [0.0; 4] };
    store(rounded.offsets.as_mut_ptr(), sums(a, b, c, d));
    store(rounded.wholes.as_mut_ptr(), f32x4_convert_i32x4(whole_sums(wholes)));
    rounded
}

/// Pair number `group` of `rows` rows; zeros up to a multiple of eight.
pub unsafe fn row_pairs(codec: Codec, base: *const u8, dim: usize, rows: usize, group: usize, to: Pairs) {
    let (bytes, parts, middle) = (codec.bytes(dim), F16::parts(), f32x4_splat(middle(codec)));
    let mut at = base.add(4 * group);
    let put = |t: usize, words: v128| {
        let (scale, offset) = F16::widen(words, parts);
        to.put(t, [scale, offset], middle);
    };
    for t in (0..rows & !3).step_by(4) {
        put(t, four_words(core::array::from_fn(|i| at.add(i * bytes) as *const u32)));
        at = at.add(4 * bytes);
    }
    for t in (rows & !3..rows.next_multiple_of(8)).step_by(4) {
        let word = |i: usize| if t + i < rows { (at.add(i * bytes) as *const i32).read_unaligned() } else { 0 };
        put(t, i32x4(word(0), word(1), word(2), word(3)));
    }
}

/// Pairs of a block of rows, by channel in raw order.
pub unsafe fn block_pairs(codec: Codec, pairs: *const u8, dim: usize, out: *mut f32) -> Pairs {
    match codec.bits {
        8 => pairs_by_code::<2>(codec, pairs, dim, out),
        4 => pairs_by_code::<4>(codec, pairs, dim, out),
        _ => pairs_by_code::<8>(codec, pairs, dim, out),
    }
}

/// The same where half words hold RUN codes.
#[inline(never)]
unsafe fn pairs_by_code<const RUN: usize>(codec: Codec, pairs: *const u8, dim: usize, out: *mut f32) -> Pairs {
    let (to, parts, middle) = (Pairs::at(out, dim), F16::parts(), f32x4_splat(middle(codec)));
    for l in (0..dim / RUN).step_by(4) {
        let [scales, offsets] = [l * RUN, dim + l * RUN].map(|i| unsafe { by_code::<RUN>(pairs.add(2 * i), parts) });
        for j in 0..RUN {
            to.put((l & !7) * RUN + 8 * j + l % 8, [scales[j], offsets[j]], middle);
        }
    }
    to
}

/// Numbers of the channels of four half words: vector j has those of their j-th codes.
#[inline(always)]
unsafe fn by_code<const RUN: usize>(p: *const u8, parts: Parts) -> [v128; RUN] {
    let zero = i32x4_splat(0);
    let x: [(v128, v128); 4] = core::array::from_fn(|i| if i < RUN / 2 { F16::load8(p.add(16 * i), parts) } else { (zero, zero) });
    let all = match RUN {
        2 => [x[0].0, x[0].1, zero, zero, zero, zero, zero, zero],
        4 => {
            let [even, odd] = [(x[0].0, x[1].0), (x[0].1, x[1].1)].map(|(a, b)| (i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b)));
            [even.0, odd.0, even.1, odd.1, zero, zero, zero, zero]
        }
        _ => {
            let (even, odd) = (transpose(x.map(|x| x.0)), transpose(x.map(|x| x.1)));
            [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
        }
    };
    core::array::from_fn(|j| all[j])
}
