//! What the bounds of pages promise a query: pageScores.

use super::select::{Page, ROWS};
use crate::half::{Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::passes;
use crate::program::Instr;
use crate::team::Team;
use core::mem::MaybeUninit;

/// Pages whose promises are worked out side by side: weights are then read once for all.
const SIDE: usize = 3;
/// Channels at most, for which sides are worked out.
const WIDEST: usize = 512;

/// Floats of scratch by softmax: per KV head a plane of rows that take part by page, and one of promises per query head; then a share per
/// query head. Planes are whole vectors.
pub fn floats(heads: usize, kv_heads: usize, page: usize, capacity: usize) -> usize {
    (heads / kv_heads + 1).saturating_mul(capacity / page + 5 * kv_heads).saturating_add(heads)
}

/// One phase where the largest promise is asked for, three for shares of a softmax: promises, powers of e and their sums, shares.
pub unsafe fn phases(instr: &Instr) -> u32 {
    if instr.u(6) == 0 { 1 } else { 3 }
}

/// Operands weights, keys, layout, out, bounds, within, scratch; parameters heads, kvHeads, dim, codec, page, rowBytes, by, capacity.
pub unsafe fn page_scores(instr: &Instr, phase: u32, team: &Team) {
    match instr.u(3) {
        0 => scores::<F32>(instr, phase, team),
        _ => scores::<F16>(instr, phase, team),
    }
}

unsafe fn scores<C: Rows>(instr: &Instr, phase: u32, team: &Team) {
    let (heads, kv_heads, page) = (instr.u(0), instr.u(1), instr.u(4));
    let group = heads / kv_heads;
    let of = |h: usize| Head::of(instr, h);
    let shares = instr.ptr::<f32>(6).add(floats(heads, kv_heads, page, instr.u(7)) - heads);
    if phase == 1 {
        return team.each(heads, |i| *shares.add(i) = of(i / group).powers(i % group));
    }
    let per_item = ROWS.div_ceil(page).next_multiple_of(4);
    let blocks = (0..kv_heads).map(|h| of(h).pages()).max().unwrap_or(0).div_ceil(per_item);
    team.each(kv_heads * blocks, |item| {
        let (h, from) = (item / blocks, item % blocks * per_item);
        let head = of(h);
        let pages = from..head.pages().min(from + per_item);
        match phase {
            0 if instr.u(6) == 0 => pages.for_each(|p| head.fill(p, head.best::<C>(p), head.rows_in(p))),
            0 => passes!(group, g, R => head.promise::<C, R>(g, pages.clone())),
            _ => head.shares(pages, shares.add(h * group)),
        }
    });
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
    /// First plane of scratch.
    planes: *mut f32,
}

impl Head {
    unsafe fn of(instr: &Instr, h: usize) -> Head {
        let (s, dim, row_bytes, group) = (segment(instr, 2, h), instr.u(2), instr.u(5), instr.u(0) / instr.u(1));
        let width = if instr.u(3) == 0 { 4 } else { 2 };
        let before: usize = (0..h).map(|i| padded(segment(instr, 2, i).rows(), instr.u(4))).sum();
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
            planes: instr.ptr::<f32>(6).wrapping_add((group + 1) * before),
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

    /// The largest promise to the group, if any row of the page takes part.
    unsafe fn best<C: Rows>(&self, p: usize) -> f32 {
        if self.rows_in(p) == 0 {
            return SENTINEL;
        }
        let found = self.found::<C>(p);
        let promise = |g: usize| found.dot::<C>(self.weights(g), self.dim);
        (0..self.group).map(promise).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
    }

    /// Plane of query head g; that of rows is behind the last one.
    unsafe fn plane(&self, g: usize) -> *mut f32 {
        self.planes.add(g * padded(self.rows, self.page))
    }

    /// Writes what these pages promise R query heads, from number g of the group on, and how many of their rows take part; of a page that none of
    /// takes part, promises are as small as can be.
    #[inline(never)]
    unsafe fn promise<C: Rows, const R: usize>(&self, g: usize, pages: core::ops::Range<usize>) {
        let mut room = MaybeUninit::<Sides<R>>::uninit();
        let sides = Sides::<R>::of::<C>(room.as_mut_ptr(), self.weights(g), self.dim);
        let (mut waiting, mut count) = ([0; SIDE], 0);
        let is_last = !pages.is_empty() && pages.end == self.pages();
        // The rest of a plane is of pages without rows.
        for p in pages.start..if is_last { padded(self.rows, self.page) } else { pages.end } {
            let rows = if p < pages.end { self.rows_in(p) } else { 0 };
            *self.plane(self.group).add(p) = rows as f32;
            if rows > 0 {
                waiting[count] = p;
                count += 1;
            } else {
                (0..R).for_each(|i| *self.plane(g + i).add(p) = SENTINEL);
            }
            if count == SIDE || p + 1 == pages.end {
                self.work_out::<C, R>(g, sides, &waiting, count);
                count = 0;
            }
        }
    }

    /// Works out what the first `count` of these pages promise.
    #[inline(always)]
    unsafe fn work_out<C: Rows, const R: usize>(&self, g: usize, sides: Option<*const Sides<R>>, pages: &[usize; SIDE], count: usize) {
        let found = pages.map(|p| self.found::<C>(p));
        let promised = match sides {
            Some(sides) if count == SIDE && found[SIDE - 1].rows == 1 => products::<C, R>(found, sides, self.dim),
            _ => core::array::from_fn(|i| {
                core::array::from_fn(|head| if i < count { found[i].dot::<C>(self.weights(g + head), self.dim) } else { 0.0 })
            }),
        };
        for (p, promised) in pages.iter().zip(promised).take(count) {
            (0..R).for_each(|i| *self.plane(g + i).add(*p) = promised[i]);
        }
    }

    /// Turns the promises to query head g into powers of e, the largest 1: one over their sum over rows and over the heads of the group.
    unsafe fn powers(&self, g: usize) -> f32 {
        let (plane, rows, count) = (self.plane(g), self.plane(self.group), padded(self.rows, self.page));
        let top = (0..count).step_by(4).fold(f32x4_splat(SENTINEL), |top, p| f32x4_pmax(top, load(plane.add(p))));
        let (top, mut all) = (f32x4_splat(max(top)), f32x4_splat(0.0));
        for p in (0..count).step_by(4) {
            let e = exp_negative(f32x4_sub(load(plane.add(p)), top));
            all = fma(e, load(rows.add(p)), all);
            store(plane.add(p), e);
        }
        1.0 / (sum(all) * self.group as f32)
    }

    /// Gives the rows of these pages, the first of which is a multiple of four, the mean of their shares.
    unsafe fn shares(&self, pages: core::ops::Range<usize>, shares: *const f32) {
        for p in pages.clone().step_by(4) {
            let add = |mean: v128, g: usize| fma(load(self.plane(g).add(p)), splat(shares.add(g)), mean);
            let mut means = [0f32; 4];
            store(means.as_mut_ptr(), (0..self.group).fold(f32x4_splat(0.0), add));
            for i in 0..4.min(pages.end - p) {
                self.fill(p + i, means[i], *self.plane(self.group).add(p + i) as usize);
            }
        }
    }

    /// Gives the `count` rows of a page that take part a score; the others come last.
    unsafe fn fill(&self, p: usize, score: f32, count: usize) {
        let rows = self.rows_of(p);
        let all = count == rows.len();
        for t in rows {
            *self.out.add(t) = if all || count > 0 && self.is_in(t) { score } else { SENTINEL };
        }
    }
}

/// Pages of so many rows, in whole vectors.
fn padded(rows: usize, page: usize) -> usize {
    rows.div_ceil(page).next_multiple_of(4)
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
    let (parts, weights, upper) = (C::parts(), &raw const (*sides).weights as *const f32, &raw const (*sides).upper as *const u8);
    let mut acc = [[f32x4_splat(0.0); R]; SIDE];
    for d in (0..dim).step_by(8) {
        for (page, acc) in pages.iter().zip(&mut acc) {
            let least = page.at.add(d * C::BYTES);
            let (x, y) = C::pick8(least, least.add(page.past), upper.add(d * C::BYTES), parts);
            for (g, acc) in acc.iter_mut().enumerate() {
                let w = weights.add(R * d + 8 * g);
                *acc = fma(y, load(w.add(4)), fma(x, load(w), *acc));
            }
        }
    }
    acc.map(|heads| heads.map(|a| sum(a) * (C::SCALE / C::LIFT)))
}
