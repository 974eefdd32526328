//! Ops over dense arrays: embed, norm, rope, glu, map, argmax.

use crate::layout::segment;
use crate::math::*;
use crate::pack;
use crate::program::Instr;
use crate::team::Team;

/// Elements per work item of elementwise ops: some microseconds.
const GRAIN: usize = 4096;

fn rows_per_item(dim: usize) -> usize {
    (GRAIN / dim.max(1)).max(1)
}

/// Operands table, ids, out; parameters m, dim, scale, then type, rows, columns, uses of the weight.
pub unsafe fn embed(instr: &Instr, team: &Team) {
    let (m, dim, scale) = (instr.u(0), instr.u(1), f32x4_splat(instr.f(2)));
    let (ids, out) = (instr.ptr::<u32>(1), instr.ptr::<f32>(2));
    team.chunks(m, rows_per_item(dim), |from, to| {
        for i in from..to {
            let row = out.add(i * dim);
            let id = *ids.add(i) as usize;
            pack::embed_row(instr.u(3) as u32, instr.u(4), instr.u(5), instr.u(6) as u32, instr.ptr(0), id, row);
            unary(row, row, dim, |x| f32x4_mul(x, scale));
        }
    });
}

/// Sum of f(x) over a row, in a fixed order.
#[inline(always)]
pub unsafe fn row_sum(x: *const f32, dim: usize, f: impl Fn(v128) -> v128) -> f32 {
    let mut acc = [f32x4_splat(0.0); 2];
    let whole = dim & !7;
    let mut i = 0;
    while i < whole {
        acc[0] = f32x4_add(acc[0], f(load(x.add(i))));
        acc[1] = f32x4_add(acc[1], f(load(x.add(i + 4))));
        i += 8;
    }
    let mut total = sum(f32x4_add(acc[0], acc[1]));
    for j in whole..dim {
        total += f32x4_extract_lane::<0>(f(f32x4_splat(*x.add(j))));
    }
    total
}

/// RMS norm, row by row.
pub unsafe fn norm(instr: &Instr, team: &Team) {
    let (rows, dim, eps) = (instr.u(0), instr.u(1), instr.f(2));
    let (x, weight, out) = (instr.ptr::<f32>(0), instr.ptr::<f32>(1), instr.ptr::<f32>(2));
    team.chunks(rows, rows_per_item(dim), |from, to| {
        for r in from..to {
            let row = x.add(r * dim);
            let squares = row_sum(row, dim, |v| f32x4_mul(v, v));
            let factor = f32x4_splat(1.0 / sqrt1(squares / dim as f32 + eps));
            binary(row, weight, out.add(r * dim), dim, |v, w| f32x4_mul(f32x4_mul(v, factor), w));
        }
    });
}

/// Rotates pairs (i, i + dims/2) of each head.
pub unsafe fn rope(instr: &Instr, team: &Team) {
    let (m, heads, dim, dims) = (instr.u(0), instr.u(1), instr.u(2), instr.u(3));
    let (x, table) = (instr.ptr::<f32>(0), instr.ptr::<f32>(1));
    let half = dims / 2;
    team.chunks(m, rows_per_item(heads * dim), |from, to| {
        for i in from..to {
            let (cos, sin) = (table.add(i * dims), table.add(i * dims + half));
            for h in 0..heads {
                rotate(x.add((i * heads + h) * dim), half, cos, sin);
            }
        }
    });
}

#[inline(always)]
unsafe fn rotate(x: *mut f32, half: usize, cos: *const f32, sin: *const f32) {
    let y = x.add(half);
    let whole = half & !3;
    let mut p = 0;
    while p < whole {
        let (a, b, c, s) = (load(x.add(p)), load(y.add(p)), load(cos.add(p)), load(sin.add(p)));
        store(x.add(p), f32x4_sub(f32x4_mul(a, c), f32x4_mul(b, s)));
        store(y.add(p), f32x4_add(f32x4_mul(a, s), f32x4_mul(b, c)));
        p += 4;
    }
    for p in whole..half {
        let (a, b, c, s) = (*x.add(p), *y.add(p), *cos.add(p), *sin.add(p));
        *x.add(p) = a * c - b * s;
        *y.add(p) = a * s + b * c;
    }
}

#[inline(always)]
fn silu(x: v128) -> v128 {
    f32x4_div(x, f32x4_add(f32x4_splat(1.0), exp(f32x4_neg(x))))
}

/// The tanh form, x (1 + tanh u) / 2 written as x / (1 + e^-2u): 1 + tanh u would cancel where u is far below 0.
#[inline(always)]
fn gelu(x: v128) -> v128 {
    let cube = f32x4_mul(f32x4_mul(x, x), x);
    let inner = f32x4_mul(fma(cube, f32x4_splat(0.044715), x), f32x4_splat(-1.595_769_2));
    f32x4_div(x, f32x4_add(f32x4_splat(1.0), exp(inner)))
}

/// x times the normal distribution at x. Its tail is half of e^(-z^2) t p(t) with z = |x| / sqrt(2) and t = 1 / (1 + 0.4 z); p interpolates
/// what is left in eight Chebyshev points of t for z up to 9.5, within 1e-6 of each value.
#[inline(always)]
fn exact_gelu(x: v128) -> v128 {
    let one = f32x4_splat(1.0);
    let z = f32x4_mul(f32x4_abs(x), f32x4_splat(core::f32::consts::FRAC_1_SQRT_2));
    let t = f32x4_div(one, fma(z, f32x4_splat(0.4), one));
    let mut y = f32x4_splat(0.0601983294);
    for c in [-0.329495549, 0.558957040, -0.243333116, 0.329616517, 0.167519182, 0.231175050, 0.225362420] {
        y = fma(y, t, f32x4_splat(c));
    }
    let tail = f32x4_mul(f32x4_mul(y, t), exp(f32x4_neg(f32x4_mul(z, z))));
    let below = f32x4_mul(f32x4_mul(f32x4_abs(x), f32x4_splat(-0.5)), tail);
    v128_bitselect(below, f32x4_add(x, below), f32x4_lt(x, f32x4_splat(0.0)))
}

/// out = activation(gate) * up.
pub unsafe fn glu(instr: &Instr, team: &Team) {
    let (gate, up, out) = (instr.ptr::<f32>(0), instr.ptr::<f32>(1), instr.ptr::<f32>(2));
    team.chunks(instr.u(0), GRAIN, |from, to| {
        let (g, u, o) = (gate.add(from), up.add(from), out.add(from));
        match instr.u(1) {
            0 => binary(g, u, o, to - from, |g, u| f32x4_mul(silu(g), u)),
            _ => binary(g, u, o, to - from, |g, u| f32x4_mul(gelu(g), u)),
        }
    });
}

#[inline(always)]
fn log(x: v128) -> v128 {
    let x = f32x4_max(x, f32x4_splat(1e-30));
    let [a, b, c, d] = [
        ln(f32x4_extract_lane::<0>(x)),
        ln(f32x4_extract_lane::<1>(x)),
        ln(f32x4_extract_lane::<2>(x)),
        ln(f32x4_extract_lane::<3>(x)),
    ];
    f32x4(a, b, c, d)
}

/// One function of `mapFns` over `count` elements.
unsafe fn map_range(fn_code: usize, value: f32, a: *const f32, b: *const f32, out: *mut f32, count: usize) {
    let v = f32x4_splat(value);
    match fn_code {
        0 => binary(a, b, out, count, |x, y| f32x4_add(x, y)),
        1 => binary(a, b, out, count, |x, y| f32x4_sub(x, y)),
        2 => binary(a, b, out, count, |x, y| f32x4_mul(x, y)),
        3 => binary(a, b, out, count, |x, y| f32x4_div(x, y)),
        4 => binary(a, b, out, count, |x, y| f32x4_max(x, y)),
        5 => binary(a, b, out, count, |x, y| f32x4_min(x, y)),
        6 => unary(a, out, count, |x| f32x4_neg(x)),
        7 => unary(a, out, count, |x| f32x4_abs(x)),
        8 => unary(a, out, count, |x| exp(x)),
        9 => unary(a, out, count, |x| log(x)),
        10 => unary(a, out, count, |x| f32x4_sqrt(f32x4_max(x, f32x4_splat(0.0)))),
        11 => unary(a, out, count, |x| f32x4_mul(x, v)),
        12 => unary(a, out, count, |x| f32x4_add(x, v)),
        13 => unary(a, out, count, |_| v),
        14 => unary(a, out, count, |x| x),
        _ => unary(a, out, count, |x| exact_gelu(x)),
    }
}

/// Operands a, b, layout, out; parameters fn, count, value, heads.
pub unsafe fn map(instr: &Instr, team: &Team) {
    let (a, b, out) = (instr.ptr::<f32>(0), instr.ptr::<f32>(1), instr.ptr::<f32>(3));
    let range = |from: usize, count: usize| {
        let b = if b.is_null() { a } else { b };
        map_range(instr.u(0), instr.f(2), a.add(from), b.add(from), out.add(from), count);
    };
    if instr.has(2) {
        team.each(instr.u(3), |h| {
            let s = segment(instr, 2, h);
            range(s.from(), s.rows());
        });
    } else {
        team.chunks(instr.u(1), GRAIN, |from, to| range(from, to - from));
    }
}

/// Index of the largest value per row.
pub unsafe fn argmax(instr: &Instr, team: &Team) {
    let (m, n) = (instr.u(0), instr.u(1));
    let (x, out) = (instr.ptr::<f32>(0), instr.ptr::<u32>(1));
    team.each(m, |i| *out.add(i) = argmax_row(x.add(i * n), n));
}

/// Lowest index among the largest numbers; none if one is NaN or +infinity, or none is finite.
unsafe fn argmax_row(x: *const f32, n: usize) -> u32 {
    let (mut top, mut below) = (f32x4_splat(f32::NEG_INFINITY), i32x4_splat(-1));
    let whole = n & !3;
    for i in (0..whole).step_by(4) {
        let v = load(x.add(i));
        below = v128_and(below, f32x4_lt(v, f32x4_splat(f32::INFINITY)));
        top = f32x4_pmax(top, v);
    }
    let (mut best, mut sound) = (max(top), i32x4_all_true(below));
    for j in whole..n {
        let v = *x.add(j);
        sound &= v < f32::INFINITY;
        best = if v > best { v } else { best };
    }
    if !sound || best == f32::NEG_INFINITY {
        return u32::MAX;
    }
    (0..n).find(|j| *x.add(*j) == best).map_or(u32::MAX, |j| j as u32)
}
