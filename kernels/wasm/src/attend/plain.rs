//! Scores and sums of values of a tile of rows that are stored as floats.

use super::decode::{Query, Sums, LANES};
use crate::half::Rows;
use crate::math::*;

/// Scores of R queries and `rows` rows. Four queries times four rows are more sums than registers: two and two again take half the time.
pub unsafe fn scores<K: Rows, const R: usize>(q: Query, keys: *const u8, dim: usize, rows: usize, s: *mut f32) {
    if R < 4 {
        return dots::<K, R>(q, keys, dim, rows, s);
    }
    dots::<K, 2>(q, keys, dim, rows, s);
    dots::<K, 2>(q.after(2), keys, dim, rows, s.add(2 * LANES));
}

/// s[g][t] = raw dot of query g and row t; four rows at a time, so scores behind the last are repeats of it.
#[inline(never)]
unsafe fn dots<K: Rows, const R: usize>(q: Query, keys: *const u8, dim: usize, rows: usize, s: *mut f32) {
    let (parts, bytes) = (K::parts(), dim * K::BYTES);
    let (mut first, last) = (keys, keys.add((rows - 1) * bytes));
    for t in (0..rows).step_by(4) {
        let mut row = [first; 4];
        for i in 1..4 {
            row[i] = row[i - 1].add(if row[i - 1] < last { bytes } else { 0 });
        }
        first = row[3].add(bytes);
        let mut acc = [[f32x4_splat(0.0); 4]; R];
        let mut at = q.at;
        for _ in 0..dim / 8 {
            for i in 0..4 {
                let (x, y) = K::load8(row[i], parts);
                for g in 0..R {
                    acc[g][i] = fma(y, load(at.add(8 * g + 4)), fma(x, load(at.add(8 * g)), acc[g][i]));
                }
                row[i] = row[i].add(8 * K::BYTES);
            }
            at = at.add(q.step);
        }
        for g in 0..R {
            let mut total = sums(acc[g][0], acc[g][1], acc[g][2], acc[g][3]);
            if dim % 8 > 0 {
                total = rest::<K>(row, at.add(8 * g), dim % 8, total);
            }
            store(s.add(g * LANES + t), total);
        }
    }
}

/// Adds what `count` more channels give to the dots of four rows.
#[inline(never)]
unsafe fn rest<K: Rows>(row: [*const u8; 4], q: *const f32, count: usize, dots: v128) -> v128 {
    (0..count).fold(dots, |dots, d| {
        let [x, y, z, w] = row.map(|row| K::one(row.add(d * K::BYTES)));
        fma(f32x4(x, y, z, w), splat(q.add(d)), dots)
    })
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
