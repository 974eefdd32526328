//! Ops by which a query reads some rows only: minmaxPages, pageScores.

use crate::half::{encode_f16, Rows, F16, F32};
use crate::layout::segment;
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;
use core::mem::MaybeUninit;
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

    /// Weights times the bounds that they look at, for R heads.
    #[inline(always)]
    unsafe fn products<C: Rows, const R: usize>(&self, sides: *const Sides<R>, dim: usize) -> [f32; R] {
        let (mask, weights, upper) = (C::mask(), &raw const (*sides).weights as *const f32, &raw const (*sides).upper as *const f32);
        let mut acc = [[f32x4_splat(0.0); 2]; R];
        for d in (0..dim).step_by(8) {
            let [least, most] = self.bounds8::<C>(d, mask);
            let x = v128_bitselect(most.0, least.0, load(upper.add(d)));
            let y = v128_bitselect(most.1, least.1, load(upper.add(d + 4)));
            for (g, acc) in acc.iter_mut().enumerate() {
                let w = weights.add(R * d + 8 * g);
                *acc = [fma(x, load(w), acc[0]), fma(y, load(w.add(4)), acc[1])];
            }
        }
        acc.map(|[a, b]| sum(f32x4_add(a, b)) * (C::SCALE / C::LIFT))
    }

    /// Weights [minima, maxima] times bounds.
    #[inline(never)]
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
            let found = found::<C>(instr, h, p);
            let promise = |g: usize| found.dot::<C>(weights_of(instr, h * group + g), instr.u(2));
            let best = (0..group).map(promise).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
            fill(instr, h, p, |_| best);
        });
    }
    team.each(kv_heads, |h| {
        fill_rows(instr, h, |_| 0.0);
        for g in (0..group).step_by(PASS) {
            match group - g {
                1 => masses::<C, 1>(instr, h, g),
                2 => masses::<C, 2>(instr, h, g),
                3 => masses::<C, 3>(instr, h, g),
                _ => masses::<C, 4>(instr, h, g),
            }
        }
    });
}

/// Adds the shares of the softmax of R query heads of KV head h, from number g of its group on, to the scores of its rows.
#[inline(never)]
unsafe fn masses<C: Rows, const R: usize>(instr: &Instr, h: usize, g: usize) {
    let (page, group) = (instr.u(4), instr.u(0) / instr.u(1));
    let length = segment(instr, 2, h).rows();
    let mut room = MaybeUninit::<Sides<R>>::uninit();
    let sides = Sides::<R>::of::<C>(room.as_mut_ptr(), weights_of(instr, h * group + g), instr.u(2));
    let mut first = MaybeUninit::<[f32; KEPT]>::uninit();
    let first = first.as_mut_ptr() as *mut [f32; R];
    let (mut top, mut all) = ([f32::NEG_INFINITY; R], [0f64; R]);
    for p in 0..length.div_ceil(page) {
        let rows = page.min(length - p * page) as f64;
        let promised = promises::<C, R>(instr, h, g, p, sides);
        if p < KEPT / R {
            *first.add(p) = promised;
        }
        for (i, u) in promised.into_iter().enumerate() {
            if u > top[i] {
                all[i] *= exp1(top[i] - u) as f64;
                top[i] = u;
            }
            all[i] += exp1(u - top[i]) as f64 * rows;
        }
    }
    let share: [f32; R] = core::array::from_fn(|i| 1.0 / (all[i] as f32 * group as f32));
    for p in 0..length.div_ceil(page) {
        let u = if p < KEPT / R { *first.add(p) } else { promises::<C, R>(instr, h, g, p, sides) };
        let mass: f32 = (0..R).map(|i| exp1(u[i] - top[i]) * share[i]).sum();
        fill(instr, h, p, |before| before + mass);
    }
}

/// What page p promises R query heads.
#[inline(never)]
unsafe fn promises<C: Rows, const R: usize>(instr: &Instr, h: usize, g: usize, p: usize, sides: Option<*const Sides<R>>) -> [f32; R] {
    let (found, dim, group) = (found::<C>(instr, h, p), instr.u(2), instr.u(0) / instr.u(1));
    match sides {
        Some(sides) => found.products::<C, R>(sides, dim),
        None => core::array::from_fn(|i| found.dot::<C>(weights_of(instr, h * group + g + i), dim)),
    }
}

/// Minima and maxima of page p of KV head h.
unsafe fn found<C: Rows>(instr: &Instr, h: usize, p: usize) -> Page {
    let (page, s) = (instr.u(4), segment(instr, 2, h));
    let (slot, rows) = (s.from() + p * page, page.min(s.rows() - p * page));
    let width = instr.u(2) * C::BYTES;
    if page > 1 && rows == page {
        Page { at: instr.ptr::<u8>(4).add(slot * instr.u(5)), rows: 1, step: 0, past: width }
    } else {
        Page { at: instr.ptr::<u8>(1).add(slot * width), rows, step: width, past: 0 }
    }
}

/// Weights [minima, maxima] of a query head.
unsafe fn weights_of(instr: &Instr, head: usize) -> *const f32 {
    instr.ptr::<f32>(0).add(2 * head * instr.u(2))
}

/// Query heads in one pass.
const PASS: usize = 4;
/// Promises of the first pages that are remembered from one pass over them to the next, on a stack of 64 KiB.
const KEPT: usize = 6144;
/// Channels at most, for which sides are worked out.
const WIDEST: usize = 512;

/// Weights of R heads that all look at the same bound of a channel: by eight channels, head by head, in raw order.
struct Sides<const R: usize> {
    weights: [[f32; WIDEST]; R],
    /// All bits of a channel whose maximum counts, in raw order.
    upper: [u32; WIDEST],
}

impl<const R: usize> Sides<R> {
    /// Written to `room`; none if heads look at different bounds, or channels do not come in eights.
    unsafe fn of<C: Rows>(room: *mut Sides<R>, weights: *const f32, dim: usize) -> Option<*const Sides<R>> {
        if dim % 8 != 0 || dim > WIDEST {
            return None;
        }
        let (to, upper) = (&raw mut (*room).weights as *mut f32, &raw mut (*room).upper as *mut f32);
        for d in (0..dim).step_by(8) {
            let zero = f32x4_splat(0.0);
            let mut sides = [[zero; 2]; 2];
            for (g, half) in (0..R).flat_map(|g| [(g, 0), (g, 1)]) {
                let at = weights.add(2 * g * dim + d + 4 * half);
                sides[0][half] = v128_or(sides[0][half], f32x4_ne(load(at), zero));
                sides[1][half] = v128_or(sides[1][half], f32x4_ne(load(at.add(dim)), zero));
            }
            if v128_any_true(v128_or(v128_and(sides[0][0], sides[1][0]), v128_and(sides[0][1], sides[1][1]))) {
                return None;
            }
            let (lo, hi) = C::to_raw(sides[1][0], sides[1][1]);
            store(upper.add(d), lo);
            store(upper.add(d + 4), hi);
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
