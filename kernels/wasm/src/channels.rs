//! Rows of which only the largest channels are stored: which ones, a bit each, then their numbers as f16. Defined in `cache/channels.ts`;
//! the bytes are the same.

use crate::half::{encode_f16, Rows, F16};
use crate::math::*;

/// Channels at most.
const MOST: usize = 1024;

/// Channels that are kept.
pub fn kept(dim: usize, percent: usize) -> usize {
    let kept = dim - dim * (100 - percent) / 100;
    kept + kept % 2
}

/// Bytes before the numbers of a row.
fn mask_bytes(dim: usize) -> usize {
    4 * dim.div_ceil(32)
}

/// Bytes of one row.
pub fn bytes(dim: usize, percent: usize) -> usize {
    mask_bytes(dim) + 2 * kept(dim, percent)
}

/// For each byte of a mask, where the halves of eight channels come from: channel j in the low (j < 4) or high half of word j % 4, absent
/// ones from nowhere.
static PLACES: [[u8; 16]; 256] = places();

const fn places() -> [[u8; 16]; 256] {
    let mut table = [[0x80; 16]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut j, mut next) = (0, 0);
        while j < 8 {
            if byte >> j & 1 != 0 {
                let at = 4 * (j % 4) + 2 * (j / 4);
                table[byte][at] = 2 * next;
                table[byte][at + 1] = 2 * next + 1;
                next += 1;
            }
            j += 1;
        }
        byte += 1;
    }
    table
}

/// The lowest `room` bits that are set, so that a row which names too many channels is read up to its end.
fn lowest(mut bits: u32, room: usize) -> u32 {
    while bits.count_ones() as usize > room {
        bits &= !(1 << (31 - bits.leading_zeros()));
    }
    bits
}

/// The next eight halves of a row that has `left`: of its last ones, a copy, so that nothing behind the row is read.
#[inline(always)]
unsafe fn halves(at: *const u8, left: usize) -> v128 {
    if left >= 8 {
        return v128_load(at as *const v128);
    }
    let mut last = [0u8; 16];
    core::ptr::copy_nonoverlapping(at, last.as_mut_ptr(), 2 * left);
    v128_load(last.as_ptr() as *const v128)
}

/// Decodes whole rows into f32.
pub unsafe fn read(src: *const u8, rows: usize, dim: usize, percent: usize, dst: *mut f32) {
    let (all, mask, width) = (kept(dim, percent), mask_bytes(dim), bytes(dim, percent));
    let (scale, parts) = (f32x4_splat(F16::SCALE), F16::parts());
    for r in 0..rows {
        let (row, out) = (src.add(r * width), dst.add(r * dim));
        let mut next = 0;
        for c in (0..dim).step_by(8) {
            let present = if dim - c < 8 { (1 << (dim - c)) - 1 } else { 255 };
            let bits = lowest(*row.add(c / 8) as u32 & present, all - next);
            let places = v128_load(PLACES[bits as usize].as_ptr() as *const v128);
            let (lo, hi) = F16::widen(i8x16_swizzle(halves(row.add(mask + 2 * next), all - next), places), parts);
            let (lo, hi) = (f32x4_mul(lo, scale), f32x4_mul(hi, scale));
            if present == 255 {
                store(out.add(c), lo);
                store(out.add(c + 4), hi);
            } else {
                let mut last = [0f32; 8];
                store(last.as_mut_ptr(), lo);
                store(last.as_mut_ptr().add(4), hi);
                core::ptr::copy_nonoverlapping(last.as_ptr(), out.add(c), dim - c);
            }
            next += bits.count_ones() as usize;
        }
    }
}

/// Encodes whole rows: the channels of largest magnitude, by their bits without the sign, of equal ones the lowest.
pub unsafe fn write(src: *const f32, rows: usize, dim: usize, percent: usize, dst: *mut u8) {
    let (all, mask, width) = (kept(dim, percent), mask_bytes(dim), bytes(dim, percent));
    let mut taken = [0f32; MOST];
    for r in 0..rows {
        let numbers = core::slice::from_raw_parts(src.add(r * dim), dim);
        let size = |x: &f32| x.to_bits() & 0x7fff_ffff;
        let least = limit(numbers, all);
        let mut ties = all - numbers.iter().filter(|x| size(x) > least).count();
        let row = dst.add(r * width);
        core::slice::from_raw_parts_mut(row, mask).fill(0);
        let mut next = 0;
        for (c, x) in numbers.iter().enumerate() {
            let tie = size(x) == least && ties > 0;
            if tie || size(x) > least {
                ties -= tie as usize;
                *row.add(c / 8) |= 1 << (c % 8);
                taken[next] = *x;
                next += 1;
            }
        }
        encode_f16(taken.as_ptr(), row.add(mask) as *mut u16, all);
    }
}

/// The size of the `kept`-th largest number, found bit by bit; 0 where no more than so many are other than 0.
fn limit(numbers: &[f32], kept: usize) -> u32 {
    let reaches = |least: u32| numbers.iter().filter(|x| x.to_bits() & 0x7fff_ffff >= least).count() >= kept;
    if !reaches(1) {
        return 0;
    }
    (0..31).rev().fold(0, |found, bit| if reaches(found | 1 << bit) { found | 1 << bit } else { found })
}
