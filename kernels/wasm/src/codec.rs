//! Row codecs by their choice in the op table: places, decoding into f32, encoding. The affine ones are defined in `cache/codec.ts`; codes
//! are the same bit for bit.

use crate::channels;
use crate::half::{decode, encode_f16, Rows, F16, F32};
use crate::math::*;
use core::ptr::{copy, copy_nonoverlapping};

/// Rows of a block of a per-channel codec.
const BLOCK: usize = 32;
/// Largest half.
const MOST: f32 = 65504.0;

/// How rows are stored.
#[derive(Clone, Copy, PartialEq)]
pub struct Codec {
    /// Bits per value; 32 and 16 are floats.
    pub bits: usize,
    /// Channels per pair of scale and offset, 0 for the whole row.
    pub group: usize,
    /// One pair per channel of a block of rows.
    pub channel: bool,
    /// Of 100 channels of a row so many are stored, see [`crate::channels`]; 0 where all are.
    pub percent: usize,
}

impl Codec {
    /// The order of `rowCodecs`.
    pub fn of(choice: usize) -> Codec {
        match choice {
            0 | 1 => Codec { bits: 32 >> choice, group: 0, channel: false, percent: 0 },
            2..14 => {
                let form = (choice - 2) / 3;
                Codec { bits: [8, 4, 2][(choice - 2) % 3], group: [0, 32, 64, 0][form & 3], channel: form == 3, percent: 0 }
            }
            _ => Codec { bits: 0, group: 0, channel: false, percent: 10 * 23usize.saturating_sub(choice) },
        }
    }

    /// Are values floats?
    pub fn plain(self) -> bool {
        self.bits > 8
    }

    /// Rows stored together.
    pub fn block(self) -> usize {
        if self.channel { BLOCK } else { 1 }
    }

    /// Channels that share a pair, of a per-token codec.
    pub fn group(self, dim: usize) -> usize {
        if self.group == 0 { dim.max(1) } else { self.group }
    }

    /// Bytes of one row; its share of a block.
    pub fn bytes(self, dim: usize) -> usize {
        if self.percent > 0 {
            return channels::bytes(dim, self.percent);
        }
        let codes = dim * self.bits / 8;
        match (self.plain(), self.channel) {
            (true, _) => codes,
            (_, true) => codes + 4 * dim / BLOCK,
            _ => codes + 4 * dim / self.group(dim),
        }
    }

    /// Where the pairs and the codes of the row at `slot` start.
    pub unsafe fn place(self, base: *const u8, slot: usize, dim: usize) -> (*const u8, *const u8) {
        let pairs = base.add((slot - slot % self.block()) * self.bytes(dim));
        let header = if self.channel { 4 * dim } else { 4 * dim / self.group(dim) };
        (pairs, pairs.add(header + slot % self.block() * dim * self.bits / 8))
    }

    /// Decodes rows [slot, slot + rows) into f32.
    pub unsafe fn read(self, base: *const u8, slot: usize, rows: usize, dim: usize, dst: *mut f32) {
        let start = base.add(slot * self.bytes(dim));
        match self.bits {
            32 => decode::<F32>(start, dst, rows * dim),
            16 => decode::<F16>(start, dst, rows * dim),
            8 => self.unpack::<8>(base, slot, rows, dim, dst),
            4 => self.unpack::<4>(base, slot, rows, dim, dst),
            2 => self.unpack::<2>(base, slot, rows, dim, dst),
            _ => channels::read(start, rows, dim, self.percent, dst),
        }
    }

    unsafe fn unpack<const BITS: usize>(self, base: *const u8, slot: usize, rows: usize, dim: usize, dst: *mut f32) {
        if self.channel {
            let mut r = 0;
            while r < rows {
                let count = (BLOCK - (slot + r) % BLOCK).min(rows - r);
                let (pairs, codes) = self.place(base, slot + r, dim);
                columns::<BITS>(pairs, codes, count, dim, dst.add(r * dim));
                r += count;
            }
            return;
        }
        let group = self.group(dim);
        for r in 0..rows {
            let (pairs, codes) = self.place(base, slot + r, dim);
            for g in 0..dim / group {
                let (scale, zero) = (half_at(pairs.add(4 * g)), half_at(pairs.add(4 * g + 2)));
                let (p, to) = (codes.add(g * group * BITS / 8), dst.add(r * dim + g * group));
                let (s, z) = (f32x4_splat(scale), f32x4_splat(zero));
                let whole = group & !15;
                for i in (0..whole).step_by(16) {
                    let x = floats(codes16::<BITS>(p.add(i * BITS / 8)));
                    for (j, x) in x.into_iter().enumerate() {
                        store(to.add(i + 4 * j), f32x4_add(f32x4_mul(x, s), z));
                    }
                }
                for i in whole..group {
                    *to.add(i) = code_at::<BITS>(p, i) as f32 * scale + zero;
                }
            }
        }
    }

    /// Encodes `rows` rows of f32 from `slot` on; whole blocks of a per-channel codec.
    pub unsafe fn write(self, src: *const f32, rows: usize, dim: usize, base: *mut u8, slot: usize) {
        if self.plain() {
            let to = base.add(slot * self.bytes(dim));
            return match self.bits {
                32 => copy_nonoverlapping(src as *const u8, to, rows * dim * 4),
                _ => encode_f16(src, to as *mut u16, rows * dim),
            };
        }
        if self.percent > 0 {
            return channels::write(src, rows, dim, self.percent, base.add(slot * self.bytes(dim)));
        }
        if self.channel {
            for r in (0..rows).step_by(BLOCK) {
                let (pairs, codes) = self.place(base, slot + r, dim);
                core::slice::from_raw_parts_mut(codes as *mut u8, BLOCK * dim * self.bits / 8).fill(0);
                for c in 0..dim {
                    let out = Out { codes: codes as *mut u8, first: c, step: dim, bits: self.bits };
                    let (scale, zero) = quantise(src.add(r * dim + c), dim, BLOCK, out);
                    put_half(pairs.add(2 * c) as *mut u8, scale);
                    put_half(pairs.add(2 * (dim + c)) as *mut u8, zero);
                }
            }
            return;
        }
        let group = self.group(dim);
        for r in 0..rows {
            let (pairs, codes) = self.place(base, slot + r, dim);
            core::slice::from_raw_parts_mut(codes as *mut u8, dim * self.bits / 8).fill(0);
            for g in 0..dim / group {
                let out = Out { codes: codes as *mut u8, first: g * group, step: 1, bits: self.bits };
                let (scale, zero) = quantise(src.add(r * dim + g * group), 1, group, out);
                put_half(pairs.add(4 * g) as *mut u8, scale);
                put_half(pairs.add(4 * g + 2) as *mut u8, zero);
            }
        }
    }

    /// Do rows of `to` follow from rows of this one code by code?
    pub fn nests(self, to: Codec) -> bool {
        let tokens = |c: Codec| !c.plain() && !c.channel && c.percent == 0;
        tokens(self) && tokens(to) && self.group == to.group && self.bits > to.bits
    }

    /// Copies the bytes of one row.
    pub unsafe fn copy(self, source: *const u8, from: usize, target: *mut u8, to: usize, dim: usize) {
        let bytes = self.bytes(dim);
        copy(source.add(from * bytes), target.add(to * bytes), bytes);
    }

    /// Moves the row `from` of a finer codec with the same groups to row `to` of this one, code by code: the grids nest, so a rounded code
    /// is what rounding the number itself would give.
    pub unsafe fn coarsen(self, finer: Codec, source: *const u8, from: usize, target: *mut u8, to: usize, dim: usize) {
        let factor = ((1usize << finer.bits) - 1) / ((1 << self.bits) - 1);
        let ((pairs, codes), (new_pairs, new_codes)) = (finer.place(source, from, dim), self.place(target, to, dim));
        for g in 0..dim / self.group(dim) {
            let scale = half_at(pairs.add(4 * g)) * factor as f32;
            put_half(new_pairs.add(4 * g) as *mut u8, if scale > MOST { MOST } else { scale });
            copy_nonoverlapping(pairs.add(4 * g + 2), new_pairs.add(4 * g + 2) as *mut u8, 2);
        }
        core::slice::from_raw_parts_mut(new_codes as *mut u8, dim * self.bits / 8).fill(0);
        for c in 0..dim {
            let bit = c * finer.bits;
            let code = (*codes.add(bit / 8) >> (bit % 8)) as usize & ((1 << finer.bits) - 1);
            let bit = c * self.bits;
            *(new_codes.add(bit / 8) as *mut u8) |= (((code + factor / 2) / factor) << (bit % 8)) as u8;
        }
    }
}

/// `count` rows of one block, 16 channels at a time.
unsafe fn columns<const BITS: usize>(pairs: *const u8, codes: *const u8, count: usize, dim: usize, dst: *mut f32) {
    let whole = dim & !15;
    for c in (0..whole).step_by(16) {
        let (mut scale, mut zero) = ([0f32; 16], [0f32; 16]);
        decode::<F16>(pairs.add(2 * c), scale.as_mut_ptr(), 16);
        decode::<F16>(pairs.add(2 * (dim + c)), zero.as_mut_ptr(), 16);
        let s: [v128; 4] = core::array::from_fn(|j| load(scale.as_ptr().add(4 * j)));
        let z: [v128; 4] = core::array::from_fn(|j| load(zero.as_ptr().add(4 * j)));
        for r in 0..count {
            let x = floats(codes16::<BITS>(codes.add((r * dim + c) * BITS / 8)));
            for j in 0..4 {
                store(dst.add(r * dim + c + 4 * j), f32x4_add(f32x4_mul(x[j], s[j]), z[j]));
            }
        }
    }
    for c in whole..dim {
        let (scale, zero) = (half_at(pairs.add(2 * c)), half_at(pairs.add(2 * (dim + c))));
        for r in 0..count {
            *dst.add(r * dim + c) = code_at::<BITS>(codes.add(r * dim * BITS / 8), c) as f32 * scale + zero;
        }
    }
}

/// Sixteen codes as bytes.
#[inline(always)]
unsafe fn codes16<const BITS: usize>(p: *const u8) -> v128 {
    match BITS {
        8 => v128_load(p as *const v128),
        4 => {
            let x = v128_load64_zero(p as *const u64);
            let (lo, hi) = (v128_and(x, u8x16_splat(15)), u8x16_shr(x, 4));
            i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(lo, hi)
        }
        _ => {
            let (x, three) = (v128_load32_zero(p as *const u32), u8x16_splat(3));
            let (a, b) = (v128_and(x, three), v128_and(u8x16_shr(x, 2), three));
            let (c, d) = (v128_and(u8x16_shr(x, 4), three), u8x16_shr(x, 6));
            let ab = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
            let cd = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(c, d);
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(ab, cd)
        }
    }
}

/// Sixteen bytes as floats.
#[inline(always)]
fn floats(x: v128) -> [v128; 4] {
    let (lo, hi) = (u16x8_extend_low_u8x16(x), u16x8_extend_high_u8x16(x));
    let words = [u32x4_extend_low_u16x8(lo), u32x4_extend_high_u16x8(lo), u32x4_extend_low_u16x8(hi), u32x4_extend_high_u16x8(hi)];
    words.map(|w| f32x4_convert_i32x4(w))
}

unsafe fn code_at<const BITS: usize>(codes: *const u8, i: usize) -> u32 {
    (*codes.add(i * BITS / 8) as u32 >> (i * BITS % 8)) & ((1 << BITS) - 1)
}

unsafe fn half_at(p: *const u8) -> f32 {
    F16::one(p) * F16::SCALE
}

unsafe fn put_half(p: *mut u8, x: f32) {
    encode_f16(&x, p as *mut u16, 1);
}

/// The f16 nearest to x, as f32; beyond the largest half that.
unsafe fn half_of(x: f32) -> f32 {
    let mut bits = 0u16;
    let x = if x > MOST { MOST } else if x >= -MOST { x } else if x < 0.0 { -MOST } else { 0.0 };
    encode_f16(&x, &mut bits, 1);
    half_at(&bits as *const u16 as *const u8)
}

/// Where codes go: code i at place `first + i * step`.
struct Out {
    codes: *mut u8,
    first: usize,
    step: usize,
    bits: usize,
}

/// Codes of `count` numbers, `step` apart; the pair that is stored. Codes fit the rounded pair; NaN counts as nothing and has code 0.
unsafe fn quantise(x: *const f32, step: usize, count: usize, out: Out) -> (f32, f32) {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for i in 0..count {
        let v = *x.add(i * step);
        low = if v < low { v } else { low };
        high = if v > high { v } else { high };
    }
    let most = ((1u32 << out.bits) - 1) as f32;
    if low > high {
        return (0.0, 0.0);
    }
    let (scale, zero) = (half_of((high - low) / most), half_of(low));
    if scale != 0.0 {
        for i in 0..count {
            let q = (*x.add(i * step) - zero) / scale;
            let q = if q > 0.0 { if q < most { q } else { most } } else { 0.0 };
            let code = f32x4_extract_lane::<0>(f32x4_nearest(f32x4_splat(q))) as u32;
            let bit = (out.first + i * out.step) * out.bits;
            *out.codes.add(bit / 8) |= (code << (bit % 8)) as u8;
        }
    }
    (scale, zero)
}
