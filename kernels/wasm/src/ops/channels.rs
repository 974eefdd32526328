//! Choosing channels of keys: dropChannels.

use crate::codec::Codec;
use crate::layout::segment;
use crate::program::Instr;
use crate::team::Team;

/// Channels at most.
const MOST: usize = 1024;

/// Operands q, queryPosition, leave, leaving, layout, keys, dropped; parameters queries, heads, kvHeads, keyDim, keyCodec, drop.
pub unsafe fn drop_channels(instr: &Instr, team: &Team) {
    team.each(instr.u(2), |h| {
        let (dim, dropped) = (instr.u(3), instr.ptr::<u32>(6).add(h * instr.u(3)));
        let mut energies = [0f64; MOST];
        energy(instr, h, &mut energies[..dim]);
        let less = |a: usize, b: usize| energies[a] < energies[b] || energies[a] == energies[b] && a > b;
        for c in 0..dim {
            let before = (0..dim).filter(|d| less(*d, c)).count();
            *dropped.add(c) = (before < instr.u(5)) as u32;
        }
        let (s, width) = (segment(instr, 4, h), Codec::of(instr.u(4)).bits / 8);
        let leave = instr.ptr::<u32>(2).add(s.from());
        for i in 0..*instr.ptr::<u32>(3).add(h) as usize {
            let row = instr.ptr::<u8>(5).add((s.from() + *leave.add(i) as usize) * dim * width);
            for c in (0..dim).filter(|c| *dropped.add(*c) != 0) {
                core::ptr::write_bytes(row.add(c * width), 0, width);
            }
        }
    });
}

/// The sums of squares of the rows of a head times those of its queries, by channel; NaN is 0.
unsafe fn energy(instr: &Instr, h: usize, energies: &mut [f64]) {
    let (s, dim, codec) = (segment(instr, 4, h), energies.len(), Codec::of(instr.u(4)));
    let mut row = [0f32; MOST];
    for t in 0..s.rows() {
        codec.read(instr.ptr(5), s.from() + t, 1, dim, row.as_mut_ptr());
        for (e, k) in energies.iter_mut().zip(&row) {
            *e += *k as f64 * *k as f64;
        }
    }
    let (heads, group) = (instr.u(1), instr.u(1) / instr.u(2));
    for (c, e) in energies.iter_mut().enumerate() {
        let mut asked = 0f64;
        for i in (0..instr.u(0)).filter(|i| *instr.ptr::<u32>(1).add(*i) != u32::MAX) {
            for g in 0..group {
                let q = *instr.ptr::<f32>(0).add((i * heads + h * group + g) * dim + c) as f64;
                asked += q * q;
            }
        }
        *e = asked * *e;
        if e.is_nan() {
            *e = 0.0;
        }
    }
}
