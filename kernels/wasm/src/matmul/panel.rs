//! Tiles of rows times nibble weights in the relaxed build: a group of weights is unpacked once per chunk of inputs, then meets many rows.
//!
//! A panel is a run of records, one per 32 inputs: `[8 scales][8 minima]` in f32, then bytes: `(2 * s + half) * 16 + 4 * r + j` is input
//! `4 s + j` of row `4 * half + r`.

use super::activations::{Format, BLOCK, TILE};
use super::dots::{add_bytes, add_part, format_of};
use super::lanes::{constants, load, load_pair, words, Constants};
use super::quantised::{add_block, heads};
use super::tile::{seed, store};
use super::MatmulArgs;
use crate::pack::{Family, Minimum, LAYOUTS, ROW_INTERLEAVE};
use core::arch::wasm32::*;

/// Blocks per chunk: a panel is 15 KiB, half of a first-level cache.
const CHUNK: usize = 48;
/// Rows of x from which unpacking pays.
pub const MIN_ROWS: usize = 4 * TILE;
/// Bytes of scales and minima in a record.
const HEAD: usize = 2 * ROW_INTERLEAVE * 4;
/// Bytes of a panel record.
const RECORD: usize = HEAD + BLOCK * ROW_INTERLEAVE;
/// Bytes of one thread's panel.
pub const PANEL_BYTES: usize = CHUNK * RECORD;

/// Offset of the first panel in scratch, after the activations.
pub const fn panels_at(m: usize, k: usize, format: Format) -> usize {
    m.saturating_mul(k / BLOCK).saturating_mul(format.record()).saturating_add(63) & !63
}

/// Unpacks `blocks` records.
#[inline(never)]
unsafe fn unpack<const TY: usize>(from: *const u8, panel: *mut u8, blocks: usize) {
    let layout = const { LAYOUTS[TY] };
    let c = constants();
    for b in 0..blocks {
        let record = from.add(b * layout.record());
        let to = panel.add(b * RECORD);
        for (i, v) in heads::<TY>(record, &c).into_iter().flatten().enumerate() {
            v128_store(to.add(16 * i) as *mut v128, v);
        }
        for i in 0..BLOCK / 4 {
            let bytes = load(record.add(layout.head() + 16 * i));
            let at = to.add(HEAD + i / 2 * 64 + i % 2 * 16);
            v128_store(at as *mut v128, v128_and(bytes, c.nibble));
            v128_store(at.add(32) as *mut v128, v128_and(u16x8_shr(bytes, 4), c.nibble));
        }
    }
}

/// TILE rows of x from row m, blocks `from..from + blocks`, times a panel.
#[inline(always)]
unsafe fn tile<const PARTS: usize>(args: &MatmulArgs, panel: *const u8, m: usize, n: usize, from: usize, blocks: usize, c: &Constants) {
    let record = const { format_of(Family::Nibble, PARTS).record() };
    let mut x: *const u8 = args.scratch.add((m * (args.k / BLOCK) + from * TILE) * record);
    let mut w = panel;
    let mut sums = seed::<TILE>(args, m, n, from == 0);
    for _ in 0..blocks {
        let mut dots = [[i32x4_splat(0); 2]; TILE];
        // One byte after the other: sums of both at once would not fit the registers.
        for (part, counts) in c.parts.into_iter().take(PARTS).enumerate() {
            let codes = x.add(part * BLOCK * TILE);
            let mut sums = [[i16x8_splat(0); 2]; TILE];
            let mut at = 0;
            while at < BLOCK * TILE {
                add_bytes(&mut sums, load_pair(w.add(HEAD + 2 * at)), &words::<TILE>(codes.add(at)));
                at += c.step;
            }
            add_part(&mut dots, &sums, counts);
        }
        let heads = [load_pair(w), load_pair(w.add(32))];
        add_block(&mut sums, dots, heads, x.add(PARTS * BLOCK * TILE), Minimum::Stored);
        x = x.add(TILE * record);
        w = w.add(RECORD);
    }
    store(args, m, n, &sums);
}

/// Rows `from..to` of x, whole tiles, times the group of weights that gives outputs from n.
pub unsafe fn multiply<const TY: usize, const PARTS: usize>(args: &MatmulArgs, from: usize, to: usize, n: usize, thread: usize) {
    let layout = const { LAYOUTS[TY] };
    let panel = args.scratch.add(panels_at(args.m, args.k, const { format_of(Family::Nibble, PARTS) }) + thread * PANEL_BYTES);
    let all = args.k / BLOCK;
    let weights = args.w.add(n / ROW_INTERLEAVE * all * layout.record());
    for chunk in (0..all).step_by(CHUNK) {
        let blocks = CHUNK.min(all - chunk);
        unpack::<TY>(weights.add(chunk * layout.record()), panel, blocks);
        tiles::<PARTS>(args, panel, from, to, n, chunk, blocks);
    }
}

/// Rows `from..to` of x times one chunk.
#[inline(never)]
unsafe fn tiles<const PARTS: usize>(args: &MatmulArgs, panel: *const u8, from: usize, to: usize, n: usize, chunk: usize, blocks: usize) {
    let c = constants();
    for m in (from..to).step_by(TILE) {
        tile::<PARTS>(args, panel, m, n, chunk, blocks, &c);
    }
}
