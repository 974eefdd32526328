//! Rows that memory sends ahead of their use. Values are read across rows, some channels at a time, in an order that processors do not foresee:
//! from memory, attention of one query took 1.6 times as long as over rows in a cache. In a straight line a processor reads ahead by itself.

use super::decode::TILE;
use super::Attend;

/// Bytes of keys and values at once: a quarter of a second-level cache of 1 MiB, half of one of 512 KiB.
const BYTES: usize = 256 * 1024;
/// Bytes of a line of a cache.
const LINE: usize = 64;

/// Rows to bring near at once: whole tiles.
pub fn rows_at_once(a: &Attend) -> usize {
    let row = a.key_codec.bytes(a.key_dim) + a.value_codec.bytes(a.value_dim);
    (BYTES / row.max(1) / TILE).max(1) * TILE
}

/// Brings rows from `slot` on near: values, then keys, which are wanted first.
pub unsafe fn read_ahead(a: &Attend, slot: usize, rows: usize) {
    for (base, bytes) in [(a.values, a.value_codec.bytes(a.value_dim)), (a.keys, a.key_codec.bytes(a.key_dim))] {
        read_lines(base.add(slot * bytes), rows * bytes);
    }
}

/// Brings the rows of these slots near, which lie apart: many are under way at once, where copies would wait for one after another.
#[inline(never)]
pub unsafe fn read_apart(a: &Attend, slots: impl Iterator<Item = usize>) {
    let sides = [(a.values, a.value_codec.bytes(a.value_dim)), (a.keys, a.key_codec.bytes(a.key_dim))];
    let words = slots.fold(0, |words, slot| {
        sides.iter().fold(words, |words, (base, bytes)| words ^ lines(base.add(slot * bytes), *bytes))
    });
    (&raw const words).read_volatile();
}

/// Reads a word of every line. They go into one number that is looked at, so that no compiler leaves them out.
#[inline(never)]
unsafe fn read_lines(from: *const u8, bytes: usize) {
    let words = lines(from, bytes);
    (&raw const words).read_volatile();
}

/// A word of every line, all in one number.
#[inline(always)]
unsafe fn lines(from: *const u8, bytes: usize) -> u32 {
    (0..bytes / LINE).fold(0, |words, i| words ^ (from.add(i * LINE) as *const u32).read_unaligned())
}
