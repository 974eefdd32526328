//! Attention mass per row of one query: rows are scored in tiles as [`super::decode`] does, straight from codes where they are codes, unless the
//! attention to them has kept its scores.

use super::decode::{Work, LANES};
use super::kept;
use super::reduce::{settle, LEAST};
use super::tile::{self, Tiles};
use super::{cap, visible, Attend};
use crate::layout::{segment, Segment};
use crate::math::*;
use crate::passes;
use crate::program::Instr;
use crate::team::{Team, PASS};

/// Rows per work item, whole blocks of rows that are stored together.
const ROWS: usize = 256;

/// Floats of a thread: the queries, scratch of tiles, and for every query head of a group a tile of masses.
pub fn floats(group: usize, dim: usize) -> usize {
    Work::floats(group, dim, 0) + tile::floats(group, dim, 0) + group.next_multiple_of(PASS) * LANES
}

/// Operands and parameters as in [`super::reduce::run`].
pub unsafe fn run(instr: &Instr, team: &Team) {
    let a = Attend::scoring(instr);
    let longest = (0..a.kv_heads).map(|h| segment(instr, 3, h).rows()).max().unwrap_or(0);
    let own = a.scratch.add(team.thread * floats(a.group, a.key_dim));
    team.each(longest.div_ceil(ROWS) * a.kv_heads, |item| {
        let (h, first) = (item % a.kv_heads, item / a.kv_heads * ROWS);
        let s = segment(instr, 3, h);
        if first < s.rows() {
            rows(instr, &a, &s, h, first, s.rows().min(first + ROWS), own);
        }
    });
}

/// Rows [first, last) of head h.
unsafe fn rows(instr: &Instr, a: &Attend, s: &Segment, h: usize, first: usize, last: usize, own: *mut f32) {
    let (from, to) = visible(a.position, s, *a.query_position, a.window);
    let work = Work::at(a, own);
    let tiles = Tiles::of(a, work, own.add(Work::floats(a.group, a.key_dim, 0)));
    let masses = own.add(Work::floats(a.group, a.key_dim, 0) + tile::floats(a.group, a.key_dim, 0));
    let kept = kept::taken(instr, 3, h);
    if kept.is_none() {
        (0..a.group).for_each(|g| tiles.prepare(h * a.group + g, g));
    }
    let mut t = first;
    while t < last {
        let slot = s.from() + t;
        let rows = tiles.most(slot).min(last - t);
        if kept.is_none() {
            passes!(a.group, g, R => tiles.scores::<R>(g, slot, rows, masses.add(g * LANES)));
        }
        for g in 0..a.group {
            let to = masses.add(g * LANES);
            weigh(instr, a, h * a.group + g, kept.map_or(to, |kept| kept.at(g, slot)), to, rows, tiles.factor());
        }
        let (start, end) = (from.clamp(t, t + rows) - t, to.clamp(t, t + rows) - t);
        if (start, end) == (0, rows) && !instr.has(8) {
            settle_all(instr, a.group, masses, slot, rows);
        } else {
            let seen = |i: usize| start <= i && i < end;
            (0..rows).for_each(|i| settle(instr, a.group, slot + i, |g| if seen(i) { unsafe { *masses.add(g * LANES + i) } } else { 0.0 }));
        }
        t += rows;
    }
}

/// From raw scores exp(score - lse), divided where there is a divisor; nothing where the softmax was empty.
unsafe fn weigh(instr: &Instr, a: &Attend, head: usize, scores: *const f32, to: *mut f32, rows: usize, factor: f32) {
    let lse = *instr.ptr::<f32>(5).add(head);
    if lse == SENTINEL {
        return core::slice::from_raw_parts_mut(to, rows).fill(0.0);
    }
    let shift = if instr.has(7) { lse + ln((*instr.ptr::<f32>(7)).max(LEAST)) } else { lse };
    let (factor, most) = (f32x4_splat(factor), f32x4_splat(shift + 88.0));
    for t in (0..rows).step_by(4) {
        store(to.add(t), f32x4_pmin(most, cap(f32x4_mul(load(scores.add(t)), factor), a.softcap)));
    }
    exponentials(to, rows.div_ceil(4), shift, 1.0);
}

/// Writes what the query heads of a group have gathered for rows that are all seen, without gains.
unsafe fn settle_all(instr: &Instr, group: usize, masses: *const f32, slot: usize, rows: usize) {
    let (out, accumulate, by) = (instr.ptr::<f32>(6).add(slot), instr.u(10) != 0, instr.u(9));
    let share = f32x4_splat(if by == 1 { 1.0 / group as f32 } else { 1.0 });
    for t in (0..rows).step_by(4) {
        let four = |g: usize| load(masses.add(g * LANES + t));
        let mass = (1..group).fold(four(0), |mass, g| if by == 2 { f32x4_pmax(mass, four(g)) } else { f32x4_add(mass, four(g)) });
        let mass = f32x4_mul(mass, share);
        if t + 4 <= rows {
            store(out.add(t), if accumulate { f32x4_add(load(out.add(t)), mass) } else { mass });
            continue;
        }
        let mut last = [0f32; 4];
        store(last.as_mut_ptr(), mass);
        for i in t..rows {
            *out.add(i) = if accumulate { *out.add(i) + last[i - t] } else { last[i - t] };
        }
    }
}
