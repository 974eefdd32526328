//! Bounds of pages of keys: minmaxPages.

use crate::half::{encode_f16, Parts, Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;
use core::ptr::copy_nonoverlapping;

/// Rows per work item, at least.
pub const ROWS: usize = 256;

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
pub struct Page {
    pub at: *const u8,
    pub rows: usize,
    pub step: usize,
    pub past: usize,
}

impl Page {
    #[inline(always)]
    unsafe fn bounds8<C: Rows>(&self, d: usize, parts: Parts) -> [(v128, v128); 2] {
        let at = self.at.add(d * C::BYTES);
        let mut least = C::load8(at, parts);
        let mut most = C::load8(at.add(self.past), parts);
        for t in 1..self.rows {
            let (a, b) = C::load8(at.add(t * self.step), parts);
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
    #[inline(never)]
    pub unsafe fn dot<C: Rows>(&self, weights: *const f32, dim: usize) -> f32 {
        let (parts, scale) = (C::parts(), f32x4_splat(C::SCALE));
        let mut acc = [f32x4_splat(0.0); 2];
        for d in (0..dim & !7).step_by(8) {
            let [least, most] = self.bounds8::<C>(d, parts);
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
    let (out, parts, scale) = (instr.ptr::<u8>(2).add(slot * instr.u(5)), C::parts(), f32x4_splat(C::SCALE));
    for d in (0..dim & !7).step_by(8) {
        for (i, (a, b)) in rows.bounds8::<C>(d, parts).into_iter().enumerate() {
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
