//! Scores and sums of values straight from codes: with q . k = s (q . code) + z sum(q), and the same for values, no row is ever decoded.
//! In which order codes are read is in [`super::raw`].

use super::decode::{Query, Sums, LANES};
use super::raw::{groups, half, power, row_pairs, span, stride};
use crate::codec::Codec;
use crate::math::*;
use core::mem::MaybeUninit;

/// Scores of R queries and `rows` rows at `base`: per token, their own pairs; per channel, `base` is their codes and the queries carry the
/// scales. `constants` are those that preparing a query left.
pub unsafe fn scores<const R: usize>(codec: Codec, q: Query, constants: Sums, base: *const u8, dim: usize, rows: usize, s: *mut f32) {
    if codec.channel {
        take::<R>(q, Codes { at: base, bits: codec.bits as u32, bytes: stride(codec, dim), steps: dim / 8 }, rows, s);
        return lift::<R>(constants, rows, s);
    }
    let (groups, group) = (groups(codec, dim), codec.group(dim));
    let (mut dot, mut pairs) = (MaybeUninit::<[[f32; LANES]; R]>::uninit(), MaybeUninit::<[f32; 2 * LANES]>::uninit());
    let (dot, pairs) = (dot.as_mut_ptr() as *mut f32, pairs.as_mut_ptr() as *mut f32);
    for i in 0..groups {
        let at = base.add(4 * groups + i * group * codec.bits / 8);
        let q = Query { at: q.at.add(i * group / 8 * q.step), ..q };
        take::<R>(q, Codes { at, bits: codec.bits as u32, bytes: stride(codec, dim), steps: group / 8 }, rows, dot);
        row_pairs(codec, base, dim, rows, i, pairs);
        combine::<R>(i, dot, pairs, constants, rows, s);
    }
}

unsafe fn take<const R: usize>(q: Query, codes: Codes, rows: usize, s: *mut f32) {
    if R < 4 {
        return dots::<R>(q, codes, rows, s);
    }
    dots::<2>(q, codes, rows, s);
    dots::<2>(q.after(2), codes, rows, s.add(2 * LANES));
}

/// s += both constants of the query.
unsafe fn lift<const R: usize>(constants: Sums, rows: usize, s: *mut f32) {
    for g in 0..R {
        let both = f32x4_splat(*constants.of(g) + *constants.of(g).add(1));
        unary(s.add(g * LANES), s.add(g * LANES), rows.next_multiple_of(4), |x| f32x4_add(x, both));
    }
}

/// s += scale * (dot + lack) + offset * sum(q), for the first group s = that.
#[inline(never)]
unsafe fn combine<const R: usize>(group: usize, dot: *const f32, pairs: *const f32, constants: Sums, rows: usize, s: *mut f32) {
    for g in 0..R {
        let (lack, all) = (splat(constants.of(g).add(2 * group)), splat(constants.of(g).add(2 * group + 1)));
        for t in (0..rows).step_by(4) {
            let to = s.add(g * LANES + t);
            let before = if group == 0 { f32x4_splat(0.0) } else { load(to) };
            let offset = fma(load(pairs.add(LANES + t)), all, before);
            store(to, fma(load(pairs.add(t)), f32x4_add(load(dot.add(g * LANES + t)), lack), offset));
        }
    }
}

/// Codes of rows, `bytes` apart, of which 8 * `steps` are wanted.
#[derive(Clone, Copy)]
struct Codes {
    at: *const u8,
    bits: u32,
    bytes: usize,
    steps: usize,
}

impl Codes {
    /// Masks of the two codes that step `i` reads, and how far into the row it reads.
    #[inline(always)]
    fn step(&self, i: usize) -> (v128, v128, usize) {
        let per = 16 / self.bits as usize;
        let mask = ((1u32 << self.bits) - 1) << (i % per) as u32 * 2 * self.bits;
        (u32x4_splat(mask), u32x4_splat(mask << self.bits), i / per * 16)
    }
}

/// The sign bit of every word, where the compiler cannot see it.
fn sign() -> v128 {
    static SIGN: u32 = 1 << 31;
    // SAFETY: a constant of this module.
    u32x4_splat(unsafe { (&raw const SIGN).read_volatile() })
}

#[inline(always)]
unsafe fn load8(at: *const u8, sign: v128, a: v128, b: v128) -> (v128, v128) {
    let w = v128_xor(v128_load(at as *const v128), sign);
    (f32x4_convert_i32x4(v128_and(w, a)), f32x4_convert_i32x4(v128_and(w, b)))
}

/// s[g][t] = dot of query g and the codes of row t; four rows at a time, so scores behind the last are repeats of it.
#[inline(never)]
unsafe fn dots<const R: usize>(q: Query, codes: Codes, rows: usize, s: *mut f32) {
    let sign = sign();
    let (one, bits) = ((1u32 << codes.bits) - 1, codes.bits);
    for t in (0..rows).step_by(4) {
        let mut row: [*const u8; 4] = core::array::from_fn(|i| codes.at.add((t + i).min(rows - 1) * codes.bytes));
        let mut acc = [[f32x4_splat(0.0); 4]; R];
        let (mut at, mut mask) = (q.at, one);
        for _ in 0..codes.steps {
            let (a, b) = (u32x4_splat(mask), u32x4_splat(mask << bits));
            mask = mask.rotate_left(2 * bits);
            let next = if mask == one { 16 } else { 0 };
            for i in 0..4 {
                let (x, y) = load8(row[i], sign, a, b);
                for g in 0..R {
                    acc[g][i] = fma(y, load(at.add(8 * g + 4)), fma(x, load(at.add(8 * g)), acc[g][i]));
                }
                row[i] = row[i].add(next);
            }
            at = at.add(q.step);
        }
        for g in 0..R {
            store(s.add(g * LANES + t), sums(acc[g][0], acc[g][1], acc[g][2], acc[g][3]));
        }
    }
}

/// o[g] += sum over rows of p[g][t] * row t in raw order, and, per token, the sums of p * offset to `offsets` of each group. Per channel, `base`
/// is the codes and `block` the pairs of [`super::raw::block_pairs`].
pub unsafe fn values<const R: usize>(codec: Codec, p: *const f32, base: *const u8, dim: usize, rows: usize, o: Sums, offsets: Sums, block: *const f32) {
    let (groups, group) = (groups(codec, dim), if codec.channel { dim } else { codec.group(dim) });
    let at = if codec.channel { base } else { base.add(4 * groups) };
    let codes = Codes { at, bits: codec.bits as u32, bytes: stride(codec, dim), steps: dim / 8 };
    if codec.channel {
        let totals = core::array::from_fn(|g| f32x4_splat(total(p.add(g * LANES), rows)));
        return add::<R, false>(codec, codes, p, rows, 0..dim / 8, o, totals, block);
    }
    // Where a vector holds two groups, the weights of the first one wait for those of the second.
    let (paired, none) = (group < span(codec), core::ptr::null());
    let (mut w, mut pairs) = (MaybeUninit::<[[[f32; LANES]; R]; 2]>::uninit(), MaybeUninit::<[f32; 2 * LANES]>::uninit());
    let (w, pairs) = (w.as_mut_ptr() as *mut f32, pairs.as_mut_ptr() as *mut f32);
    let mut totals = [[0f32; R]; 2];
    for i in 0..groups {
        let side = if paired { i % 2 } else { 0 };
        row_pairs(codec, base, dim, rows, i, pairs);
        for g in 0..R {
            let (offset, total) = weigh(p.add(g * LANES), pairs, rows, w.add((side * R + g) * LANES));
            *offsets.of(g).add(i) += offset;
            totals[side][g] = total;
        }
        let steps = i * group / 8..(i + 1) * group / 8;
        if !paired {
            add::<R, false>(codec, codes, w, rows, steps, o, totals[0].map(|x| f32x4_splat(x)), none);
        } else if side == 1 {
            let totals = core::array::from_fn(|g| f32x4(totals[0][g], totals[0][g], totals[1][g], totals[1][g]));
            add::<R, true>(codec, codes, w, rows, steps.start - group / 8..steps.end, o, totals, none);
        }
    }
}

/// Sum of `rows` numbers, behind which zeros fill up the four.
unsafe fn total(p: *const f32, rows: usize) -> f32 {
    sum((0..rows).step_by(4).fold(f32x4_splat(0.0), |a, t| f32x4_add(a, load(p.add(t)))))
}

/// w = p * scale; the sums of p * offset and of w.
#[inline(never)]
unsafe fn weigh(p: *const f32, pairs: *const f32, rows: usize, w: *mut f32) -> (f32, f32) {
    let (mut offset, mut total) = (f32x4_splat(0.0), f32x4_splat(0.0));
    for t in (0..rows).step_by(4) {
        let p = load(p.add(t));
        let x = f32x4_mul(p, load(pairs.add(t)));
        store(w.add(t), x);
        total = f32x4_add(total, x);
        offset = fma(p, load(pairs.add(LANES + t)), offset);
    }
    (sum(offset), sum(total))
}

/// o[g] += sum of w[g][t] * codes of row t, at `steps`. PAIRED: two weights a row, R * LANES apart, for the two halves of a vector.
#[inline(never)]
unsafe fn add<const R: usize, const PAIRED: bool>(
    codec: Codec,
    codes: Codes,
    w: *const f32,
    rows: usize,
    steps: core::ops::Range<usize>,
    o: Sums,
    totals: [v128; R],
    block: *const f32,
) {
    let sign = sign();
    for step in steps {
        let (a, b, at) = codes.step(step);
        let mut acc = [[f32x4_splat(0.0); 2]; R];
        let mut row = codes.at.add(at);
        for t in 0..rows {
            let (x, y) = load8(row, sign, a, b);
            for g in 0..R {
                let first = w.add(g * LANES + t);
                let w = if PAIRED { i32x4_shuffle::<0, 1, 4, 5>(splat(first), splat(first.add(R * LANES))) } else { splat(first) };
                acc[g] = [fma(x, w, acc[g][0]), fma(y, w, acc[g][1])];
            }
            row = row.add(codes.bytes);
        }
        for i in 0..2 {
            let v = 2 * step + i;
            let ((power, reaches), offset) = (power(codec, v), block.wrapping_add(4 * v + 8 * codes.steps));
            for g in 0..R {
                let to = o.of(g).add(4 * v);
                let lack = if reaches { half(codec) } else { 0.0 };
                let x = fma(acc[g][i], f32x4_splat(power), f32x4_mul(totals[g], f32x4_splat(lack)));
                let x = if block.is_null() { x } else { fma(x, load(block.add(4 * v)), f32x4_mul(totals[g], load(offset))) };
                store(to, f32x4_add(load(to), x));
            }
        }
    }
}
