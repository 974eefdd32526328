//! Scores that an `attend` of one query keeps for an `attendReduce` of the same query, keys, positions and layout, which then multiplies no key.
//! Which ops do so is settled in `backends/wasm/scores.ts`; what only a run knows is asked here, by both ops of the same data.

use crate::layout::segment;
use crate::program::Instr;

/// Operands of both: q, keys, positions, layout and queryPosition of an `attendReduce`, and where scores are kept in either.
const SHARED: usize = 5;
pub const OF_ATTEND: usize = 9;
pub const OF_REDUCE: usize = 10;
/// What is written between the two, and may prove to be memory of an operand.
const WRITTEN: usize = 11;

/// Bytes for the scores of `slots` rows. Vectors that begin at the last score end beyond it.
pub fn bytes(slots: usize, group: usize) -> usize {
    slots.saturating_mul(group).saturating_add(3).saturating_mul(4)
}

/// The scores of one KV head: of each query of its group one of every row.
#[derive(Clone, Copy)]
pub struct Kept {
    at: *mut f32,
    rows: usize,
    /// Slot of the first row.
    first: usize,
}

impl Kept {
    /// Those of KV head h, where the op keeps scores (operand `kept`) and has room for those of all heads.
    pub unsafe fn of(instr: &Instr, kept: usize, layout: usize, h: usize) -> Option<Kept> {
        if !instr.has(kept) {
            return None;
        }
        let (kv_heads, group) = (instr.u(2), instr.u(1) / instr.u(2));
        let rows = |heads: usize| (0..heads).fold(0usize, |sum, h| sum.saturating_add(segment(instr, layout, h).rows()));
        if bytes(rows(kv_heads), group) > instr.bytes(kept) {
            return None;
        }
        let s = segment(instr, layout, h);
        Some(Kept { at: instr.ptr::<f32>(kept).add(rows(h) * group), rows: s.rows(), first: s.from() })
    }

    /// Scores of query g of the group from the row at `slot` on.
    pub unsafe fn at(&self, g: usize, slot: usize) -> *mut f32 {
        self.at.add(g * self.rows + slot - self.first)
    }
}

/// Those that an `attendReduce` may take over: nothing that was written since lies in what they were made of.
pub unsafe fn taken(instr: &Instr, layout: usize, h: usize) -> Option<Kept> {
    let apart = |i: usize| (0..SHARED).all(|j| instr.apart(i, j));
    Kept::of(instr, OF_REDUCE, layout, h).filter(|_| (WRITTEN..instr.operands()).all(apart))
}
