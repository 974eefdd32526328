//! A tile of rows through scores, softmax and sums of values, for the queries of a pass, in whatever way the rows are stored.

use super::decode::{Query, Sums, Work, LANES, LINES, TILE};
use super::kept::Kept;
use super::raw::Pairs;
use super::ahead::read_apart;
use super::{cap, coded, plain, raw, Attend};
use crate::codec::Codec;
use crate::half::{Rows, F16, F32};
use crate::math::*;
use core::mem::MaybeUninit;
use core::ops::Range;

/// How rows are read.
#[derive(Clone, Copy, PartialEq)]
pub enum Form {
    F32,
    F16,
    /// Straight from codes.
    Codes,
    /// Codes whose groups do not fill vectors, or rows of some channels: a tile is decoded, then read as f32.
    Decoded,
}

impl Form {
    pub fn of(codec: Codec, dim: usize, values: bool) -> Form {
        match codec.bits {
            32 => Form::F32,
            16 => Form::F16,
            0 => Form::Decoded,
            _ if raw::fits(codec, dim, values) => Form::Codes,
            _ => Form::Decoded,
        }
    }

    /// What raw products with queries must be multiplied by, and what weights carry so that nothing is lost to tiny numbers.
    fn lift(self) -> f32 {
        if self == Form::F16 { F16::LIFT } else { 1.0 }
    }

    fn factor(self) -> f32 {
        if self == Form::F16 { F16::SCALE / F16::LIFT } else { 1.0 }
    }
}

/// Bytes of values in a tile, most of a first-level cache.
const NEAR: usize = 24576;
/// Rows of a tile at least, however wide.
const LEAST: usize = 32;

/// Scratch floats of one thread: decoded keys and values of a tile, or the queries in raw order and the pairs of a block.
pub fn floats(group: usize, key_dim: usize, value_dim: usize) -> usize {
    ((TILE + 2) * (key_dim + value_dim) + group * key_dim).next_multiple_of(LINES)
}

/// What a chunk's tiles are taken with.
pub struct Tiles<'a> {
    a: &'a Attend,
    work: Work,
    keys: Form,
    values: Form,
    /// Decoded keys, or pairs of a block of keys by raw channel.
    own_keys: *mut f32,
    own_values: *mut f32,
    /// Queries in raw order.
    raw: *mut f32,
    /// Where scores are kept.
    kept: Option<Kept>,
}

impl Tiles<'_> {
    pub unsafe fn of(a: &Attend, work: Work, own: *mut f32) -> Tiles<'_> {
        let (own_values, raw) = (own.add((TILE + 2) * a.key_dim), own.add((TILE + 2) * (a.key_dim + a.value_dim)));
        let (keys, values) = (Form::of(a.key_codec, a.key_dim, false), Form::of(a.value_codec, a.value_dim, true));
        Tiles { a, work, keys, values, own_keys: own, own_values, raw, kept: None }
    }

    /// The same with a place where scores are kept, or without.
    pub fn keeping(self, kept: Option<Kept>) -> Self {
        Tiles { kept, ..self }
    }

    /// The same over copies of rows, whose scores are not kept.
    pub fn over<'b>(&self, copies: &'b Attend) -> Tiles<'b> {
        let Tiles { work, keys, values, own_keys, own_values, raw, .. } = *self;
        Tiles { a: copies, work, keys, values, own_keys, own_values, raw, kept: None }
    }

    /// What attends.
    pub fn attend(&self) -> &Attend {
        self.a
    }

    /// Rows from `slot` on that one tile may take, [`TILE`] at most. Values are read across the rows of a tile, some channels at a time: they stay
    /// in the nearest cache meanwhile. Values stored in blocks are taken block by block.
    pub fn most(&self, slot: usize) -> usize {
        let codec = self.a.value_codec;
        match codec.block() {
            1 => (NEAR / codec.bytes(self.a.value_dim).max(1)).clamp(LEAST, TILE),
            block => block - slot % block,
        }
    }

    /// Are rows floats, so that a copy is read like the rows themselves, and is there room for one?
    pub fn are_floats(&self) -> bool {
        [self.keys, self.values].iter().all(|form| matches!(form, Form::F16 | Form::F32))
    }

    /// Copies those of the named rows of a segment that are seen behind each other; attention over the copies, and how many they are.
    pub unsafe fn gather(&self, segment: usize, named: &[u32], seen: Range<usize>) -> (Attend, usize) {
        let (keys, values) = (self.own_keys as *mut u8, self.own_values as *mut u8);
        let (key, value) = (self.a.key_codec.bytes(self.a.key_dim), self.a.value_codec.bytes(self.a.value_dim));
        let mut count = 0;
        let rows = || named.iter().map(|row| *row as usize).filter(|row| seen.contains(row));
        read_apart(self.a, rows().map(|row| segment + row));
        for row in rows() {
            copy_few(self.a.keys.add((segment + row) * key), keys.add(count * key), key);
            copy_few(self.a.values.add((segment + row) * value), values.add(count * value), value);
            count += 1;
        }
        (Attend { keys, values, ..*self.a }, count)
    }

    /// Puts the scaled query `head` where scores read it as query g of the group, and clears its sums.
    pub unsafe fn prepare(&self, head: usize, g: usize) {
        let (q, to, step) = (self.a.q.add(head * self.a.key_dim), self.work.queries.add(8 * g), 8 * self.work.group);
        match self.keys {
            Form::F16 => interleave::<F16>(q, self.a.key_dim, self.a.scale, to, step),
            Form::F32 | Form::Decoded => interleave::<F32>(q, self.a.key_dim, self.a.scale, to, step),
            Form::Codes => {
                let (codec, dim, scale) = (self.a.key_codec, self.a.key_dim, f32x4_splat(self.a.scale));
                let raw = self.raw.add(g * dim);
                raw::to_raw(codec, dim, q, raw);
                unary(raw, raw, dim, |x| f32x4_mul(x, scale));
                if !codec.channel {
                    *self.work.unit(g) = raw::prepare(codec, dim, raw, to, step, self.work.pairs(g));
                }
            }
        }
        core::slice::from_raw_parts_mut(self.work.o(g), self.work.width()).fill(0.0);
    }

    /// Takes `rows` rows from `slot` on into the states of R queries from g on.
    pub unsafe fn take<const R: usize>(&self, g: usize, slot: usize, rows: usize) {
        let mut s = MaybeUninit::<[[f32; LANES]; R]>::uninit();
        let p = s.as_mut_ptr() as *mut f32;
        self.scores::<R>(g, slot, rows, p);
        if let Some(kept) = self.kept {
            keep(kept, g..g + R, slot, rows, p);
        }
        for i in 0..R {
            let alpha = softmax(p.add(i * LANES), rows, self.a.softcap, self.keys.factor(), self.values.lift(), self.work.state(g + i));
            if alpha != 1.0 {
                let o = self.work.o(g + i);
                unary(o, o, self.work.width(), |x| f32x4_mul(x, f32x4_splat(alpha)));
            }
        }
        self.sum::<R>(g, slot, rows, p);
    }

    /// Scores of R queries from g on and `rows` rows from `slot` on, [`TILE`] of them at most, LANES apart; still without [`Tiles::factor`]. Keys
    /// stored in blocks are taken block by block.
    pub unsafe fn scores<const R: usize>(&self, g: usize, slot: usize, rows: usize, s: *mut f32) {
        let block = self.a.key_codec.block();
        let mut done = 0;
        while done < rows {
            let at = slot + done;
            let count = if block == 1 { rows } else { (block - at % block).min(rows - done) };
            self.block_scores::<R>(g, at, count, s.add(done));
            done += count;
        }
    }

    /// The same within a block.
    #[inline(never)]
    unsafe fn block_scores<const R: usize>(&self, g: usize, slot: usize, rows: usize, s: *mut f32) {
        let (codec, dim, step) = (self.a.key_codec, self.a.key_dim, 8 * self.work.group);
        let q = Query { at: self.work.queries.add(8 * g), step };
        let rows_at = self.a.keys.add(slot * codec.bytes(dim));
        match self.keys {
            Form::F32 => plain::scores::<F32, R>(q, rows_at, dim, rows, s),
            Form::F16 => plain::scores::<F16, R>(q, rows_at, dim, rows, s),
            Form::Decoded => {
                codec.read(self.a.keys, slot, rows, dim, self.own_keys);
                plain::scores::<F32, R>(q, self.own_keys as *const u8, dim, rows, s);
            }
            Form::Codes => {
                let (units, constants) = (self.work.unit(g), self.work.pairs(g));
                let [units, constants] = [units, constants].map(|at| Sums { at, step: self.work.step() });
                if !codec.channel {
                    return coded::scores::<R>(codec, q, units, constants, rows_at, dim, rows, s);
                }
                let (pairs, codes) = codec.place(self.a.keys, slot, dim);
                let pairs = raw::block_pairs(codec, pairs, dim, self.own_keys);
                let queries = Sums { at: self.raw.add(g * dim), step: dim };
                let rounded = raw::wholes::<R>(queries, pairs, dim, q.at as *mut u8, 32, 4 * step);
                for i in 0..R {
                    *units.of(i) = rounded.units[i];
                    *constants.of(i) = rounded.constant(codec, i);
                    *constants.of(i).add(1) = 0.0;
                }
                coded::scores::<R>(codec, q, units, constants, codes, dim, rows, s);
            }
        }
    }

    /// What scores must be multiplied by.
    pub fn factor(&self) -> f32 {
        self.keys.factor()
    }

    unsafe fn sum<const R: usize>(&self, g: usize, slot: usize, rows: usize, p: *mut f32) {
        let (codec, dim, step) = (self.a.value_codec, self.a.value_dim, self.work.step());
        let (o, offsets) = (Sums { at: self.work.o(g), step }, Sums { at: self.work.offsets(g), step });
        let rows_at = self.a.values.add(slot * codec.bytes(dim));
        match self.values {
            Form::F32 => plain::values::<F32, R>(p, rows_at, dim, rows, o),
            Form::F16 => plain::values::<F16, R>(p, rows_at, dim, rows, o),
            Form::Decoded => {
                codec.read(self.a.values, slot, rows, dim, self.own_values);
                plain::values::<F32, R>(p, self.own_values as *const u8, dim, rows, o);
            }
            Form::Codes if codec.channel => {
                let (pairs, codes) = codec.place(self.a.values, slot, dim);
                let block = raw::block_pairs(codec, pairs, dim, self.own_values);
                coded::values::<R>(codec, p, codes, dim, rows, o, offsets, block);
            }
            Form::Codes => coded::values::<R>(codec, p, rows_at, dim, rows, o, offsets, Pairs::at(self.own_values, 0)),
        }
    }
}

/// Copies the scores of some queries, LANES apart, to where they are kept.
unsafe fn keep(kept: Kept, queries: Range<usize>, slot: usize, rows: usize, scores: *const f32) {
    for (i, g) in queries.enumerate() {
        copy_few(scores.add(i * LANES) as *const u8, kept.at(g, slot) as *mut u8, 4 * rows);
    }
}

/// The query in the raw order of rows K, eight channels every `step` floats.
unsafe fn interleave<K: Rows>(q: *const f32, dim: usize, scale: f32, to: *mut f32, step: usize) {
    let factor = f32x4_splat(scale * K::LIFT);
    for i in 0..dim / 8 {
        let (x, y) = K::to_raw(load(q.add(8 * i)), load(q.add(8 * i + 4)));
        store(to.add(i * step), f32x4_mul(x, factor));
        store(to.add(i * step + 4), f32x4_mul(y, factor));
    }
    for d in 0..dim % 8 {
        *to.add(dim / 8 * step + d) = *q.add(dim / 8 * 8 + d) * (scale * K::LIFT);
    }
}

/// Turns raw scores into exponentials times `lift` in place, moves top and l of the state; what o must be multiplied by. Behind the last row
/// zeros fill up the eight.
#[inline(never)]
unsafe fn softmax(p: *mut f32, rows: usize, softcap: f32, factor: f32, lift: f32, state: *mut f32) -> f32 {
    let whole = rows.next_multiple_of(8);
    for t in rows..whole {
        *p.add(t) = *p.add(rows - 1);
    }
    let factor = f32x4_splat(factor);
    let mut most = splat(state);
    for t in (0..rows).step_by(4) {
        let x = cap(f32x4_mul(load(p.add(t)), factor), softcap);
        store(p.add(t), x);
        most = f32x4_pmax(most, x);
    }
    let top = max(most);
    let alpha = f32x4_extract_lane::<0>(exp_negative(f32x4_splat(*state - top)));
    for t in rows..whole {
        *p.add(t) = 2.0 * SENTINEL;
    }
    let l = exponentials(p, whole / 4, top, lift);
    *state = top;
    *state.add(1) = *state.add(1) * alpha + l;
    alpha
}

/// Brings o out of its raw order, with what offsets add; where it then lies, and what it still lacks. `spare` may be written to.
pub unsafe fn finish(a: &Attend, o: *mut f32, offsets: *const f32, spare: *mut f32) -> (*const f32, f32) {
    let (codec, dim) = (a.value_codec, a.value_dim);
    let form = Form::of(codec, dim, true);
    if form == Form::F16 {
        for d in (0..dim & !7).step_by(8) {
            let (lo, hi) = F16::from_raw(load(o.add(d)), load(o.add(d + 4)));
            store(o.add(d), lo);
            store(o.add(d + 4), hi);
        }
    }
    if form != Form::Codes {
        return (o, form.factor());
    }
    raw::from_raw(codec, dim, o, spare);
    let group = dim / raw::groups(codec, dim);
    for c in (0..dim).step_by(4) {
        store(spare.add(c), f32x4_add(load(spare.add(c)), splat(offsets.add(c / group))));
    }
    (spare, 1.0)
}
