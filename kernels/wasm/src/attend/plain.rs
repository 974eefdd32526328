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
    let (mask, bytes) = (K::mask(), dim * K::BYTES);
    for t in (0..rows).step_by(4) {
        let mut row: [*const u8; 4] = core::array::from_fn(|i| keys.add((t + i).min(rows - 1) * bytes));
        let mut acc = [[f32x4_splat(0.0); 4]; R];
        let mut at = q.at;
        for _ in 0..dim / 8 {
            for i in 0..4 {
                let (x, y) = K::load8(row[i], mask);
                for g in 0..R {
                    acc[g][i] = fma(y, load(at.add(8 * g + 4)), fma(x, load(at.add(8 * g)), acc[g][i]));
                }
                row[i] = row[i].add(8 * K::BYTES);
            }
            at = at.add(q.step);
        }
        for g in 0..R {
            let mut total = sums(acc[g][0], acc[g][1], acc[g][2], acc[g][3]);
            for d in 0..dim % 8 {
                let [x, y, z, w] = row.map(|row| K::one(row.add(d * K::BYTES)));
                total = fma(f32x4(x, y, z, w), splat(at.add(8 * g + d)), total);
            }
            store(s.add(g * LANES + t), total);
        }
    }
}

/// o[g] += sum over rows of p[g][t] * row t, in raw order.
#[inline(never)]
pub unsafe fn values<V: Rows, const R: usize>(p: *const f32, rows: *const u8, dim: usize, count: usize, o: Sums) {
    let (bytes, mask) = (dim * V::BYTES, V::mask());
    for d in (0..dim & !7).step_by(8) {
        let mut acc: [[v128; 2]; R] = core::array::from_fn(|g| core::array::from_fn(|i| load(o.of(g).add(d + 4 * i))));
        let mut row = rows.add(d * V::BYTES);
        for t in 0..count {
            let (x, y) = V::load8(row, mask);
            for g in 0..R {
                let p = splat(p.add(g * LANES + t));
                acc[g] = [fma(x, p, acc[g][0]), fma(y, p, acc[g][1])];
            }
            row = row.add(bytes);
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
