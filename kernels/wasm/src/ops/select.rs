//! Ops by which a query reads some rows only: minmaxPages, boundQuery, pageScores.

use crate::half::{encode_f16, Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;
use core::ptr::copy_nonoverlapping;

/// Rows per work item, at least.
const ROWS: usize = 256;

/// Calls `work(h, p)` for every page p < count(h) of every head, in items of about [`ROWS`] rows.
unsafe fn pages(heads: usize, page: usize, count: impl Fn(usize) -> usize, team: &Team, mut work: impl FnMut(usize, usize)) {
    let per_item = ROWS.div_ceil(page);
    let blocks = (0..heads).map(|h| count(h)).max().unwrap_or(0).div_ceil(per_item);
    team.each(heads * blocks, |item| {
        let (h, from) = (item / blocks, item % blocks * per_item);
        for p in from..count(h).min(from + per_item) {
            work(h, p);
        }
    });
}

/// Minima and maxima of channels [d, d + 8) of some rows, raw, in raw order; with `step` 0 bounds that are stored, maxima `past` bytes
/// behind the minima.
#[derive(Clone, Copy)]
struct Page {
    at: *const u8,
    rows: usize,
    step: usize,
    past: usize,
}

impl Page {
    #[inline(always)]
    unsafe fn bounds8<C: Rows>(&self, d: usize, mask: v128) -> [(v128, v128); 2] {
        let at = self.at.add(d * C::BYTES);
        let mut least = C::load8(at, mask);
        let mut most = C::load8(at.add(self.past), mask);
        for t in 1..self.rows {
            let (a, b) = C::load8(at.add(t * self.step), mask);
            least = (f32x4_pmin(least.0, a), f32x4_pmin(least.1, b));
            most = (f32x4_pmax(most.0, a), f32x4_pmax(most.1, b));
        }
        [least, most]
    }

    /// True bounds of one channel.
    unsafe fn bounds1<C: Rows>(&self, d: usize) -> [f32; 2] {
        let at = self.at.add(d * C::BYTES);
        let mut bounds = [C::one(at), C::one(at.add(self.past))];
        for t in 1..self.rows {
            let x = C::one(at.add(t * self.step));
            bounds = [if x < bounds[0] { x } else { bounds[0] }, if x > bounds[1] { x } else { bounds[1] }];
        }
        bounds.map(|x| x * C::SCALE)
    }

    /// Weights [minima, maxima] times bounds.
    #[inline(always)]
    unsafe fn dot<C: Rows>(&self, weights: *const f32, dim: usize) -> f32 {
        let (mask, scale) = (C::mask(), f32x4_splat(C::SCALE));
        let mut acc = [f32x4_splat(0.0); 2];
        for d in (0..dim & !7).step_by(8) {
            let [least, most] = self.bounds8::<C>(d, mask);
            for (w, (a, b)) in [(weights.add(d), least), (weights.add(dim + d), most)] {
                let (lo, hi) = C::from_raw(a, b);
                acc = [fma(f32x4_mul(lo, scale), load(w), acc[0]), fma(f32x4_mul(hi, scale), load(w.add(4)), acc[1])];
            }
        }
        let tail = (dim & !7..dim).map(|d| {
            let [least, most] = self.bounds1::<C>(d);
            *weights.add(d) * least + *weights.add(dim + d) * most
        });
        sum(f32x4_add(acc[0], acc[1])) + tail.sum::<f32>()
    }
}

/// Operands keys, layout, bounds; parameters heads, dim, codec, page, m, rowBytes.
pub unsafe fn minmax_pages(instr: &Instr, team: &Team) {
    let (heads, page, m) = (instr.u(0), instr.u(3), instr.u(4));
    let rows = |h: usize| segment(instr, 1, h).rows();
    let first = |h: usize| if m == 0 { 0 } else { rows(h).saturating_sub(m) / page };
    pages(heads, page, |h| (rows(h) / page).saturating_sub(first(h)), team, |h, p| {
        let slot = segment(instr, 1, h).from() + (first(h) + p) * page;
        match instr.u(2) {
            0 => summarise::<F32>(instr, slot),
            _ => summarise::<F16>(instr, slot),
        }
    });
}

unsafe fn summarise<C: Rows>(instr: &Instr, slot: usize) {
    let (dim, page) = (instr.u(1), instr.u(3));
    let width = dim * C::BYTES;
    let rows = Page { at: instr.ptr::<u8>(0).add(slot * width), rows: page, step: width, past: 0 };
    let (out, mask, scale) = (instr.ptr::<u8>(2).add(slot * instr.u(5)), C::mask(), f32x4_splat(C::SCALE));
    for d in (0..dim & !7).step_by(8) {
        for (i, (a, b)) in rows.bounds8::<C>(d, mask).into_iter().enumerate() {
            let (lo, hi) = C::from_raw(a, b);
            let mut x = [0f32; 8];
            store(x.as_mut_ptr(), f32x4_mul(lo, scale));
            store(x.as_mut_ptr().add(4), f32x4_mul(hi, scale));
            write::<C>(&x, out.add((i * dim + d) * C::BYTES));
        }
    }
    for d in dim & !7..dim {
        for (i, x) in rows.bounds1::<C>(d).into_iter().enumerate() {
            write::<C>(&[x], out.add((i * dim + d) * C::BYTES));
        }
    }
}

/// Numbers that the codec holds exactly.
unsafe fn write<C: Rows>(x: &[f32], to: *mut u8) {
    if C::BYTES == 4 {
        copy_nonoverlapping(x.as_ptr() as *const u8, to, x.len() * 4);
    } else {
        encode_f16(x.as_ptr(), to as *mut u16, x.len());
    }
}

/// Operands q, out; parameters heads, kvHeads, dim, channels.
pub unsafe fn bound_query(instr: &Instr, team: &Team) {
    let (heads, dim, channels) = (instr.u(0), instr.u(2), instr.u(3));
    let group = heads / instr.u(1);
    team.each(heads, |h| {
        let (q, out) = (instr.ptr::<f32>(0).add(h * dim), instr.ptr::<f32>(1).add(2 * h * dim));
        if channels == 0 {
            for c in 0..dim {
                let x = *q.add(c);
                *out.add(c) = if x > 0.0 { 0.0 } else { x };
                *out.add(dim + c) = if x > 0.0 { x } else { 0.0 };
            }
            return;
        }
        partial(instr.ptr::<f32>(0).add((h - h % group) * dim), group, q, out, dim, channels);
    });
}

/// Weights of the `channels` largest channels of a group, for the head of `q`.
unsafe fn partial(first: *const f32, group: usize, q: *const f32, out: *mut f32, dim: usize, channels: usize) {
    let fold = |c: usize, f: fn(f32) -> f32| (0..group).map(|g| f(*first.add(g * dim + c))).sum::<f32>();
    // The sums of |q| lie where the weights of maxima will, until the chosen ones are known.
    let size = out.add(dim);
    for c in 0..dim {
        *size.add(c) = fold(c, |x| if x < 0.0 { -x } else { x });
    }
    let (mut part, mut all) = (0.0, 0.0);
    for c in 0..dim {
        let before = (0..dim).filter(|d| *size.add(*d) > *size.add(c) || *size.add(*d) == *size.add(c) && *d < c).count();
        let x = *q.add(c);
        let magnitude = if x < 0.0 { -x } else { x };
        all += magnitude;
        part += if before < channels { magnitude } else { 0.0 };
        *out.add(c) = if before < channels { x } else { 0.0 };
    }
    let factor = if part == 0.0 { 0.0 } else { 1.0 / sqrt1(dim as f32 * part / all) };
    for c in 0..dim {
        let (weight, upper) = (*out.add(c) * factor, fold(c, |x| x) > 0.0);
        *out.add(c) = if upper { 0.0 } else { weight };
        *out.add(dim + c) = if upper { weight } else { 0.0 };
    }
}

/// Operands weights, keys, layout, out, bounds; parameters heads, kvHeads, dim, codec, page, rowBytes, by.
pub unsafe fn page_scores(instr: &Instr, team: &Team) {
    match instr.u(3) {
        0 => scores::<F32>(instr, team),
        _ => scores::<F16>(instr, team),
    }
}

unsafe fn scores<C: Rows>(instr: &Instr, team: &Team) {
    let (kv_heads, page) = (instr.u(1), instr.u(4));
    let group = instr.u(0) / kv_heads;
    let rows = |h: usize| segment(instr, 2, h).rows();
    if instr.u(6) == 0 {
        return pages(kv_heads, page, |h| rows(h).div_ceil(page), team, |h, p| {
            let best = (0..group).map(|g| product::<C>(instr, h, p, g)).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
            fill(instr, h, p, |_| best);
        });
    }
    team.each(kv_heads, |h| {
        let count = rows(h).div_ceil(page);
        fill_rows(instr, h, |_| 0.0);
        for g in 0..group {
            let (mut top, mut all) = (f32::NEG_INFINITY, 0f64);
            for p in 0..count {
                let u = product::<C>(instr, h, p, g);
                if u > top {
                    all *= exp1(top - u) as f64;
                    top = u;
                }
                all += exp1(u - top) as f64 * page.min(rows(h) - p * page) as f64;
            }
            let share = 1.0 / (all as f32 * group as f32);
            for p in 0..count {
                let mass = exp1(product::<C>(instr, h, p, g) - top) * share;
                fill(instr, h, p, |before| before + mass);
            }
        }
    });
}

/// What page p of KV head h promises query head g of its group.
unsafe fn product<C: Rows>(instr: &Instr, h: usize, p: usize, g: usize) -> f32 {
    let (dim, page, s) = (instr.u(2), instr.u(4), segment(instr, 2, h));
    let (slot, rows) = (s.from() + p * page, page.min(s.rows() - p * page));
    let width = dim * C::BYTES;
    let found = if page > 1 && rows == page {
        Page { at: instr.ptr::<u8>(4).add(slot * instr.u(5)), rows: 1, step: 0, past: width }
    } else {
        Page { at: instr.ptr::<u8>(1).add(slot * width), rows, step: width, past: 0 }
    };
    let group = instr.u(0) / instr.u(1);
    found.dot::<C>(instr.ptr::<f32>(0).add(2 * (h * group + g) * dim), dim)
}

/// Changes the scores of the rows of a page.
unsafe fn fill(instr: &Instr, h: usize, p: usize, f: impl Fn(f32) -> f32) {
    let (page, s) = (instr.u(4), segment(instr, 2, h));
    let out = instr.ptr::<f32>(3).add(s.from());
    for t in p * page..s.rows().min((p + 1) * page) {
        *out.add(t) = f(*out.add(t));
    }
}

unsafe fn fill_rows(instr: &Instr, h: usize, f: impl Fn(f32) -> f32) {
    for p in 0..segment(instr, 2, h).rows().div_ceil(instr.u(4)) {
        fill(instr, h, p, &f);
    }
}
