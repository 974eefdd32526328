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

/// MR x 4 NV outputs in registers.
#[inline(always)]
unsafe fn tile<const MR: usize, const NV: usize, const ADD: bool>(k: usize, a: Left, b: *const f32, b_row: usize, c: Rows) {
    let mut acc = [[f32x4_splat(0.0); NV]; MR];
    if ADD {
        acc = core::array::from_fn(|i| core::array::from_fn(|j| load(c.at.add(i * c.row + 4 * j))));
    }
    let (mut pa, mut pb) = (a.at, b);
    for _ in 0..k {
        let row: [v128; NV] = core::array::from_fn(|j| load(pb.add(4 * j)));
        for i in 0..MR {
            let x = splat(pa.add(i * a.row));
            for j in 0..NV {
                acc[i][j] = fma(x, row[j], acc[i][j]);
            }
        }
        pa = pa.add(a.step);
        pb = pb.add(b_row);
    }
    for i in 0..MR {
        for j in 0..NV {
            store(c.at.add(i * c.row + 4 * j), acc[i][j]);
        }
    }
}

#[inline(always)]
unsafe fn panels<const MR: usize, const NV: usize, const ADD: bool>(m: usize, n: usize, k: usize, a: Left, b: Rows, c: Rows) {
    for j in (0..n).step_by(4 * NV) {
        for i in (0..m).step_by(MR) {
            let a = Left { at: a.at.add(i * a.row), ..a };
            tile::<MR, NV, ADD>(k, a, b.at.add(j), b.row, Rows { at: c.at.add(i * c.row + j), ..c });
        }
    }
}

/// C = A * B; m is a multiple of 4, n of 4.
#[inline(never)]
pub unsafe fn multiply(m: usize, n: usize, k: usize, a: Left, b: Rows, c: Rows) {
    match n {
        _ if n % 12 == 0 => panels::<4, 3, false>(m, n, k, a, b, c),
        _ if n % 8 == 0 => panels::<4, 2, false>(m, n, k, a, b, c),
        _ => panels::<4, 1, false>(m, n, k, a, b, c),
    }
}

/// C += A * B; m is a multiple of 4, n of 8.
#[inline(never)]
pub unsafe fn multiply_add(m: usize, n: usize, k: usize, a: Left, b: Rows, c: Rows) {
    match m {
        _ if m % 6 == 0 => panels::<6, 2, true>(m, n, k, a, b, c),
        _ => panels::<4, 2, true>(m, n, k, a, b, c),
    }
}
