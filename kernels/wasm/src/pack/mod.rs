//! How weights lie in linear memory: GGUF blocks regrouped so that one vector load feeds several output rows.
//!
//! Rows are taken eight at a time (a group; missing rows are zeros). A group is a run of records, one per block of the
//! input dimension, each `[8 scales][8 minima][codes]`:
//! - nibble types (Q4_0, Q4_1, Q4_K): 32 inputs; byte `(2 * s + half) * 16 + 4 * r + j` holds inputs `8 s + j` (low) and
//!   `8 s + 4 + j` (high) of row `4 * half + r`. Codes are 0..15, value = scale * code + minimum.
//! - byte types (Q8_0, Q5_*, Q6_K): 32 inputs (Q6_K 16); byte `16 * s + 2 * r + j` holds input `2 s + j` of row r, signed.
//! - float types: one record per input, 8 values of the file's own width.
//!
//! Scales and minima stay f16 where the file has f16, and are f32 where they are products of two fields (the K types).

mod blocks;
pub mod half;

use blocks::{decode, Block};
use half::{half_to_f32, HALF_BYTES};

/// Rows that are interleaved: feed `pack` slices of whole multiples of this many rows.
pub const ROW_INTERLEAVE: usize = 8;

/// Bits of `uses`: the weight is a plain f32 vector (norm weights, biases).
pub const USE_VECTOR: u32 = 4;

/// What the codes of a type are, hence which kernel reads them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 4-bit codes, two inputs per byte.
    Nibble,
    /// Signed 8-bit codes.
    Byte,
    /// f32, f16 or bf16 values without blocks.
    Float,
}

/// Where the minimum of a block comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Minimum {
    /// There is none.
    None,
    /// Stored after the scales.
    Stored,
    /// -8 times the scale (Q4_0).
    Eighth,
}

/// Geometry of one weight type.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Kernel family.
    pub family: Family,
    /// Inputs per record.
    pub block: usize,
    /// Bytes of one scale, minimum or float value.
    pub width: usize,
    /// Minimum of each block.
    pub minimum: Minimum,
    /// Inputs per block of the file.
    pub file_block: usize,
    /// Bytes per block of the file.
    pub file_bytes: usize,
}

impl Layout {
    /// Bytes of scales and minima at the head of a record.
    pub const fn head(&self) -> usize {
        match (self.family, self.minimum) {
            (Family::Float, _) => 0,
            (_, Minimum::Stored) => 16 * self.width,
            _ => 8 * self.width,
        }
    }

    /// Bytes of a record.
    pub const fn record(&self) -> usize {
        match self.family {
            Family::Nibble => self.head() + 4 * self.block,
            Family::Byte => self.head() + 8 * self.block,
            Family::Float => 8 * self.width,
        }
    }
}

const fn layout_of(family: Family, block: usize, width: usize, minimum: Minimum, file: (usize, usize)) -> Layout {
    Layout { family, block, width, minimum, file_block: file.0, file_bytes: file.1 }
}

/// Layouts in the order of `WeightType`: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K.
pub const LAYOUTS: [Layout; 11] = [
    layout_of(Family::Float, 1, 4, Minimum::None, (1, 4)),
    layout_of(Family::Float, 1, 2, Minimum::None, (1, 2)),
    layout_of(Family::Float, 1, 2, Minimum::None, (1, 2)),
    layout_of(Family::Byte, 32, HALF_BYTES, Minimum::None, (32, 34)),
    layout_of(Family::Nibble, 32, HALF_BYTES, Minimum::Eighth, (32, 18)),
    layout_of(Family::Nibble, 32, HALF_BYTES, Minimum::Stored, (32, 20)),
    layout_of(Family::Byte, 32, HALF_BYTES, Minimum::None, (32, 22)),
    layout_of(Family::Byte, 32, HALF_BYTES, Minimum::Stored, (32, 24)),
    layout_of(Family::Nibble, 32, 4, Minimum::Stored, (256, 144)),
    layout_of(Family::Byte, 32, 4, Minimum::Stored, (256, 176)),
    layout_of(Family::Byte, 16, 4, Minimum::None, (256, 210)),
];

/// F32 in the order of `WeightType`.
pub const F32: u32 = 0;
/// F16 in the order of `WeightType`.
pub const F16: u32 = 1;
/// BF16 in the order of `WeightType`.
pub const BF16: u32 = 2;

/// Bytes the packed form of a weight takes; `usize::MAX` if the type is unknown, the columns are not whole blocks, or it cannot be addressed.
pub fn packed_bytes(ty: u32, rows: usize, cols: usize, uses: u32) -> usize {
    let Some(layout) = LAYOUTS.get(ty as usize) else { return usize::MAX };
    if cols % layout.file_block != 0 {
        return usize::MAX;
    }
    let bytes = if uses == USE_VECTOR {
        rows as u128 * cols as u128 * 4
    } else {
        rows.div_ceil(ROW_INTERLEAVE) as u128 * (cols / layout.block) as u128 * layout.record() as u128
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Packs rows `first_row..first_row + row_count`; `src` points at the first of them.
///
/// # Safety
/// `src` holds `row_count` whole rows of the file, `dst` holds `packed_bytes`, `first_row` is a multiple of `ROW_INTERLEAVE`, and so is
/// `row_count` unless the slice ends the matrix. The type is known and `cols` is a multiple of its block.
#[allow(clippy::too_many_arguments)]
pub unsafe fn pack(ty: u32, _rows: usize, cols: usize, uses: u32, src: *const u8, dst: *mut u8, first_row: usize, row_count: usize) {
    let layout = &LAYOUTS[ty as usize];
    let row_bytes = cols / layout.file_block * layout.file_bytes;
    if uses == USE_VECTOR {
        for r in 0..row_count {
            decode_row(ty, cols, src.add(r * row_bytes), (dst as *mut f32).add((first_row + r) * cols));
        }
        return;
    }
    let blocks = cols / layout.block;
    let record = layout.record();
    for start in (0..row_count).step_by(ROW_INTERLEAVE) {
        let group = dst.add((first_row + start) / ROW_INTERLEAVE * blocks * record);
        let row = |lane: usize| if start + lane < row_count { Some(src.add((start + lane) * row_bytes)) } else { None };
        if layout.family == Family::Float {
            put_floats(layout.width, cols, core::array::from_fn(row), group);
            continue;
        }
        for lane in 0..ROW_INTERLEAVE {
            for b in 0..blocks {
                put(ty, layout, row(lane), b, group.add(b * record), lane);
            }
        }
    }
}

/// Interleaves eight rows of 16- or 32-bit floats.
unsafe fn put_floats(width: usize, cols: usize, rows: [Option<*const u8>; ROW_INTERLEAVE], group: *mut u8) {
    for i in 0..cols {
        for (lane, row) in rows.into_iter().enumerate() {
            let bits = match row {
                None => 0,
                Some(row) if width == HALF_BYTES => (row as *const u16).add(i).read_unaligned() as u32,
                Some(row) => (row as *const u32).add(i).read_unaligned(),
            };
            put_bits(width, bits, group, i * ROW_INTERLEAVE + lane);
        }
    }
}

/// Writes number `i` of an array of 16- or 32-bit numbers.
#[inline(always)]
unsafe fn put_bits(width: usize, bits: u32, array: *mut u8, i: usize) {
    if width == HALF_BYTES {
        *(array as *mut u16).add(i) = bits as u16;
    } else {
        *(array as *mut u32).add(i) = bits;
    }
}

/// Writes block `b` of one row (zeros if there is none) into lane `lane` of a record.
#[inline(always)]
unsafe fn put(ty: u32, layout: &Layout, source: Option<*const u8>, b: usize, record: *mut u8, lane: usize) {
    let width = layout.width;
    let block = source.map_or(Block::ZERO, |src| decode(ty, src, b));
    put_bits(width, block.scale, record, lane);
    if layout.minimum == Minimum::Stored {
        put_bits(width, block.min, record, ROW_INTERLEAVE + lane);
    }
    let codes = record.add(layout.head());
    if layout.family == Family::Nibble {
        let at = codes.add(lane / 4 * 16 + lane % 4 * 4);
        for i in 0..16 {
            let (s, j) = (i / 4, i % 4);
            *at.add(s * 32 + j) = block.codes[8 * s + j] | block.codes[8 * s + 4 + j] << 4;
        }
    } else {
        for i in 0..layout.block {
            *codes.add(i / 2 * 16 + lane * 2 + i % 2) = block.codes[i];
        }
    }
}

/// One number of a record head as f32.
#[inline(always)]
unsafe fn head_value(at: *const u8, width: usize) -> f32 {
    if width == HALF_BYTES {
        half_to_f32((at as *const u16).read_unaligned())
    } else {
        (at as *const f32).read_unaligned()
    }
}

/// One float of a file type as f32.
#[inline(always)]
unsafe fn float_value(ty: u32, at: *const u8) -> f32 {
    match ty {
        F16 => half_to_f32((at as *const u16).read_unaligned()),
        BF16 => f32::from_bits(((at as *const u16).read_unaligned() as u32) << 16),
        _ => (at as *const f32).read_unaligned(),
    }
}

/// Value of code `code` of a block.
#[inline(always)]
fn value(layout: &Layout, code: u8, scale: f32, min: f32) -> f32 {
    let code = if layout.family == Family::Nibble { code as f32 } else { code as i8 as f32 };
    match layout.minimum {
        Minimum::None => code * scale,
        Minimum::Stored => code * scale + min,
        Minimum::Eighth => (code - 8.0) * scale,
    }
}

/// Decodes one row of the file to f32.
unsafe fn decode_row(ty: u32, cols: usize, src: *const u8, dst: *mut f32) {
    let layout = &LAYOUTS[ty as usize];
    for b in 0..cols / layout.block {
        if layout.family == Family::Float {
            *dst.add(b) = float_value(ty, src.add(b * layout.width));
            continue;
        }
        let block = decode(ty, src, b);
        let (scale, min) = if layout.width == HALF_BYTES {
            (half_to_f32(block.scale as u16), half_to_f32(block.min as u16))
        } else {
            (f32::from_bits(block.scale), f32::from_bits(block.min))
        };
        for i in 0..layout.block {
            *dst.add(b * layout.block + i) = value(layout, block.codes[i], scale, min);
        }
    }
}

/// Decodes row `row` of a packed weight to `cols` f32: the embedding of a tied matrix.
///
/// # Safety
/// `packed` was filled by `pack` with the same type, shape and uses; `row < rows`; `dst` holds `cols` f32.
pub unsafe fn embed_row(ty: u32, _rows: usize, cols: usize, uses: u32, packed: *const u8, row: usize, dst: *mut f32) {
    if uses == USE_VECTOR {
        core::ptr::copy_nonoverlapping((packed as *const f32).add(row * cols), dst, cols);
        return;
    }
    let layout = &LAYOUTS[ty as usize];
    let blocks = cols / layout.block;
    let group = packed.add(row / ROW_INTERLEAVE * blocks * layout.record());
    let lane = row % ROW_INTERLEAVE;
    for b in 0..blocks {
        let record = group.add(b * layout.record());
        if layout.family == Family::Float {
            *dst.add(b) = float_value(ty, record.add(lane * layout.width));
            continue;
        }
        let scale = head_value(record.add(lane * layout.width), layout.width);
        let min = if layout.minimum == Minimum::Stored { head_value(record.add((8 + lane) * layout.width), layout.width) } else { 0.0 };
        let codes = record.add(layout.head());
        for i in 0..layout.block {
            *dst.add(b * layout.block + i) = value(layout, code_at(layout, codes, lane, i), scale, min);
        }
    }
}

/// Code of input `i` of row `lane` in a record.
#[inline(always)]
unsafe fn code_at(layout: &Layout, codes: *const u8, lane: usize, i: usize) -> u8 {
    if layout.family == Family::Byte {
        return *codes.add(i / 2 * 16 + lane * 2 + i % 2);
    }
    let byte = *codes.add(i / 8 * 32 + lane / 4 * 16 + lane % 4 * 4 + i % 4);
    if i % 8 < 4 {
        byte & 15
    } else {
        byte >> 4
    }
}
