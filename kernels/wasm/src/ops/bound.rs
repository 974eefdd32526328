//! What a query asks of the bounds of pages: boundQuery.

use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Operands q, out; parameters heads, kvHeads, dim, channels.
pub unsafe fn bound_query(instr: &Instr, team: &Team) {
    let (kv_heads, dim, channels) = (instr.u(1), instr.u(2), instr.u(3));
    let group = instr.u(0) / kv_heads;
    team.each(kv_heads, |h| {
        let (q, out) = (instr.ptr::<f32>(0).add(h * group * dim), instr.ptr::<f32>(1).add(2 * h * group * dim));
        if channels > 0 {
            return partial(q, group, out, dim, channels);
        }
        for g in 0..group {
            for c in 0..dim {
                let (x, out) = (*q.add(g * dim + c), out.add(2 * g * dim + c));
                *out = if x > 0.0 { 0.0 } else { x };
                *out.add(dim) = if x > 0.0 { x } else { 0.0 };
            }
        }
    });
}

/// Weights of the `channels` largest channels of a group, for all of its heads.
unsafe fn partial(q: *const f32, group: usize, out: *mut f32, dim: usize, channels: usize) {
    let fold = |c: usize, f: fn(f32) -> f32| (0..group).map(|g| f(*q.add(g * dim + c))).sum::<f32>();
    // Where the weights of the last head will be there lie, until it is their turn, which channels are chosen, and the sums of |q|.
    let chosen = out.add(2 * (group - 1) * dim);
    let size = chosen.add(dim);
    for c in 0..dim {
        *size.add(c) = fold(c, |x| if x < 0.0 { -x } else { x });
    }
    for c in 0..dim {
        let x = f32x4_splat(*size.add(c));
        let before = count(size, 0, c, |y| f32x4_ge(y, x)) + count(size, c, dim, |y| f32x4_gt(y, x));
        *chosen.add(c) = if before < channels { 1.0 } else { 0.0 };
    }
    for g in 0..group {
        let (q, out) = (q.add(g * dim), out.add(2 * g * dim));
        let (mut part, mut all) = (0.0, 0.0);
        for c in 0..dim {
            let (x, kept) = (*q.add(c), *chosen.add(c) > 0.0);
            let magnitude = if x < 0.0 { -x } else { x };
            all += magnitude;
            part += if kept { magnitude } else { 0.0 };
            *out.add(c) = if kept { x } else { 0.0 };
        }
        let factor = if part == 0.0 { 0.0 } else { 1.0 / sqrt1(dim as f32 * part / all) };
        for c in 0..dim {
            let (weight, upper) = (*out.add(c) * factor, fold(c, |x| x) > 0.0);
            *out.add(c) = if upper { 0.0 } else { weight };
            *out.add(dim + c) = if upper { weight } else { 0.0 };
        }
    }
}

/// How many of x[from..to] pass a test of four.
#[inline(always)]
unsafe fn count(x: *const f32, from: usize, to: usize, test: impl Fn(v128) -> v128) -> usize {
    let (mut found, mut i) = (i32x4_splat(0), from);
    while i + 4 <= to {
        found = i32x4_sub(found, test(load(x.add(i))));
        i += 4;
    }
    while i < to {
        found = i32x4_sub(found, v128_and(test(f32x4_splat(*x.add(i))), i32x4(-1, 0, 0, 0)));
        i += 1;
    }
    whole_sum(found) as usize
}
