//! Weights of heads that look at the same bound of each channel, times bounds of pages.

use crate::attend::decode::Sums;
use crate::attend::plain::SPAN;
use crate::half::Rows;
use crate::math::*;

/// Pages that are multiplied side by side.
const SIDE: usize = 2;
/// Channels at most.
const WIDEST: usize = 512;

/// Bounds page by page: where those of page 0 lie, bytes from page to page, and from minima to maxima.
#[derive(Clone, Copy)]
pub struct Stored {
    pub first: *const u8,
    pub apart: usize,
    pub past: usize,
}

/// Weights of R heads: by eight channels, head by head, in raw order.
pub struct Sides<C: Rows, const R: usize> {
    weights: [[f32; WIDEST]; R],
    /// All bits of a channel, as it is stored, whose maximum counts.
    upper: [C::Bits; WIDEST / 8],
}

/// Some channels from `channel` on, eight a step.
struct Part<C: Rows> {
    weights: *const f32,
    upper: *const C::Bits,
    channel: usize,
    steps: usize,
}

impl<C: Rows, const R: usize> Sides<C, R> {
    /// Written to `room` from [minima, maxima] of every head; none if heads look at different bounds, or channels do not come in eights.
    pub unsafe fn of(room: *mut Sides<C, R>, weights: *const f32, dim: usize) -> Option<*const Sides<C, R>> {
        if dim % 8 != 0 || dim > WIDEST {
            return None;
        }
        let to = &raw mut (*room).weights as *mut f32;
        for d in (0..dim).step_by(8) {
            let mut looks = [[i32x4_splat(0); 2]; 2];
            for g in 0..R {
                let at = weights.add(2 * g * dim + d);
                let four = [[load(at), load(at.add(4))], [load(at.add(dim)), load(at.add(dim + 4))]];
                for side in 0..2 {
                    looks[side] = core::array::from_fn(|i| v128_or(looks[side][i], f32x4_ne(four[side][i], f32x4_splat(0.0))));
                }
                let [lo, hi] = core::array::from_fn(|i| f32x4_mul(f32x4_add(four[0][i], four[1][i]), f32x4_splat(C::LIFT)));
                let (lo, hi) = C::to_raw(lo, hi);
                store(to.add(R * d + 8 * g), lo);
                store(to.add(R * d + 8 * g + 4), hi);
            }
            if (0..2).any(|i| v128_any_true(v128_and(looks[0][i], looks[1][i]))) {
                return None;
            }
            (&raw mut (*room).upper[d / 8]).write(C::bits8(looks[1]));
        }
        Some(room)
    }

    /// Writes weights times the bounds that they look at, of every head and each of some pages, one at least.
    pub unsafe fn products(&self, dim: usize, stored: Stored, pages: &[u32], to: Sums) {
        for channel in (0..dim).step_by(SPAN) {
            let weights = (&raw const self.weights as *const f32).add(R * channel);
            let upper = (&raw const self.upper as *const C::Bits).add(channel / 8);
            let part = Part::<C> { weights, upper, channel, steps: SPAN.min(dim - channel) / 8 };
            Self::add_part(part, stored, pages, to);
        }
    }

    /// The same of one part. As in [`crate::attend::plain`], what all pages are multiplied with is read into variables, and a question ends each step.
    #[inline(never)]
    unsafe fn add_part(part: Part<C>, stored: Stored, pages: &[u32], to: Sums) {
        let (parts, steps) = (C::parts(), part.steps);
        let within = |step: usize| step.min(steps - 1);
        let which: [C::Bits; SPAN / 8] = core::array::from_fn(|step| *part.upper.add(within(step)));
        let weights: [[[v128; 2]; R]; SPAN / 8] = core::array::from_fn(|step| {
            let at = part.weights.add(8 * R * within(step));
            core::array::from_fn(|g| [load(at.add(8 * g)), load(at.add(8 * g + 4))])
        });
        let first = stored.first.add(part.channel * C::BYTES);
        let last = pages.len() - 1;
        for n in (0..=last).step_by(SIDE) {
            let side: [usize; SIDE] = core::array::from_fn(|i| pages[last.min(n + i)] as usize);
            let least = side.map(|p| first.add(p * stored.apart));
            let most = least.map(|at| at.add(stored.past));
            let mut acc = [[f32x4_splat(0.0); R]; SIDE];
            macro_rules! steps {
                ($($step:literal)*) => {
                    'steps: {
                        $(for i in 0..SIDE {
                            let (x, y) = C::pick8(least[i].add(8 * $step * C::BYTES), most[i].add(8 * $step * C::BYTES), which[$step], parts);
                            for g in 0..R {
                                acc[i][g] = fma(y, weights[$step][g][1], fma(x, weights[$step][g][0], acc[i][g]));
                            }
                        }
                        if steps == $step + 1 {
                            break 'steps;
                        })*
                    }
                };
            }
            steps!(0 1 2 3 4 5 6 7);
            for i in 0..SIDE {
                for g in 0..R {
                    let (to, product) = (to.of(g).add(side[i]), sum(acc[i][g]) * (C::SCALE / C::LIFT));
                    // The last page may stand here twice; of a later part it is added to once.
                    if part.channel == 0 {
                        *to = product;
                    } else if n + i <= last {
                        *to += product;
                    }
                }
            }
        }
    }
}
