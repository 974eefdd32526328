//! foldValues: phase 0 finds each leaver's nearest survivor and weight, phase 1 folds the values survivor by survivor.

use super::columns::LEAST;
use super::pairs::dot;
use crate::half::{encode_f16, Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// Survivors per item of phase 1, and channels summed at a time.
const ROWS: usize = 64;

/// Operands keys, counts, layout, keep, values, weight; parameters heads, keyDim, valueDim, keyCodec, valueCodec.
pub unsafe fn fold_values(instr: &Instr, phase: u32, team: &Team) {
    let heads = instr.u(0);
    if phase == 0 {
        return team.each(heads, |h| match (instr.u(3), instr.u(4)) {
            (0, 0) => seek::<F32, F32>(instr, h),
            (0, _) => seek::<F32, F16>(instr, h),
            (_, 0) => seek::<F16, F32>(instr, h),
            _ => seek::<F16, F16>(instr, h),
        });
    }
    let most = (0..heads).map(|h| *instr.ptr::<u32>(1).add(h) as usize).max().unwrap_or(0);
    team.each(most.div_ceil(ROWS) * heads, |item| {
        let (h, from) = (item % heads, item / heads * ROWS);
        let to = (from + ROWS).min(*instr.ptr::<u32>(1).add(h) as usize);
        for place in from..to {
            match instr.u(4) {
                0 => fold::<F32>(instr, h, place),
                _ => fold::<F16>(instr, h, place),
            }
        }
    });
}

/// Calls `each(i, row)` for the rows of head h that are not kept.
unsafe fn leavers(instr: &Instr, h: usize, mut each: impl FnMut(usize, usize)) {
    let (s, count) = (segment(instr, 2, h), *instr.ptr::<u32>(1).add(h) as usize);
    let keep = instr.ptr::<u32>(3).add(s.from());
    let mut next = 0;
    for t in 0..s.rows() {
        if next < count && *keep.add(next) as usize == t {
            next += 1;
        } else {
            each(t - next, t);
        }
    }
}

unsafe fn seek<K: Rows, V: Rows>(instr: &Instr, h: usize) {
    let (s, count) = (segment(instr, 2, h), *instr.ptr::<u32>(1).add(h) as usize);
    if count == 0 {
        return;
    }
    let (keep, weight) = (instr.ptr::<u32>(3).add(s.from()), instr.ptr::<f32>(5).add(s.from()));
    let key = |t: usize| instr.ptr::<u8>(0).add((s.from() + t) * instr.u(1) * K::BYTES);
    let value = |t: usize| instr.ptr::<u8>(4).add((s.from() + t) * instr.u(2) * V::BYTES);
    let norm = |t: usize| sqrt1(dot::<K>(key(t), key(t), instr.u(1))).max(LEAST);
    // Norms of kept keys wait at the end of `weight`, which leavers fill from the front: both together are all rows of the head.
    let norms = weight.add(s.rows() - count);
    for place in 0..count {
        *norms.add(place) = norm(*keep.add(place) as usize);
    }
    leavers(instr, h, |i, t| {
        let (mut most, mut at) = (f32::NEG_INFINITY, 0);
        for place in 0..count {
            let c = dot::<K>(key(t), key(*keep.add(place) as usize), instr.u(1)) / *norms.add(place);
            if c > most {
                (most, at) = (c, place);
            }
        }
        let target = value(*keep.add(at) as usize);
        let (own, its) = (sqrt1(dot::<V>(value(t), value(t), instr.u(2))), sqrt1(dot::<V>(target, target, instr.u(2))));
        let cosine = (most / norm(t)).max(0.0);
        *keep.add(count + i) = at as u32;
        *weight.add(i) = if own + its == 0.0 { 0.0 } else { cosine * own / (own + its) };
    });
}

/// Folds into one survivor all that chose it.
unsafe fn fold<V: Rows>(instr: &Instr, h: usize, place: usize) {
    let (s, count, dim) = (segment(instr, 2, h), *instr.ptr::<u32>(1).add(h) as usize, instr.u(2));
    let (keep, weight) = (instr.ptr::<u32>(3).add(s.from()), instr.ptr::<f32>(5).add(s.from()));
    let value = |t: usize| instr.ptr::<u8>(4).add((s.from() + t) * dim * V::BYTES) as *mut u8;
    let own = *keep.add(place) as usize;
    for from in (0..dim).step_by(ROWS) {
        let wide = ROWS.min(dim - from);
        let (mut sum, mut total) = ([0f32; ROWS], 1.0);
        for c in 0..wide {
            sum[c] = V::one(value(own).add((from + c) * V::BYTES)) * V::SCALE;
        }
        leavers(instr, h, |i, t| {
            if *keep.add(count + i) as usize != place {
                return;
            }
            let w = *weight.add(i);
            total += w;
            for c in 0..wide {
                sum[c] += w * V::one(value(t).add((from + c) * V::BYTES)) * V::SCALE;
            }
        });
        if total == 1.0 {
            return;
        }
        for c in 0..wide {
            sum[c] /= total;
        }
        let to = value(own).add(from * V::BYTES);
        match V::BYTES {
            4 => core::ptr::copy_nonoverlapping(sum.as_ptr() as *const u8, to, wide * 4),
            _ => encode_f16(sum.as_ptr(), to as *mut u16, wide),
        }
    }
}
