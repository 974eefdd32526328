//! Which rows stay: rank by count, threshold by value. Exact selection: scores become u32 keys in the same order, a radix walk of
//! four bytes finds the smallest key that stays and how many ties of it.

use crate::layout::{segment, Segment};
use crate::program::Instr;
use crate::team::Team;

/// One head's rows and the marks of those that stay, in the `keep` operand until the end.
struct Head {
    score: *const f32,
    position: *const u32,
    keep: *mut u32,
    rows: usize,
    sinks: u64,
    recent: u64,
    newest: u64,
}

/// Order of scores as u32: NaN is 0, below -inf; -0 equals 0.
#[inline(always)]
fn key(score: f32) -> u32 {
    if score.is_nan() {
        return 0;
    }
    let bits = (score + 0.0).to_bits();
    if bits >> 31 != 0 { !bits } else { bits | 0x8000_0000 }
}

impl Head {
    /// Operands score, position, layout, newest, keep; parameters from `first`: sinks, recent.
    unsafe fn of(instr: &Instr, h: usize, first: usize) -> Head {
        let s: Segment = segment(instr, 2, h);
        Head {
            score: instr.ptr::<f32>(0).add(s.from()),
            position: instr.ptr::<u32>(1).add(s.from()),
            keep: instr.ptr::<u32>(4).add(s.from()),
            rows: s.rows(),
            sinks: instr.u(first) as u64,
            recent: instr.u(first + 1) as u64,
            newest: *instr.ptr::<u32>(3) as u64,
        }
    }

    unsafe fn key(&self, i: usize) -> u32 {
        key(*self.score.add(i))
    }

    unsafe fn is_marked(&self, i: usize) -> bool {
        *self.keep.add(i) != 0
    }

    /// Marks protected rows and those that `also` names, unmarks all others; how many are marked.
    unsafe fn mark(&self, also: impl Fn(f32) -> bool) -> usize {
        let mut marked = 0;
        for i in 0..self.rows {
            let p = *self.position.add(i) as u64;
            let stays = p < self.sinks || p + self.recent > self.newest || also(*self.score.add(i));
            *self.keep.add(i) = stays as u32;
            marked += stays as usize;
        }
        marked
    }

    /// Marks the best unmarked rows until `count` are marked; `marked` of them are already. How many are marked in the end.
    unsafe fn fill(&self, marked: usize, count: usize) -> usize {
        let wanted = count.min(self.rows).saturating_sub(marked);
        Cut::of(core::iter::once(self), wanted).mark(self);
        marked + wanted
    }

    /// Turns marks into ascending indices, in place: an index is never written behind a mark still to be read.
    unsafe fn collect(&self) -> u32 {
        let mut kept = 0;
        for i in 0..self.rows {
            if self.is_marked(i) {
                *self.keep.add(kept) = i as u32;
                kept += 1;
            }
        }
        kept as u32
    }
}

/// The smallest key that stays, and how many rows with that very key.
struct Cut {
    key: u32,
    ties: usize,
    none: bool,
}

impl Cut {
    /// Where to cut so that `wanted` of the unmarked rows stay; there are at least that many.
    unsafe fn of<H: core::borrow::Borrow<Head>>(heads: impl Iterator<Item = H> + Clone, wanted: usize) -> Cut {
        let (mut prefix, mut ties) = (0u32, wanted);
        if wanted == 0 {
            return Cut { key: 0, ties: 0, none: true };
        }
        for shift in [24u32, 16, 8, 0] {
            let known = u64::MAX << (shift + 8);
            let mut histogram = [0usize; 256];
            for head in heads.clone() {
                let head = head.borrow();
                for i in 0..head.rows {
                    let key = head.key(i);
                    if !head.is_marked(i) && (key ^ prefix) as u64 & known == 0 {
                        histogram[(key >> shift & 255) as usize] += 1;
                    }
                }
            }
            let mut digit = 255;
            while digit > 0 && histogram[digit] < ties {
                ties -= histogram[digit];
                digit -= 1;
            }
            prefix |= (digit as u32) << shift;
        }
        Cut { key: prefix, ties, none: false }
    }

    /// Marks the rows of a head that stay. Ties are used up in the order of calls and of rows.
    unsafe fn mark(&mut self, head: &Head) {
        for i in 0..head.rows {
            if self.none || head.is_marked(i) {
                continue;
            }
            let key = head.key(i);
            let tie = key == self.key && self.ties > 0;
            self.ties -= tie as usize;
            *head.keep.add(i) = (tie || key > self.key) as u32;
        }
    }
}

/// Operands score, position, layout, newest, keep, counts; parameters heads, mode, count, floor, sinks, recent.
pub unsafe fn rank(instr: &Instr, team: &Team) {
    let (heads, count) = (instr.u(0), instr.u(2));
    if instr.u(1) == 1 {
        return if team.thread == 0 { pooled(instr) };
    }
    team.each(heads, |h| {
        let head = Head::of(instr, h, 4);
        head.fill(head.mark(|_| false), count);
        *instr.ptr::<u32>(5).add(h) = head.collect();
    });
}

/// All heads compete for heads * count rows, after each has its floor.
unsafe fn pooled(instr: &Instr) {
    let (heads, floor) = (instr.u(0), instr.u(3));
    let all = (0..heads).map(|h| Head::of(instr, h, 4));
    let (mut safe, mut rows) = (0, 0);
    for head in all.clone() {
        safe += head.fill(head.mark(|_| false), floor);
        rows += head.rows;
    }
    let budget = (heads as u64 * instr.u(2) as u64).min(rows as u64) as usize;
    let mut cut = Cut::of(all.clone(), budget.saturating_sub(safe));
    for (h, head) in all.enumerate() {
        cut.mark(&head);
        *instr.ptr::<u32>(5).add(h) = head.collect();
    }
}

/// Operands as rank; parameters heads, value, floor, sinks, recent.
pub unsafe fn threshold(instr: &Instr, team: &Team) {
    let (value, floor) = (instr.f(1), instr.u(2));
    team.each(instr.u(0), |h| {
        let head = Head::of(instr, h, 3);
        let passing = head.mark(|score| score >= value);
        if passing < floor.min(head.rows) {
            head.fill(head.mark(|_| false), floor);
        }
        *instr.ptr::<u32>(5).add(h) = head.collect();
    });
}
