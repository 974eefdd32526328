//! Ops that move rows and compute nothing: append, extend, compact, truncate, rejoin, copyRows, slide, slice.

use crate::codec::Codec;
use crate::layout::{segment, Segment};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;
use core::ptr::copy;

/// Tokens per work item of `append`.
const TOKENS: usize = 32;
/// Words per work item of `slide` and `slice`.
const WORDS: usize = 64;

/// Phase 0 writes rows and positions behind the end of each segment, phase 1 moves the ends.
pub unsafe fn append(instr: &Instr, phase: u32, team: &Team) {
    let (m, heads) = (instr.u(0), instr.u(1));
    if phase == 1 {
        return team.each(heads, |h| (*instr.ptr::<Segment>(6).add(h)).length += m as u32);
    }
    let blocks = m.div_ceil(TOKENS);
    team.each(heads * blocks, |item| {
        let (h, from) = (item / blocks, item % blocks * TOKENS);
        for i in from..m.min(from + TOKENS) {
            let s = segment(instr, 6, h);
            let slot = s.from() + s.rows() + i;
            let (keys, values) = (Codec::of(instr.u(4)), Codec::of(instr.u(5)));
            keys.write(instr.ptr::<f32>(0).add((i * heads + h) * instr.u(2)), 1, instr.u(2), instr.ptr(3), slot);
            values.write(instr.ptr::<f32>(1).add((i * heads + h) * instr.u(3)), 1, instr.u(3), instr.ptr(4), slot);
            *instr.ptr::<u32>(5).add(slot) = *instr.ptr::<u32>(2).add(i);
        }
    });
}

/// Sets a column on the last m rows of each segment.
pub unsafe fn extend(instr: &Instr, team: &Team) {
    let (m, column, value) = (instr.u(0), instr.ptr::<f32>(0), instr.f(2));
    team.each(instr.u(1), |h| {
        let s = segment(instr, 1, h);
        for t in s.rows().saturating_sub(m)..s.rows() {
            *column.add(s.from() + t) = value;
        }
    });
}

/// Gathers kept rows, ascending, so that source and target may be one: a row never lands behind one still to be read. Neighbours move
/// together: where few rows leave, few moves are left.
pub unsafe fn compact(instr: &Instr, team: &Team) {
    let (source, target, bytes) = (instr.ptr::<u8>(0), instr.ptr::<u8>(5), instr.u(1));
    team.each(instr.u(0), |h| {
        let (s, t) = (segment(instr, 3, h), segment(instr, 4, h));
        let keep = instr.ptr::<u32>(1).add(s.from());
        let (mut i, count) = (0, *instr.ptr::<u32>(2).add(h) as usize);
        while i < count {
            let from = source.add((s.from() + *keep.add(i) as usize) * bytes);
            let (to, rows) = (target.add((t.from() + i) * bytes), neighbours(keep.add(i), count - i));
            if from != to {
                copy(from, to, rows * bytes);
            }
            i += rows;
        }
    });
}

/// How many indices from the first on, of `count`, each follow the one before.
unsafe fn neighbours(keep: *const u32, count: usize) -> usize {
    let mut i = 0;
    let mut next = i32x4_add(u32x4_splat(*keep), u32x4(0, 1, 2, 3));
    while i + 4 <= count && i32x4_all_true(i32x4_eq(v128_load(keep.add(i) as *const v128), next)) {
        next = i32x4_add(next, u32x4_splat(4));
        i += 4;
    }
    while i < count && *keep.add(i) == (*keep).wrapping_add(i as u32) {
        i += 1;
    }
    i
}

/// Sets lengths.
pub unsafe fn truncate(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| (*instr.ptr::<Segment>(1).add(h)).length = *instr.ptr::<u32>(0).add(h));
}

/// Sets lengths to what lies before the tail, and its count.
pub unsafe fn rejoin(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let s = &mut *instr.ptr::<Segment>(2).add(h);
        s.length = segment(instr, 1, h).start - s.start + *instr.ptr::<u32>(0).add(h);
    });
}

/// Copies whole segments.
pub unsafe fn copy_rows(instr: &Instr, team: &Team) {
    let (source, target, bytes) = (instr.ptr::<u8>(0), instr.ptr::<u8>(3), instr.u(1));
    team.each(instr.u(0), |h| {
        let (s, t) = (segment(instr, 1, h), segment(instr, 2, h));
        copy(source.add(s.from() * bytes), target.add(t.from() * bytes), s.rows() * bytes);
    });
}

/// Shifts the ring by m rows and fills its end from x. Items are columns, so no row is needed by two threads.
pub unsafe fn slide(instr: &Instr, team: &Team) {
    let (m, window, width) = (instr.u(0), instr.u(1), instr.u(2));
    let (x, ring) = (instr.ptr::<f32>(0), instr.ptr::<f32>(1));
    let fresh = m.min(window);
    team.chunks(width, WORDS, |from, to| {
        for r in 0..window {
            let after = r + fresh;
            let source = if after < window { ring.add(after * width) } else { x.add((m - fresh + after - window) * width) };
            copy_few(source.add(from) as *const u8, ring.add(r * width + from) as *mut u8, 4 * (to - from));
        }
    });
}

/// Copies rows [from, from + rows).
pub unsafe fn slice(instr: &Instr, team: &Team) {
    let (first, rows, width) = (instr.u(0), instr.u(1), instr.u(2));
    let (x, out) = (instr.ptr::<u32>(0), instr.ptr::<u32>(1));
    team.chunks(rows * width, WORDS * WORDS, |from, to| copy(x.add(first * width + from), out.add(from), to - from));
}
