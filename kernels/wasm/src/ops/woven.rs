//! Two tiers as one list of rows, and rows that pass between them one at a time: weave, weaveRows, unweave, insertRows, queriesSeen, demote.

use crate::codec::Codec;
use crate::layout::{blocks_inside, first, inside, names_rows, row_bytes, segment, Segment, BAD_COUNT, OUTSIDE};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;
use super::columns;
use core::ptr::{copy, copy_nonoverlapping};

/// Rows per work item of `weaveRows`.
const ROWS: usize = 32;
/// Most bytes of a row: 1024 channels of f32.
const MOST: usize = 4096;

/// Operands firstPosition, firstLayout, secondPosition, secondLayout, order, wovenLayout; parameter heads.
pub unsafe fn weave(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let (a, b) = (segment(instr, 1, h), segment(instr, 3, h));
        let (p, q) = (instr.ptr::<u32>(0).add(a.from()), instr.ptr::<u32>(2).add(b.from()));
        let order = instr.ptr::<u32>(4).add(a.from() + b.from());
        let (mut i, mut j) = (0, 0);
        while i < a.rows() || j < b.rows() {
            let first = j >= b.rows() || (i < a.rows() && *p.add(i) <= *q.add(j));
            *order.add(i + j) = if first { 2 * i } else { 2 * j + 1 } as u32;
            if first { i += 1 } else { j += 1 }
        }
        let (start, length) = (a.start + b.start, a.length + b.length);
        *instr.ptr::<Segment>(5).add(h) = Segment { start, length, capacity: a.capacity + b.capacity };
    });
}

/// Operands first, firstLayout, second, secondLayout, order, wovenLayout, out; parameters heads, dim, firstCodec, secondCodec, wovenCodec.
pub unsafe fn weave_rows(instr: &Instr, team: &Team) {
    let (heads, dim, to) = (instr.u(0), instr.u(1), Codec::of(instr.u(4)));
    let codecs = [Codec::of(instr.u(2)), Codec::of(instr.u(3))];
    let blocks = (0..heads).map(|h| segment(instr, 5, h).rows()).max().unwrap_or(0).div_ceil(ROWS);
    let mut numbers = [0f32; MOST / 4];
    team.each(heads * blocks, |item| {
        let (h, from) = (item / blocks, item % blocks * ROWS);
        let (woven, tiers) = (segment(instr, 5, h), [segment(instr, 1, h), segment(instr, 3, h)]);
        for i in from..woven.rows().min(from + ROWS) {
            let code = *instr.ptr::<u32>(4).add(woven.from() + i) as usize;
            let (codec, rows, slot) = (codecs[code & 1], instr.ptr::<u8>((code & 1) * 2), tiers[code & 1].from() + (code >> 1));
            if codec == to {
                to.copy(rows, slot, instr.ptr(6), woven.from() + i, dim);
            } else {
                codec.read(rows, slot, 1, dim, numbers.as_mut_ptr());
                to.write(numbers.as_ptr(), 1, dim, instr.ptr(6), woven.from() + i);
            }
        }
    });
}

/// Operands keep, counts, order, wovenLayout, firstLayout, secondLayout, firstKeep, firstCounts, secondKeep, secondCounts; parameter heads.
pub unsafe fn unweave(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let (woven, tiers) = (segment(instr, 3, h), [segment(instr, 4, h), segment(instr, 5, h)]);
        let (keep, order) = (instr.ptr::<u32>(0).add(woven.from()), instr.ptr::<u32>(2).add(woven.from()));
        let mut counts = [0; 2];
        for i in 0..*instr.ptr::<u32>(1).add(h) as usize {
            let code = *order.add(*keep.add(i) as usize);
            let (tier, kept) = ((code & 1) as usize, &mut counts[(code & 1) as usize]);
            if *kept < tiers[tier].rows() {
                *instr.ptr::<u32>(6 + 2 * tier).add(tiers[tier].from() + *kept) = code >> 1;
                *kept += 1;
            }
        }
        *instr.ptr::<u32>(7).add(h) = counts[0] as u32;
        *instr.ptr::<u32>(9).add(h) = counts[1] as u32;
    });
}

/// Operands position, counts, layout, rows; parameters heads, rowBytes. Where rows are the positions themselves, those before an arrival
/// have their places already.
pub unsafe fn insert_rows(instr: &Instr, team: &Team) {
    let bytes = instr.u(1);
    let itself = instr.ptr::<u8>(0) == instr.ptr::<u8>(3);
    team.each(instr.u(0), |h| {
        let (s, count) = (segment(instr, 2, h), *instr.ptr::<u32>(1).add(h) as usize);
        let (position, rows) = (instr.ptr::<u32>(0).add(s.from()), instr.ptr::<u8>(3).add(s.from() * bytes));
        let old = s.rows() - count;
        for a in 0..count {
            let sorted = core::slice::from_raw_parts(position, if itself { old + a } else { old });
            let own = *position.add(old + a);
            let place = sorted.partition_point(|p| *p <= own) + if itself { 0 } else { a };
            rotate(rows, place, old + a, bytes);
        }
    });
}

/// Row `from` moves to place `to`, those from there on move up; a part of the bytes at a time.
unsafe fn rotate(rows: *mut u8, to: usize, from: usize, bytes: usize) {
    if to >= from {
        return;
    }
    let mut held = [0u8; MOST];
    copy_nonoverlapping(rows.add(from * bytes), held.as_mut_ptr(), bytes);
    copy(rows.add(to * bytes), rows.add((to + 1) * bytes), (from - to) * bytes);
    copy_nonoverlapping(held.as_ptr(), rows.add(to * bytes), bytes);
}

/// Operands position, layout, newest, out; parameters heads, prompt, window.
pub unsafe fn queries_seen(instr: &Instr, team: &Team) {
    let (prompt, window) = (u32x4_splat(instr.u(1) as u32), u32x4_splat(instr.u(2) as u32));
    let end = u32x4_splat((*instr.ptr::<u32>(2)).wrapping_add(1));
    let (position, out) = (instr.ptr::<f32>(0), instr.ptr::<f32>(3));
    columns::slots_by(columns::NUMBERS, instr, 1, instr.u(0), team, |_, from, to| {
        unary(position.add(from), out.add(from), to - from, |p| {
            let later = u32x4_max(p, prompt);
            f32x4_convert_u32x4(i32x4_add(i32x4_sub(end, later), u32x4_min(window, i32x4_sub(later, p))))
        });
    });
}

/// The row that scores least of the first `rows`, NaN least of all; no row scores infinity.
unsafe fn victim(score: *const f32, rows: usize) -> (usize, f32) {
    let low = f32x4_splat(f32::NEG_INFINITY);
    let four = |i: usize| {
        let x = load(score.add(i));
        v128_bitselect(x, low, f32x4_eq(x, x))
    };
    let one = |i: usize| if (*score.add(i)).is_nan() { f32::NEG_INFINITY } else { *score.add(i) };
    let (whole, mut fours) = (rows & !3, f32x4_splat(f32::INFINITY));
    for i in (0..whole).step_by(4) {
        fours = f32x4_pmin(fours, four(i));
    }
    let least = (whole..rows).fold(-max(f32x4_neg(fours)), |least, i| if one(i) < least { one(i) } else { least });
    if least == f32::INFINITY {
        return (usize::MAX, least);
    }
    let mut i = 0;
    while i < whole && !v128_any_true(f32x4_eq(four(i), f32x4_splat(least))) {
        i += 4;
    }
    while one(i) != least {
        i += 1;
    }
    (i, least)
}

/// Writes all indices but `gone`; how many.
unsafe fn stay(keep: *mut u32, rows: usize, gone: usize) -> u32 {
    let first = gone.min(rows);
    count_up(keep, 0, first);
    count_up(keep.add(first), first + 1, rows.saturating_sub(first + 1));
    (rows - (gone < rows) as usize) as u32
}

/// Writes `count` indices from `first` on.
unsafe fn count_up(keep: *mut u32, first: usize, count: usize) {
    let mut next = i32x4_add(u32x4_splat(first as u32), u32x4(0, 1, 2, 3));
    for i in (0..count & !3).step_by(4) {
        v128_store(keep.add(i) as *mut v128, next);
        next = i32x4_add(next, u32x4_splat(4));
    }
    for i in count & !3..count {
        *keep.add(i) = (first + i) as u32;
    }
}

/// Operands firstScore, firstPosition, firstLayout, secondScore, secondLayout, newest, firstKeep, firstCounts, firstLeave, firstLeaving,
/// secondKeep, secondCounts; parameters heads, high, low, recent.
pub unsafe fn demote(instr: &Instr, team: &Team) {
    let (high, low, recent, newest) = (instr.f(1), instr.f(2), instr.u(3) as u64, *instr.ptr::<u32>(5) as u64);
    team.each(instr.u(0), |h| {
        let (a, b) = (segment(instr, 2, h), segment(instr, 4, h));
        let position = instr.ptr::<u32>(1).add(a.from());
        // Positions ascend, so rows that are old enough are a beginning.
        let old = core::slice::from_raw_parts(position, a.rows()).partition_point(|p| *p as u64 + recent <= newest);
        let (fine, least) = victim(instr.ptr::<f32>(0).add(a.from()), old);
        let (coarse, other) = victim(instr.ptr::<f32>(3).add(b.from()), b.rows());
        let leaves = least < low && least < other;
        let passes = !leaves && least < high;
        let gone = |is: bool, row: usize| if is { row } else { usize::MAX };
        *instr.ptr::<u32>(7).add(h) = stay(instr.ptr::<u32>(6).add(a.from()), a.rows(), gone(leaves || passes, fine));
        *instr.ptr::<u32>(11).add(h) = stay(instr.ptr::<u32>(10).add(b.from()), b.rows(), gone(passes && other < low, coarse));
        if passes {
            *instr.ptr::<u32>(8).add(a.from()) = fine as u32;
        }
        *instr.ptr::<u32>(9).add(h) = passes as u32;
    });
}

/// The rows of both tiers fit into one list.
pub unsafe fn check_weave(instr: &Instr) -> u32 {
    let code = first(&[inside(instr, 1, instr.u(0), &[(0, 4)]), inside(instr, 3, instr.u(0), &[(2, 4)])]);
    let fits = |h: usize| {
        let (a, b) = (segment(instr, 1, h), segment(instr, 3, h));
        let rows = a.length as u64 + b.length as u64;
        rows == 0 || (a.start as u64 + b.start as u64 + rows) * 4 <= instr.bytes(4) as u64
    };
    if code != 0 || (0..instr.u(0)).all(fits) { code } else { OUTSIDE }
}

/// Does every code of a woven list, whose operands are (order, its layout, the first's, the second's), name a row of its tier?
unsafe fn names_tiers(instr: &Instr, [order, woven, a, b]: [usize; 4]) -> bool {
    (0..instr.u(0)).all(|h| {
        let (s, tiers) = (segment(instr, woven, h), [segment(instr, a, h), segment(instr, b, h)]);
        (0..s.rows()).all(|i| {
            let code = *instr.ptr::<u32>(order).add(s.from() + i);
            code >> 1 < tiers[(code & 1) as usize].length
        })
    })
}

pub unsafe fn check_weave_rows(instr: &Instr) -> u32 {
    let bytes = |codec: usize| row_bytes(instr, 1, codec);
    let code = first(&[
        inside(instr, 1, instr.u(0), &[(0, bytes(2))]),
        inside(instr, 3, instr.u(0), &[(2, bytes(3))]),
        inside(instr, 5, instr.u(0), &[(4, 4), (6, bytes(4))]),
        blocks_inside(instr, 1, instr.u(0), &[(0, 1, 2)]),
        blocks_inside(instr, 3, instr.u(0), &[(2, 1, 3)]),
    ]);
    if code != 0 || names_tiers(instr, [4, 5, 1, 3]) { code } else { BAD_COUNT }
}

pub unsafe fn check_unweave(instr: &Instr) -> u32 {
    let code = first(&[
        inside(instr, 3, instr.u(0), &[(0, 4), (2, 4)]),
        inside(instr, 4, instr.u(0), &[(6, 4)]),
        inside(instr, 5, instr.u(0), &[(8, 4)]),
    ]);
    let kept = |h: usize| names_rows(&segment(instr, 3, h), instr.ptr(0), *instr.ptr::<u32>(1).add(h));
    if code != 0 || (0..instr.u(0)).all(kept) && names_tiers(instr, [2, 3, 4, 5]) { code } else { BAD_COUNT }
}

pub unsafe fn check_insert(instr: &Instr) -> u32 {
    let code = inside(instr, 2, instr.u(0), &[(0, 4), (3, instr.u(1))]);
    let fits = |h: usize| *instr.ptr::<u32>(1).add(h) <= segment(instr, 2, h).length;
    if code != 0 || (0..instr.u(0)).all(fits) { code } else { BAD_COUNT }
}

pub unsafe fn check_demote(instr: &Instr) -> u32 {
    let first_tier = inside(instr, 2, instr.u(0), &[(0, 4), (1, 4), (6, 4), (8, 4)]);
    first(&[first_tier, inside(instr, 4, instr.u(0), &[(3, 4), (10, 4)])])
}
