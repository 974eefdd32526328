//! Blocks that are weighed on the scale of the block after: lagSpread, blockRank.

use crate::half::{Rows, F16, F32};
use crate::layout::{segment, Segment};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Calls `work(head, first index of a block)` for every block of `lag` rows from `sinks` on that a whole block follows.
unsafe fn blocks(instr: &Instr, heads: usize, sinks: usize, lag: usize, team: &Team, mut work: impl FnMut(&Segment, usize)) {
    let count = |s: &Segment| (s.rows().saturating_sub(sinks) / lag).saturating_sub(1);
    let most = (0..heads).map(|h| count(&segment(instr, 1, h))).max().unwrap_or(0);
    team.each(heads * (most + 1), |item| {
        let (s, b) = (segment(instr, 1, item % heads), item / heads);
        // The last item of each head is what no block weighs.
        if b < count(&s) {
            work(&s, sinks + b * lag);
        } else if b == most {
            work(&s, usize::MAX);
        }
    });
}

/// Calls `work(index)` for the rows outside all blocks.
unsafe fn outside(s: &Segment, sinks: usize, lag: usize, mut work: impl FnMut(usize)) {
    let weighed = (s.rows().saturating_sub(sinks) / lag).saturating_sub(1) * lag;
    for t in (0..s.rows()).filter(|t| *t < sinks || *t >= sinks + weighed) {
        work(t);
    }
}

/// Operands rows, layout, out; parameters heads, dim, codec, sinks, lag.
pub unsafe fn spread(instr: &Instr, team: &Team) {
    let (sinks, lag) = (instr.u(3), instr.u(4));
    blocks(instr, instr.u(0), sinks, lag, team, |s, from| {
        let out = instr.ptr::<f32>(2).add(s.from());
        if from == usize::MAX {
            let none = s.rows().saturating_sub(sinks) / lag < 2;
            return outside(s, sinks, lag, |t| *out.add(t) = if none { t as f32 / s.rows() as f32 } else { 1.0 });
        }
        match instr.u(2) {
            0 => block::<F32>(instr, s, from, out),
            _ => block::<F16>(instr, s, from, out),
        }
    });
}

/// Two sums per row and channel: channel by channel, so that the range of one channel is all there is to hold. The sum of numbers is
/// kept in `out`, that of squares about the row's first channel nowhere: a second pass over channels takes distances from the mean.
unsafe fn block<C: Rows>(instr: &Instr, s: &Segment, from: usize, out: *mut f32) {
    let (dim, lag) = (instr.u(1), instr.u(4));
    let value = |t: usize, c: usize| C::one(instr.ptr::<u8>(0).add(((s.from() + t) * dim + c) * C::BYTES)) * C::SCALE;
    let range = |c: usize| {
        let next = (from + lag..from + 2 * lag).map(|t| value(t, c));
        next.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (if x < low { x } else { low }, if x > high { x } else { high }))
    };
    let scaled = |t: usize, c: usize, (low, high): (f32, f32)| if high > low { (value(t, c) - low) / (high - low) } else { 0.0 };
    for chunk in (from..from + lag).step_by(CHUNK) {
        let rows = CHUNK.min(from + lag - chunk);
        let (mut mean, mut squares) = ([0f64; CHUNK], [0f64; CHUNK]);
        for c in 0..dim {
            let range = range(c);
            for i in 0..rows {
                mean[i] += scaled(chunk + i, c, range) as f64 / dim as f64;
            }
        }
        for c in 0..dim {
            let range = range(c);
            for i in 0..rows {
                let d = scaled(chunk + i, c, range) as f64 - mean[i];
                squares[i] += d * d;
            }
        }
        for i in 0..rows {
            *out.add(chunk + i) = exp1(sqrt1((squares[i] / (dim - 1).max(1) as f64) as f32));
        }
    }
    let total: f64 = (from..from + lag).map(|t| *out.add(t) as f64).sum();
    for t in from..from + lag {
        *out.add(t) = (*out.add(t) as f64 / total) as f32;
    }
}

/// Rows whose sums are held at a time.
const CHUNK: usize = 128;

/// Operands a, layout, out; parameters heads, sinks, lag.
pub unsafe fn block_rank(instr: &Instr, team: &Team) {
    let (sinks, lag) = (instr.u(1), instr.u(2));
    blocks(instr, instr.u(0), sinks, lag, team, |s, from| {
        let (a, out) = (instr.ptr::<f32>(0).add(s.from()), instr.ptr::<f32>(2).add(s.from()));
        if from == usize::MAX {
            return outside(s, sinks, lag, |t| *out.add(t) = *a.add(t));
        }
        for i in from..from + lag {
            let x = *a.add(i);
            let below = (from..from + lag).filter(|j| *a.add(*j) < x || *a.add(*j) == x && *j < i).count();
            *out.add(i) = below as f32 / lag as f32;
        }
    });
}
