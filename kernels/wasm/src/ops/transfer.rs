//! Moving rows behind those of another tier, from one codec to another: transfer, lengthen.

use crate::codec::Codec;
use crate::layout::{segment, Segment};
use crate::program::Instr;
use crate::team::Team;

/// Rows per work item: what the largest block takes.
const ROWS: usize = 32;

/// Scratch floats of a transfer.
pub fn floats(dim: usize, threads: usize) -> usize {
    threads * ROWS * dim
}

/// Operands source, keep, counts, sourceLayout, targetLayout, target, scratch; parameters heads, dim, sourceCodec, targetCodec.
pub unsafe fn transfer(instr: &Instr, team: &Team) {
    let (heads, dim) = (instr.u(0), instr.u(1));
    let (from, to) = (Codec::of(instr.u(2)), Codec::of(instr.u(3)));
    let (source, target) = (instr.ptr::<u8>(0), instr.ptr::<u8>(5));
    let count = |h: usize| *instr.ptr::<u32>(2).add(h) as usize;
    let blocks = (0..heads).map(count).max().unwrap_or(0).div_ceil(ROWS);
    let scratch = instr.ptr::<f32>(6).add(team.thread * ROWS * dim);
    let nested = from.nests(to);
    // Floats are read where they lie, unless rows are stored together.
    let in_place = from.bits == 32 && !to.channel;
    team.each(heads * blocks, |item| {
        let (h, first) = (item / blocks, item % blocks * ROWS);
        let (s, t) = (segment(instr, 3, h), segment(instr, 4, h));
        let keep = instr.ptr::<u32>(1).add(s.from());
        let rows = ROWS.min(count(h).saturating_sub(first));
        let slot = t.from() + t.rows() + first;
        for i in 0..rows {
            let row = s.from() + *keep.add(first + i) as usize;
            if from == to {
                from.copy(source, row, target, slot + i, dim);
            } else if nested {
                to.coarsen(from, source, row, target, slot + i, dim);
            } else if in_place {
                to.write((source as *const f32).add(row * dim), 1, dim, target, slot + i);
            } else {
                from.read(source, row, 1, dim, scratch.add(i * dim));
            }
        }
        if !nested && !in_place && from != to {
            to.write(scratch, rows, dim, target, slot);
        }
    });
}

/// Operands counts, layout; parameter heads. Phase 0 lets every thread check the lengths that phase 1 changes.
pub unsafe fn lengthen(instr: &Instr, phase: u32, team: &Team) {
    if phase == 0 {
        return;
    }
    team.each(instr.u(0), |h| (*instr.ptr::<Segment>(1).add(h)).length += *instr.ptr::<u32>(0).add(h));
}
