//! The gate of Fast KVzip: a token's own key among learned sinks.

use crate::math::{exp1, fma, load, sum};
use crate::program::Instr;
use crate::team::Team;
use core::arch::wasm32::f32x4_splat;

/// Operands q, k, sinks, bias, out; parameters m, heads, kvHeads, dim, count, size, scale.
pub unsafe fn sink_gate(instr: &Instr, team: &Team) {
    let (m, heads, kv_heads, dim, count) = (instr.u(0), instr.u(1), instr.u(2), instr.u(3), instr.u(4));
    let (queries, keys, sinks, bias) = (instr.ptr::<f32>(0), instr.ptr::<f32>(1), instr.ptr::<f32>(2), instr.ptr::<f32>(3));
    let (out, scale, group) = (instr.ptr::<f32>(4), instr.f(6), heads / kv_heads);
    team.each(m * kv_heads, |i| {
        let (token, h) = (i / kv_heads, i % kv_heads);
        let mut mean = 0.0;
        for g in h * group..(h + 1) * group {
            let query = queries.add((token * heads + g) * dim);
            let own = scale * dot(keys.add(i * dim), query, dim) + *bias.add(g);
            let mut others = 0.0;
            for s in 0..count {
                others += exp1(scale * dot(sinks.add((h * count + s) * dim), query, dim) - own);
            }
            mean += 1.0 / (1.0 + others);
        }
        *out.add(i) = mean / group as f32;
    });
}

#[inline(always)]
unsafe fn dot(a: *const f32, b: *const f32, dim: usize) -> f32 {
    let mut lanes = f32x4_splat(0.0);
    let mut i = 0;
    while i + 4 <= dim {
        lanes = fma(load(a.add(i)), load(b.add(i)), lanes);
        i += 4;
    }
    let mut total = sum(lanes);
    while i < dim {
        total += *a.add(i) * *b.add(i);
        i += 1;
    }
    total
}
