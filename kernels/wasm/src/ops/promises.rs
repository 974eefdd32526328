//! What the bounds of pages promise a query: pageScores.

use super::select::{Page, ROWS};
use super::sides::{Sides, Stored};
use crate::attend::decode::Sums;
use crate::half::{Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::passes;
use crate::program::Instr;
use crate::team::Team;
use core::mem::MaybeUninit;

/// Pages of a work item at most.
const MOST: usize = ROWS.next_multiple_of(4);

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

    /// Bounds that are stored page by page; of single rows the rows themselves.
    fn stored<C: Rows>(&self) -> Stored {
        let past = self.dim * C::BYTES;
        if self.page > 1 {
            Stored { first: self.bounds, apart: self.page * self.row_bytes, past }
        } else {
            Stored { first: self.keys, apart: past, past: 0 }
        }
    }

    /// Bounds of page p: stored ones where it is full.
    unsafe fn found<C: Rows>(&self, p: usize) -> Page {
        let (rows, width) = (self.rows_of(p), self.dim * C::BYTES);
        if rows.len() == self.page {
            let stored = self.stored::<C>();
            Page { at: stored.first.add(p * stored.apart), rows: 1, step: 0, past: stored.past }
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
        if pages.is_empty() {
            return;
        }
        let mut room = MaybeUninit::<Sides<C, R>>::uninit();
        let sides = Sides::<C, R>::of(room.as_mut_ptr(), self.weights(g), self.dim);
        let (mut full, mut count) = ([0u32; MOST], 0);
        for p in pages.clone() {
            let rows = self.rows_in(p);
            *self.plane(self.group).add(p) = rows as f32;
            if rows > 0 && sides.is_some() && self.rows_of(p).len() == self.page {
                full[count] = p as u32;
                count += 1;
                continue;
            }
            for i in g..g + R {
                *self.plane(i).add(p) = if rows > 0 { self.found::<C>(p).dot::<C>(self.weights(i), self.dim) } else { SENTINEL };
            }
        }
        if let (Some(sides), true) = (sides, count > 0) {
            let to = Sums { at: self.plane(g), step: padded(self.rows, self.page) };
            (*sides).products(self.dim, self.stored::<C>(), &full[..count], to);
        }
        if pages.end == self.pages() {
            // The rest of a plane is of pages without rows.
            for p in pages.end..padded(self.rows, self.page) {
                (g..g + R).for_each(|i| *self.plane(i).add(p) = SENTINEL);
                *self.plane(self.group).add(p) = 0.0;
            }
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
