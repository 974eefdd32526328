//! GGUF blocks as they lie in a file, decoded to codes, scale and minimum. Source: ggml-org/ggml, `src/ggml-common.h` and
//! `src/ggml-quants.c`.

use super::half::half_to_f32;

/// One block of up to 32 inputs: value = scale * code + minimum. Scale and minimum are f16 bits where the file stores
/// them, else f32 bits. Codes are 0..15 for nibble types, signed bytes for byte types.
pub struct Block {
    /// Codes in input order.
    pub codes: [u8; 32],
    /// Bits of the scale.
    pub scale: u32,
    /// Bits of the minimum, 0 where the type has none.
    pub min: u32,
}

impl Block {
    /// The block of a row that does not exist.
    pub const ZERO: Block = Block { codes: [0; 32], scale: 0, min: 0 };
}

unsafe fn u16_at(at: *const u8) -> u32 {
    (at as *const u16).read_unaligned() as u32
}

unsafe fn u32_at(at: *const u8) -> u32 {
    (at as *const u32).read_unaligned()
}

/// 16 bytes of two nibbles: low ones first, then the high ones.
unsafe fn nibbles(at: *const u8) -> [u8; 32] {
    let mut codes = [0; 32];
    for i in 0..16 {
        codes[i] = *at.add(i) & 15;
        codes[16 + i] = *at.add(i) >> 4;
    }
    codes
}

/// Nibbles with a fifth bit each, minus `offset`.
unsafe fn fives(high: u32, at: *const u8, offset: u8) -> [u8; 32] {
    let mut codes = nibbles(at);
    for (i, code) in codes.iter_mut().enumerate() {
        *code = (*code | (high >> i & 1) as u8 * 16).wrapping_sub(offset);
    }
    codes
}

/// Six-bit scale and minimum of sub-block `i` of a K block, times the block's own, as f32.
unsafe fn k_scales(at: *const u8, i: usize) -> (u32, u32) {
    let sc = |j: usize| *at.add(4 + j);
    let (scale, min) =
        if i < 4 { (sc(i) & 63, sc(i + 4) & 63) } else { (sc(i + 4) & 15 | sc(i - 4) >> 6 << 4, sc(i + 4) >> 4 | sc(i) >> 6 << 4) };
    let product = |half: u32, six: u8| half_to_f32(half as u16) * six as f32;
    (product(u16_at(at), scale).to_bits(), (-product(u16_at(at.add(2)), min)).to_bits())
}

/// Codes of sub-block `i` of a Q4_K or Q5_K block.
unsafe fn k_codes(quants: *const u8, high: Option<*const u8>, i: usize) -> [u8; 32] {
    let mut codes = [0; 32];
    for (l, code) in codes.iter_mut().enumerate() {
        let byte = *quants.add(i / 2 * 32 + l);
        let low = if i % 2 == 0 { byte & 15 } else { byte >> 4 };
        *code = low | high.map_or(0, |h| (*h.add(l) >> i & 1) * 16);
    }
    codes
}

/// Sixteen inputs of a Q6_K block: `i` counts sixteens.
unsafe fn six(at: *const u8, i: usize) -> Block {
    let (half, group, start) = (i / 8, i / 2 % 4, i % 2 * 16);
    let mut codes = [0; 32];
    for (j, code) in codes.iter_mut().take(16).enumerate() {
        let l = start + j;
        let byte = *at.add(64 * half + l + 32 * (group & 1));
        let low = if group < 2 { byte & 15 } else { byte >> 4 };
        let high = *at.add(128 + 32 * half + l) >> (2 * group) & 3;
        *code = (low | high << 4).wrapping_sub(32);
    }
    let scale = half_to_f32(u16_at(at.add(208)) as u16) * *(at.add(192 + i) as *const i8) as f32;
    Block { codes, scale: scale.to_bits(), min: 0 }
}

/// Decodes record `b` of a row: 32 inputs, or 16 for Q6_K.
///
/// # Safety
/// `row` points at a row of whole blocks of a quantised type and holds record `b`.
pub unsafe fn decode(ty: u32, row: *const u8, b: usize) -> Block {
    match ty {
        3 => {
            let at = row.add(b * 34);
            let mut codes = [0; 32];
            core::ptr::copy_nonoverlapping(at.add(2), codes.as_mut_ptr(), 32);
            Block { codes, scale: u16_at(at), min: 0 }
        }
        4 => {
            let at = row.add(b * 18);
            Block { codes: nibbles(at.add(2)), scale: u16_at(at), min: 0 }
        }
        5 => {
            let at = row.add(b * 20);
            Block { codes: nibbles(at.add(4)), scale: u16_at(at), min: u16_at(at.add(2)) }
        }
        6 => {
            let at = row.add(b * 22);
            Block { codes: fives(u32_at(at.add(2)), at.add(6), 16), scale: u16_at(at), min: 0 }
        }
        7 => {
            let at = row.add(b * 24);
            Block { codes: fives(u32_at(at.add(4)), at.add(8), 0), scale: u16_at(at), min: u16_at(at.add(2)) }
        }
        8 | 9 => {
            let at = row.add(b / 8 * if ty == 8 { 144 } else { 176 });
            let (quants, high) = if ty == 8 { (at.add(16), None) } else { (at.add(48), Some(at.add(16))) };
            let (scale, min) = k_scales(at, b % 8);
            Block { codes: k_codes(quants, high, b % 8), scale, min }
        }
        _ => six(row.add(b / 16 * 210), b % 16),
    }
}
