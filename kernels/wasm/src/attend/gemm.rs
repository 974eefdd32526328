//! Small f32 matrix products over tiles that lie in the cache: C[m, n] = or += A * B with A in any strides, so that a tile of
//! keys serves as rows and a tile of probabilities as columns without transposing either.

use crate::math::*;

/// A view of A: element (i, k) at `at + i * row + k * step`.
#[derive(Clone, Copy)]
pub struct Left {
    pub at: *const f32,
    pub row: usize,
    pub step: usize,
}

/// A row-major matrix.
#[derive(Clone, Copy)]
pub struct Rows {
    pub at: *mut f32,
    pub row: usize,
}

/// MR x 12 outputs in registers. Nine sums of four lanes are what V8 keeps there; at twelve it spills and takes twice as long.
#[inline(always)]
unsafe fn tile<const MR: usize, const ADD: bool>(k: usize, a: Left, b: *const f32, b_row: usize, c: Rows) {
    let mut acc = [[f32x4_splat(0.0); 3]; MR];
    if ADD {
        acc = core::array::from_fn(|i| core::array::from_fn(|j| load(c.at.add(i * c.row + 4 * j))));
    }
    let mut pa: [*const f32; MR] = core::array::from_fn(|i| a.at.add(i * a.row));
    let mut pb = b;
    for _ in 0..k {
        let row: [v128; 3] = core::array::from_fn(|j| load(pb.add(4 * j)));
        for i in 0..MR {
            let x = splat(pa[i]);
            for j in 0..3 {
                acc[i][j] = fma(x, row[j], acc[i][j]);
            }
            pa[i] = pa[i].add(a.step);
        }
        pb = pb.add(b_row);
    }
    for i in 0..MR {
        for j in 0..3 {
            store(c.at.add(i * c.row + 4 * j), acc[i][j]);
        }
    }
}

/// C = A * B, or C += A * B; n is a multiple of 12.
#[inline(never)]
pub unsafe fn multiply<const ADD: bool>(m: usize, n: usize, k: usize, a: Left, b: Rows, c: Rows) {
    for j in (0..n).step_by(12) {
        for i in (0..m - m % 3).step_by(3) {
            let a = Left { at: a.at.add(i * a.row), ..a };
            tile::<3, ADD>(k, a, b.at.add(j), b.row, Rows { at: c.at.add(i * c.row + j), ..c });
        }
        for i in m - m % 3..m {
            let a = Left { at: a.at.add(i * a.row), ..a };
            tile::<1, ADD>(k, a, b.at.add(j), b.row, Rows { at: c.at.add(i * c.row + j), ..c });
        }
    }
}
