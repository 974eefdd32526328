//! Scores and sums of values of a tile of rows that are stored as floats.

use super::decode::{Query, Sums, LANES};
use crate::half::Rows;
use crate::math::*;

/// Channels of which what all rows are multiplied with stays at hand.
pub const SPAN: usize = 64;

/// Scores of R queries and `rows` rows: s[g][t] = raw dot of query g and row t. Four queries are more sums than registers: two and two.
pub unsafe fn scores<K: Rows, const R: usize>(q: Query, keys: *const u8, dim: usize, rows: usize, s: *mut f32) {
    if R == 4 {
        scores::<K, 2>(q, keys, dim, rows, s);
        return scores::<K, 2>(q.after(2), keys, dim, rows, s.add(2 * LANES));
    }
    let (whole, bytes) = (dim & !7, dim * K::BYTES);
    if whole == 0 {
        (0..R).for_each(|g| core::slice::from_raw_parts_mut(s.add(g * LANES), rows).fill(0.0));
    }
    for c in (0..whole).step_by(SPAN) {
        let part = Part { q: Query { at: q.at.add(c / 8 * q.step), ..q }, steps: SPAN.min(whole - c) / 4, more: c > 0 };
        let keys = keys.add(c * K::BYTES);
        match R {
            3 => dots::<K, R, 3>(part, keys, bytes, rows, s),
            _ => dots::<K, R, 4>(part, keys, bytes, rows, s),
        }
    }
    for d in whole..dim {
        for g in 0..R {
            let weight = *q.at.add(whole / 8 * q.step + 8 * g + d - whole);
            (0..rows).for_each(|t| *s.add(g * LANES + t) += weight * K::one(keys.add(t * bytes + d * K::BYTES)));
        }
    }
}

/// Some channels of queries, four a step, and whether their dots are added to what is there.
struct Part {
    q: Query,
    steps: usize,
    more: bool,
}

/// Dots of some channels, N rows at a time; scores behind the last mean nothing. The queries are read into variables once: more than there
/// are registers, but an engine keeps the others on its own stack, which it reads without the check of bounds that every access to memory takes. That
/// each step ends in a question keeps compilers from taking channels in another order, in which sums would lie there too.
#[inline(never)]
unsafe fn dots<K: Rows, const R: usize, const N: usize>(part: Part, keys: *const u8, bytes: usize, rows: usize, s: *mut f32) {
    let (parts, Part { q, steps, more }) = (K::parts(), part);
    let queries: [[v128; R]; SPAN / 4] = core::array::from_fn(|step| {
        let at = q.at.add(step.min(steps - 1) / 2 * q.step + step % 2 * 4);
        core::array::from_fn(|g| load(at.add(8 * g)))
    });
    let last = keys.add((rows - 1) * bytes);
    let (mut first, mut s) = (keys, s);
    loop {
        let mut row = [first; N];
        for i in 1..N {
            row[i] = if row[i - 1] == last { last } else { row[i - 1].add(bytes) };
        }
        let mut acc = [[f32x4_splat(0.0); N]; R];
        macro_rules! steps {
            ($($step:literal)*) => {
                'steps: {
                    $(for i in 0..N {
                        let x = K::four(row[i], $step, parts);
                        for g in 0..R {
                            acc[g][i] = if $step == 0 { f32x4_mul(x, queries[0][g]) } else { fma(x, queries[$step][g], acc[g][i]) };
                        }
                    }
                    if steps == $step + 1 {
                        break 'steps;
                    })*
                }
            };
        }
        steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for g in 0..R {
            // Of three rows, nothing for the fourth, whose own sum comes next.
            let fourth = if N > 3 { acc[g][N - 1] } else { f32x4_splat(0.0) };
            let (to, total) = (s.add(g * LANES), sums(acc[g][0], acc[g][1], acc[g][2], fourth));
            store(to, if more { f32x4_add(load(to), total) } else { total });
        }
        if row[N - 1] == last {
            break;
        }
        first = row[N - 1].add(bytes);
        s = s.add(N);
    }
}

/// o[g] += sum over rows of p[g][t] * row t, in raw order. `count` is at least 1. Weights are read for four rows at once; that each row ends in
/// a question keeps compilers from sorting the sums of four rows by query, which takes more registers than there are.
#[inline(never)]
pub unsafe fn values<V: Rows, const R: usize>(p: *const f32, rows: *const u8, dim: usize, count: usize, o: Sums) {
    let (parts, bytes) = (V::parts(), dim * V::BYTES);
    for d in (0..dim & !7).step_by(8) {
        let mut acc: [[v128; 2]; R] = core::array::from_fn(|g| core::array::from_fn(|i| load(o.of(g).add(d + 4 * i))));
        let (mut p, mut row) = (p, rows.add(d * V::BYTES));
        let end = row.add(count * bytes);
        macro_rules! add_row {
            ($weights:ident, $i:literal) => {
                let (x, y) = V::load8(row, parts);
                for g in 0..R {
                    let weight = i32x4_shuffle::<$i, $i, $i, $i>($weights[g], $weights[g]);
                    acc[g] = [fma(x, weight, acc[g][0]), fma(y, weight, acc[g][1])];
                }
                row = row.add(bytes);
                if row == end {
                    break;
                }
            };
        }
        loop {
            let weights: [v128; R] = core::array::from_fn(|g| load(p.add(g * LANES)));
            add_row!(weights, 0);
            add_row!(weights, 1);
            add_row!(weights, 2);
            add_row!(weights, 3);
            p = p.add(4);
        }
        for g in 0..R {
            for i in 0..2 {
                store(o.of(g).add(d + 4 * i), acc[g][i]);
            }
        }
    }
    for d in dim & !7..dim {
        for g in 0..R {
            let terms = (0..count).map(|t| *p.add(g * LANES + t) * V::one(rows.add(t * bytes + d * V::BYTES)));
            *o.of(g).add(d) += terms.sum::<f32>();
        }
    }
}
