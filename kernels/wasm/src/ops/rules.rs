//! Nested rules: profile finds each head's, obey applies it.

use super::rank::Best;
use crate::layout::segment;
use crate::program::Instr;
use crate::team::Team;

/// One head under the rules. Operands and parameters as both ops have them: position 3, layout 4, newest 5, out 6; heads, numerator,
/// denominator, window, sinks.
struct Nested {
    mass: *const f32,
    class: *const f32,
    position: *const u32,
    /// Where keys are kept while heavy hitters are sought.
    keys: *mut u32,
    rows: usize,
    seen: u64,
    heavy: usize,
    window: u64,
    sinks: u32,
}

impl Nested {
    unsafe fn of(instr: &Instr, h: usize, class: usize) -> Nested {
        let s = segment(instr, 4, h);
        let seen = *instr.ptr::<u32>(5) as u64 + 1;
        Nested {
            mass: instr.ptr::<f32>(0).add(s.from()),
            class: instr.ptr::<f32>(class).add(s.from()),
            position: instr.ptr::<u32>(3).add(s.from()),
            keys: instr.ptr::<u32>(6).add(s.from()),
            rows: s.rows(),
            seen,
            heavy: (seen * instr.u(1) as u64).div_ceil(instr.u(2) as u64) as usize,
            window: instr.u(3) as u64,
            sinks: instr.u(4) as u32,
        }
    }

    unsafe fn always(&self, rule: u32, t: usize) -> bool {
        let class = *self.class.add(t);
        *self.position.add(t) < self.sinks || class == 1.0 || rule >= 2 && class == 2.0
    }

    unsafe fn local(&self, rule: u32, t: usize) -> bool {
        rule == 4 && *self.position.add(t) as u64 + self.window >= self.seen
    }

    /// Calls `each(t, stays)` for all rows in order.
    unsafe fn kept(&self, rule: u32, mut each: impl FnMut(usize, bool)) {
        let count = if rule == 3 || rule == 4 { self.heavy } else { 0 };
        let mut best = Best::of(self.rows, self.keys, count, |t| {
            if self.always(rule, t) || self.local(rule, t) {
                return None;
            }
            Some((*self.mass.add(t) as f64 / (self.seen as i64 - *self.position.add(t) as i64) as f64) as f32)
        });
        for t in 0..self.rows {
            let heavy = best.has(t);
            each(t, rule == 5 || heavy || self.always(rule, t) || self.local(rule, t));
        }
    }
}

/// Operands mass, near, class, position, layout, newest, out; the parameters, then recovery.
pub unsafe fn profile(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let (s, head) = (segment(instr, 4, h), Nested::of(instr, h, 2));
        let near = instr.ptr::<f32>(1).add(s.from());
        let mut found = 5;
        for rule in (1..5).rev() {
            let (mut recovered, mut any) = (0f64, false);
            head.kept(rule, |t, stays| {
                let window_only = head.local(rule, t) && !head.always(rule, t);
                if stays {
                    recovered += if window_only { *near.add(t) } else { *head.mass.add(t) } as f64;
                    any = true;
                }
            });
            if any && recovered / head.seen as f64 >= instr.f(5) as f64 {
                found = rule;
            }
        }
        core::slice::from_raw_parts_mut(instr.ptr::<f32>(6).add(s.from()), s.rows()).fill(found as f32);
    });
}

/// Operands mass, class, rule, position, layout, newest, out; the parameters.
pub unsafe fn obey(instr: &Instr, team: &Team) {
    team.each(instr.u(0), |h| {
        let (s, head) = (segment(instr, 4, h), Nested::of(instr, h, 1));
        let rules = instr.ptr::<f32>(2).add(s.from());
        let rule = (0..s.rows()).map(|t| *rules.add(t)).fold(0.0, |a: f32, b| if b > a { b } else { a });
        let out = instr.ptr::<f32>(6).add(s.from());
        head.kept(if rule == 0.0 { 5 } else { rule as u32 }, |t, stays| *out.add(t) = if stays { 1.0 } else { 0.0 });
    });
}
