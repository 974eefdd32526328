//! What the bounds of pages promise a query: pageScores.

use super::select::{pages, Page};
use crate::half::{Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::passes;
use crate::program::Instr;
use crate::team::Team;
use core::mem::MaybeUninit;

/// Pages whose promises are worked out side by side: weights are then read once for all.
const SIDE: usize = 3;
/// Promises of the first pages that are remembered from one pass over them to the next, on a stack of 64 KiB.
const KEPT: usize = 6144;
/// Channels at most, for which sides are worked out.
const WIDEST: usize = 512;

/// Operands weights, keys, layout, out, bounds, within; parameters heads, kvHeads, dim, codec, page, rowBytes, by.
pub unsafe fn page_scores(instr: &Instr, team: &Team) {
    match instr.u(3) {
        0 => scores::<F32>(instr, team),
        _ => scores::<F16>(instr, team),
    }
}

unsafe fn scores<C: Rows>(instr: &Instr, team: &Team) {
    let (kv_heads, page) = (instr.u(1), instr.u(4));
    let group = instr.u(0) / kv_heads;
    if instr.u(6) == 0 {
        let count = |h: usize| segment(instr, 2, h).rows().div_ceil(page);
        return pages(kv_heads, page, count, team, |h, p| {
            let of = Head::of(instr, h);
            let best = if of.rows_in(p) == 0 { SENTINEL } else { of.best::<C>(group, p) };
            of.fill(p, |_| best);
            of.exclude(p);
        });
    }
    team.each(kv_heads, |h| {
        let of = Head::of(instr, h);
        (0..of.pages()).for_each(|p| of.fill(p, |_| 0.0));
        passes!(group, g, R => masses::<C, R>(&of, g));
        (0..of.pages()).for_each(|p| of.exclude(p));
    });
}

/// Adds the shares of the softmax of R query heads, from number g of the group on, to the scores of the rows of a KV head.
#[inline(never)]
unsafe fn masses<C: Rows, const R: usize>(of: &Head, g: usize) {
    let mut room = MaybeUninit::<Sides<R>>::uninit();
    let sides = Sides::<R>::of::<C>(room.as_mut_ptr(), of.weights(g), of.dim);
    let mut kept = MaybeUninit::<[f32; KEPT]>::uninit();
    let kept = kept.as_mut_ptr() as *mut [f32; R];
    let most = KEPT / R;
    let (mut top, mut all) = ([f32::NEG_INFINITY; R], [0f64; R]);
    let mut take = |stage: Stage, p: usize, x: [f32; R]| match stage {
        Stage::Top => {
            top = core::array::from_fn(|i| if x[i] > top[i] { x[i] } else { top[i] });
            if p < most {
                *kept.add(p) = x;
            }
        }
        Stage::Sum => {
            let (powers, rows) = (powers(x, top), of.rows_in(p) as f64);
            all = core::array::from_fn(|i| all[i] + powers[i] as f64 * rows);
            if p < most {
                *kept.add(p) = powers;
            }
        }
        Stage::Share => {
            let powers = if p < most { x } else { powers(x, top) };
            let mass: f32 = (0..R).map(|i| powers[i] / (all[i] as f32 * of.group as f32)).sum();
            of.fill(p, |before| before + mass);
        }
    };
    for stage in [Stage::Top, Stage::Sum, Stage::Share] {
        let known = if stage == Stage::Top { 0 } else { most };
        of.each::<C, R>(g, sides, kept, known, |p, x| take(stage, p, x));
    }
}

/// What the promises of a page are looked at for: the largest, the sum of powers of e, the share of a page in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Top,
    Sum,
    Share,
}

/// e^(x - top) of R numbers, 4 at most.
#[inline(always)]
unsafe fn powers<const R: usize>(x: [f32; R], top: [f32; R]) -> [f32; R] {
    let lane = |i: usize| if i < R { x[i] - top[i] } else { 0.0 };
    let mut e = [0f32; 4];
    store(e.as_mut_ptr(), exp(f32x4(lane(0), lane(1), lane(2), lane(3))));
    core::array::from_fn(|i| e[i])
}

/// Pages of one KV head.
struct Head {
    weights: *const f32,
    keys: *const u8,
    bounds: *const u8,
    out: *mut f32,
    /// Null where all rows take part.
    within: *const f32,
    rows: usize,
    page: usize,
    dim: usize,
    group: usize,
    /// Bytes of bounds per row.
    row_bytes: usize,
}

impl Head {
    unsafe fn of(instr: &Instr, h: usize) -> Head {
        let (s, dim, row_bytes, group) = (segment(instr, 2, h), instr.u(2), instr.u(5), instr.u(0) / instr.u(1));
        let width = if instr.u(3) == 0 { 4 } else { 2 };
        Head {
            weights: instr.ptr::<f32>(0).add(2 * h * group * dim),
            keys: instr.ptr::<u8>(1).wrapping_add(s.from() * dim * width),
            bounds: instr.ptr::<u8>(4).wrapping_add(s.from() * row_bytes),
            out: instr.ptr::<f32>(3).add(s.from()),
            within: if instr.has(5) { instr.ptr::<f32>(5).add(s.from()) } else { core::ptr::null() },
            rows: s.rows(),
            page: instr.u(4),
            dim,
            group,
            row_bytes,
        }
    }

    fn pages(&self) -> usize {
        self.rows.div_ceil(self.page)
    }

    /// Rows of page p.
    fn rows_of(&self, p: usize) -> core::ops::Range<usize> {
        p * self.page..self.rows.min((p + 1) * self.page)
    }

    /// Whether row t takes part.
    unsafe fn is_in(&self, t: usize) -> bool {
        self.within.is_null() || *self.within.add(t) > 0.0
    }

    /// Rows of page p that take part.
    unsafe fn rows_in(&self, p: usize) -> usize {
        let rows = self.rows_of(p);
        if self.within.is_null() { rows.len() } else { rows.filter(|t| self.is_in(*t)).count() }
    }

    /// Weights [minima, maxima] of query head g of the group.
    unsafe fn weights(&self, g: usize) -> *const f32 {
        self.weights.add(2 * g * self.dim)
    }

    /// Bounds of page p.
    unsafe fn found<C: Rows>(&self, p: usize) -> Page {
        let (rows, width) = (self.rows_of(p), self.dim * C::BYTES);
        if self.page > 1 && rows.len() == self.page {
            Page { at: self.bounds.add(rows.start * self.row_bytes), rows: 1, step: 0, past: width }
        } else {
            Page { at: self.keys.add(rows.start * width), rows: rows.len(), step: width, past: 0 }
        }
    }

    /// The largest promise to the group.
    unsafe fn best<C: Rows>(&self, group: usize, p: usize) -> f32 {
        let found = self.found::<C>(p);
        let promise = |g: usize| found.dot::<C>(self.weights(g), self.dim);
        (0..group).map(promise).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
    }

    /// Calls `then(p, promises)` for the pages that have rows that take part, in order; the first `known` pages with what is kept of them.
    #[inline(always)]
    unsafe fn each<C: Rows, const R: usize>(
        &self,
        g: usize,
        sides: Option<*const Sides<R>>,
        kept: *const [f32; R],
        known: usize,
        mut then: impl FnMut(usize, [f32; R]),
    ) {
        let (mut waiting, mut count) = ([0; SIDE], 0);
        for p in 0..self.pages() {
            if self.rows_in(p) > 0 {
                waiting[count] = p;
                count += 1;
            }
            if count == SIDE || count > 0 && (p + 1 == known || p + 1 == self.pages()) {
                let promised = if p < known { waiting.map(|p| *kept.add(p)) } else { self.promises::<C, R>(g, sides, &waiting, count) };
                (0..count).for_each(|i| then(waiting[i], promised[i]));
                count = 0;
            }
        }
    }

    /// What the first `count` of these pages promise R query heads.
    #[inline(never)]
    unsafe fn promises<C: Rows, const R: usize>(
        &self,
        g: usize,
        sides: Option<*const Sides<R>>,
        pages: &[usize; SIDE],
        count: usize,
    ) -> [[f32; R]; SIDE] {
        let found = pages.map(|p| self.found::<C>(p));
        match sides {
            Some(sides) if count == SIDE && found[SIDE - 1].rows == 1 => products::<C, R>(found, sides, self.dim),
            _ => core::array::from_fn(|i| {
                core::array::from_fn(|head| if i < count { found[i].dot::<C>(self.weights(g + head), self.dim) } else { 0.0 })
            }),
        }
    }

    /// Changes the scores of the rows of a page.
    unsafe fn fill(&self, p: usize, f: impl Fn(f32) -> f32) {
        for t in self.rows_of(p) {
            *self.out.add(t) = f(*self.out.add(t));
        }
    }

    /// Puts the rows of a page that take no part below all others.
    unsafe fn exclude(&self, p: usize) {
        for t in self.rows_of(p) {
            if !self.is_in(t) {
                *self.out.add(t) = SENTINEL;
            }
        }
    }
}

/// Weights of R heads that all look at the same bound of a channel: by eight channels, head by head, in raw order.
struct Sides<const R: usize> {
    weights: [[f32; WIDEST]; R],
    /// All bits of a channel, as it is stored, whose maximum counts.
    upper: [u32; WIDEST],
}

impl<const R: usize> Sides<R> {
    /// Written to `room`; none if heads look at different bounds, or channels do not come in eights.
    unsafe fn of<C: Rows>(room: *mut Sides<R>, weights: *const f32, dim: usize) -> Option<*const Sides<R>> {
        if dim % 8 != 0 || dim > WIDEST {
            return None;
        }
        let (to, upper) = (&raw mut (*room).weights as *mut f32, &raw mut (*room).upper as *mut u8);
        for c in 0..dim {
            let looks = |side: usize| (0..R).any(|g| *weights.add((2 * g + side) * dim + c) != 0.0);
            if looks(0) && looks(1) {
                return None;
            }
            let bits = if looks(1) { u32::MAX } else { 0 };
            core::ptr::copy_nonoverlapping((&raw const bits) as *const u8, upper.add(c * C::BYTES), C::BYTES);
        }
        for d in (0..dim).step_by(8) {
            for g in 0..R {
                let at = weights.add(2 * g * dim + d);
                let both = |i: usize| f32x4_mul(f32x4_add(load(at.add(i)), load(at.add(dim + i))), f32x4_splat(C::LIFT));
                let (lo, hi) = C::to_raw(both(0), both(4));
                store(to.add(R * d + 8 * g), lo);
                store(to.add(R * d + 8 * g + 4), hi);
            }
        }
        Some(room)
    }
}

/// Weights times the bounds that they look at.
#[inline(always)]
unsafe fn products<C: Rows, const R: usize>(pages: [Page; SIDE], sides: *const Sides<R>, dim: usize) -> [[f32; R]; SIDE] {
    let (mask, weights, upper) = (C::mask(), &raw const (*sides).weights as *const f32, &raw const (*sides).upper as *const u8);
    let mut acc = [[f32x4_splat(0.0); R]; SIDE];
    for d in (0..dim).step_by(8) {
        for (page, acc) in pages.iter().zip(&mut acc) {
            let least = page.at.add(d * C::BYTES);
            let (x, y) = C::pick8(least, least.add(page.past), upper.add(d * C::BYTES), mask);
            for (g, acc) in acc.iter_mut().enumerate() {
                let w = weights.add(R * d + 8 * g);
                *acc = fma(y, load(w.add(4)), fma(x, load(w), *acc));
            }
        }
    }
    acc.map(|heads| heads.map(|a| sum(a) * (C::SCALE / C::LIFT)))
}
