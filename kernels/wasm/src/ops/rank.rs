//! Which rows stay: rank by count, threshold by value. Exact selection: scores become u32 keys in the same order, a radix walk of
//! four bytes finds the smallest key that stays and how many ties of it.

use crate::layout::{segment, Segment};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// The key of a row that stays whatever others score: above all scores, so marked rows are simply the best.
const MARK: u32 = u32::MAX;

/// One head's rows. Their keys lie in the `keep` operand until the indices replace them.
#[derive(Clone, Copy)]
struct Head {
    score: *const f32,
    position: *const u32,
    keys: *mut u32,
    rows: usize,
    sinks: u64,
    recent: u64,
    newest: u64,
}

/// Order of scores as u32, below [`MARK`]: NaN is 0, below -inf; -0 equals 0.
#[inline(always)]
fn keys(score: v128) -> v128 {
    let bits = f32x4_add(score, f32x4_splat(0.0));
    let keys = v128_xor(bits, v128_or(i32x4_shr(bits, 31), u32x4_splat(0x8000_0000)));
    v128_and(keys, f32x4_eq(score, score))
}

/// The same of one score.
#[inline(always)]
fn key(score: f32) -> u32 {
    u32x4_extract_lane::<0>(keys(f32x4_splat(score)))
}

impl Head {
    /// Operands score, position, layout, newest, keep; parameters from `first`: sinks, recent.
    unsafe fn of(instr: &Instr, h: usize, first: usize) -> Head {
        let s: Segment = segment(instr, 2, h);
        Head {
            score: instr.ptr::<f32>(0).add(s.from()),
            position: instr.ptr::<u32>(1).add(s.from()),
            keys: instr.ptr::<u32>(4).add(s.from()),
            rows: s.rows(),
            sinks: instr.u(first) as u64,
            recent: instr.u(first + 1) as u64,
            newest: *instr.ptr::<u32>(3) as u64,
        }
    }

    /// Writes keys, [`MARK`] for protected rows and those with a score of at least `value` (NaN: none); how many are marked.
    unsafe fn mark(&self, value: f32) -> usize {
        // Position + recent > newest, without overflow; everything is recent where more are than there have been.
        let (all, newest) = if self.recent > self.newest { (true, 0) } else { (false, (self.newest - self.recent) as u32) };
        let (sinks, newest) = (u32x4_splat(self.sinks as u32), u32x4_splat(newest));
        let (all, value) = (u32x4_splat(if all { u32::MAX } else { 0 }), f32x4_splat(value));
        let four = |p: v128, score: v128| {
            let stays = v128_or(v128_or(u32x4_lt(p, sinks), u32x4_gt(p, newest)), v128_or(f32x4_ge(score, value), all));
            (v128_or(keys(score), stays), stays)
        };
        let whole = self.rows & !3;
        let mut marked = i32x4_splat(0);
        for i in (0..whole).step_by(4) {
            let (keys, stays) = four(v128_load(self.position.add(i) as *const v128), load(self.score.add(i)));
            v128_store(self.keys.add(i) as *mut v128, keys);
            marked = i32x4_sub(marked, stays);
        }
        for i in whole..self.rows {
            let (keys, stays) = four(u32x4_splat(*self.position.add(i)), splat(self.score.add(i)));
            *self.keys.add(i) = u32x4_extract_lane::<0>(keys);
            marked = i32x4_sub(marked, v128_and(stays, i32x4(-1, 0, 0, 0)));
        }
        whole_sum(marked) as usize
    }

    /// Marks the best rows until `count` are marked, `marked` of which are already; how many are in the end.
    unsafe fn fill(&self, marked: usize, count: usize) -> usize {
        let wanted = count.min(self.rows).max(marked);
        let mut cut = Cut::of(core::iter::once(*self), wanted);
        for i in 0..self.rows {
            if cut.keeps(*self.keys.add(i)) {
                *self.keys.add(i) = MARK;
            }
        }
        wanted
    }

    /// Replaces keys by the ascending indices of the rows that a cut keeps: an index never lands behind a key still to be read.
    unsafe fn collect(&self, cut: &mut Cut) -> u32 {
        let mut kept = 0;
        for i in 0..self.rows {
            let stays = cut.keeps(*self.keys.add(i));
            *self.keys.add(kept) = i as u32;
            kept += stays as usize;
        }
        kept as u32
    }
}

/// The smallest key that stays, and how many rows of that very key.
#[derive(Clone)]
struct Cut {
    key: u32,
    ties: usize,
}

impl Cut {
    /// Where to cut so that `wanted` rows stay; there are at least that many.
    unsafe fn of(heads: impl Iterator<Item = Head> + Clone, wanted: usize) -> Cut {
        let (mut prefix, mut ties) = (0u32, wanted);
        if wanted == 0 {
            return Cut { key: MARK, ties: 0 };
        }
        // While decoding a row or two leave at a time: where no more leave than have the least key, that is where to cut.
        let (rows, least, times) = heads.clone().fold((0, MARK, 0), |(rows, least, times), head| {
            let (own, count) = least_word(head.keys, head.rows);
            (rows + head.rows, least.min(own), count * (own <= least) as usize + times * (least <= own) as usize)
        });
        if rows <= wanted + times {
            return Cut { key: least, ties: times + wanted - rows };
        }
        for shift in [24u32, 16, 8, 0] {
            let mut histogram = [0u32; 256];
            for head in heads.clone() {
                for i in 0..head.rows {
                    let key = *head.keys.add(i);
                    // No branch: whether a key has the prefix cannot be predicted.
                    let known = ((key ^ prefix) as u64) >> (shift + 8) == 0;
                    histogram[(key >> shift & 255) as usize] += known as u32;
                }
            }
            let mut digit = 255;
            while digit > 0 && (histogram[digit] as usize) < ties {
                ties -= histogram[digit] as usize;
                digit -= 1;
            }
            prefix |= (digit as u32) << shift;
        }
        Cut { key: prefix, ties }
    }

    /// Does a row of this key stay? Ties are used up in the order of calls.
    #[inline(always)]
    fn keeps(&mut self, key: u32) -> bool {
        let tie = key == self.key && self.ties > 0;
        self.ties -= tie as usize;
        tie || key > self.key
    }
}

/// A cut that keeps marked rows and no others.
const MARKED: Cut = Cut { key: MARK - 1, ties: 0 };

/// Operands score, position, layout, newest, keep, counts; parameters heads, mode, count, floor, sinks, recent.
pub unsafe fn rank(instr: &Instr, team: &Team) {
    let (heads, count) = (instr.u(0), instr.u(2));
    if instr.u(1) == 1 {
        return if team.thread == 0 { pooled(instr) };
    }
    team.each(heads, |h| {
        let head = Head::of(instr, h, 4);
        let wanted = head.mark(f32::NAN).max(count.min(head.rows));
        let mut cut = Cut::of(core::iter::once(head), wanted);
        *instr.ptr::<u32>(5).add(h) = head.collect(&mut cut);
    });
}

/// All heads compete for heads * count rows, after each has its floor.
unsafe fn pooled(instr: &Instr) {
    let (heads, floor) = (instr.u(0), instr.u(3));
    let all = (0..heads).map(|h| Head::of(instr, h, 4));
    let (mut safe, mut rows) = (0, 0);
    for head in all.clone() {
        safe += head.fill(head.mark(f32::NAN), floor);
        rows += head.rows;
    }
    let budget = (heads as u64 * instr.u(2) as u64).min(rows as u64) as usize;
    let mut cut = Cut::of(all.clone(), budget.max(safe));
    for (h, head) in all.enumerate() {
        *instr.ptr::<u32>(5).add(h) = head.collect(&mut cut);
    }
}

/// Operands as rank; parameters heads, value, floor, sinks, recent.
pub unsafe fn threshold(instr: &Instr, team: &Team) {
    let (value, floor) = (instr.f(1), instr.u(2));
    team.each(instr.u(0), |h| {
        let head = Head::of(instr, h, 3);
        let passing = head.mark(value);
        if passing < floor.min(head.rows) {
            head.fill(head.mark(f32::NAN), floor);
        }
        *instr.ptr::<u32>(5).add(h) = head.collect(&mut MARKED.clone());
    });
}

/// Operands score, position, layout, newest, tail; parameters heads, value, sinks, recent.
pub unsafe fn leaving(instr: &Instr, team: &Team) {
    let (value, sinks, recent) = (instr.f(1), instr.u(2) as u64, instr.u(3) as u64);
    let newest = *instr.ptr::<u32>(3) as u64;
    team.each(instr.u(0), |h| {
        let s: Segment = segment(instr, 2, h);
        let position = core::slice::from_raw_parts(instr.ptr::<u32>(1).add(s.from()), s.rows());
        // Positions ascend, so protected rows are a beginning and an end.
        let from = position.partition_point(|p| (*p as u64) < sinks);
        let to = position.partition_point(|p| *p as u64 + recent <= newest).max(from);
        let score = instr.ptr::<f32>(0).add(s.from());
        let found = failing(score, from, to, value);
        let first = if found < to { found } else { s.rows() } as u32;
        *instr.ptr::<Segment>(4).add(h) = Segment { start: s.start + first, length: s.length - first, capacity: s.capacity - first };
    });
}

/// The first of score[from..to] that is not at least `value`, or `to`.
unsafe fn failing(score: *const f32, from: usize, to: usize, value: f32) -> usize {
    let least = f32x4_splat(value);
    let mut i = from;
    while i + 4 <= to && i32x4_all_true(f32x4_ge(load(score.add(i)), least)) {
        i += 4;
    }
    while i < to && *score.add(i) >= value {
        i += 1;
    }
    i
}

/// Operands score, position, layout, newest, keep, counts, leave, leaving; parameters heads, value, sinks, recent, group.
pub unsafe fn split(instr: &Instr, team: &Team) {
    let (value, group) = (instr.f(1), instr.u(4).max(1));
    team.each(instr.u(0), |h| {
        let head = Head::of(instr, h, 2);
        let leave = instr.ptr::<u32>(6).add(segment(instr, 2, h).from());
        let wanted = head.rows - head.mark(value);
        let leaving = wanted - wanted % group;
        let (mut gone, mut kept) = (0, 0);
        for i in 0..head.rows {
            if *head.keys.add(i) != MARK && gone < leaving {
                *leave.add(gone) = i as u32;
                gone += 1;
            } else {
                *head.keys.add(kept) = i as u32;
                kept += 1;
            }
        }
        *instr.ptr::<u32>(5).add(h) = kept as u32;
        *instr.ptr::<u32>(7).add(h) = leaving as u32;
    });
}
/// Operands score, then, position, layout, out; parameters heads, count. Keys lie in `out` until the numbers replace them.
pub unsafe fn promote(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let s = segment(instr, 3, h);
        let (score, then) = (instr.ptr::<f32>(0).add(s.from()), instr.ptr::<f32>(1).add(s.from()));
        let out = instr.ptr::<f32>(4).add(s.from());
        let mut best = Best::of(s.rows(), out as *mut u32, instr.u(1), |i| Some(*score.add(i)));
        for i in 0..s.rows() {
            *out.add(i) = if best.has(i) { f32::INFINITY } else { *then.add(i) };
        }
    });
}

/// The best rows of a head, asked for one after the other.
pub(super) struct Best {
    keys: *mut u32,
    cut: Cut,
}

impl Best {
    /// The `count` best of those rows that have a score; keys are written to `keys`.
    pub(super) unsafe fn of(rows: usize, keys: *mut u32, count: usize, score: impl Fn(usize) -> Option<f32>) -> Best {
        let mut scored = 0;
        for i in 0..rows {
            // NaN has the key 0; one more leaves 0 to rows that do not take part.
            *keys.add(i) = score(i).map_or(0, |s| key(s) + 1);
            scored += score(i).is_some() as usize;
        }
        let none = core::ptr::null();
        let head = Head { score: none, position: none as *const u32, keys, rows, sinks: 0, recent: 0, newest: 0 };
        Best { keys, cut: Cut::of(core::iter::once(head), count.min(scored)) }
    }

    /// Is row i among them? Rows in ascending order, each once; its key may be overwritten afterwards.
    pub(super) unsafe fn has(&mut self, i: usize) -> bool {
        self.cut.keeps(*self.keys.add(i))
    }
}
