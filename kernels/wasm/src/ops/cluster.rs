//! Clusters of keys: kmeans, centroids, clusterScores.

use super::pairs::{floats, TILE};
use crate::attend::gemm::{multiply, Left, Rows as Matrix};
use crate::codec::Codec;
use crate::layout::{segment, Segment};
use crate::math::*;
use crate::program::Instr;
use crate::team::Team;

/// What the phases of one head's k-means share.
#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    /// First row that is grouped, and how many are.
    first: u32,
    rows: u32,
    /// First new label, and how many there are.
    next: u32,
    clusters: u32,
    /// The last assignment that changed a label, counted from 1.
    changed: u32,
    _pad: [u32; 3],
}

/// Bytes of scratch before the threads' own.
pub const fn shared_bytes(heads: usize) -> usize {
    heads * core::mem::size_of::<Head>().next_multiple_of(64)
}

/// Phases: a start, then an assignment and means for each iteration, then the last assignment.
pub unsafe fn phases(instr: &Instr) -> u32 {
    2 * instr.u(6) as u32 + 2
}

/// A label in use, or none.
fn label_of(x: f32, s: &Segment, stride: usize) -> Option<usize> {
    let label = x as u32;
    (x >= 0.0 && label as f32 == x && (label as usize) < s.capacity as usize / stride).then_some(label as usize)
}

/// One more than the largest label in use.
unsafe fn labels_in(labels: *const f32, s: &Segment, stride: usize) -> usize {
    (0..s.rows()).map(|t| label_of(*labels.add(s.from() + t), s, stride).map_or(0, |l| l + 1)).max().unwrap_or(0)
}

fn hash(seed: u32, c: u32) -> u32 {
    let mut x = seed ^ (c.wrapping_add(1)).wrapping_mul(0x9E37_79B9);
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

unsafe fn head(instr: &Instr, h: usize) -> *mut Head {
    instr.ptr::<u8>(5).add(shared_bytes(1) * h) as *mut Head
}

/// Operands keys, position, layout, labels, means, scratch; parameters heads, dim, codec, per, count, sinks, iterations, seed, stride.
pub unsafe fn kmeans(instr: &Instr, phase: u32, team: &Team) {
    let heads = instr.u(0);
    if phase == 0 {
        return team.each(heads, |h| begin(instr, h));
    }
    let longest = (0..heads).map(|h| (*head(instr, h)).rows as usize).max().unwrap_or(0);
    let own = instr.ptr::<u8>(5).add(shared_bytes(heads) + team.thread * floats(instr.u(1)) * 4) as *mut f32;
    if phase % 2 == 1 {
        return team.each(longest.div_ceil(TILE) * heads, |item| assign(instr, item % heads, item / heads * TILE, phase.div_ceil(2), own));
    }
    let most = (0..heads).map(|h| (*head(instr, h)).clusters as usize).max().unwrap_or(0);
    team.each(most * heads, |item| mean(instr, item % heads, item / heads, phase / 2, own));
}

/// Which rows, how many clusters, and where they start.
unsafe fn begin(instr: &Instr, h: usize) {
    let (s, labels, stride) = (segment(instr, 2, h), instr.ptr::<f32>(3), instr.u(8));
    let taken = |t: usize| {
        let slot = s.from() + t;
        label_of(*labels.add(slot), &s, stride).is_some() || (*instr.ptr::<u32>(1).add(slot) as usize) < instr.u(5)
    };
    let first = (0..s.rows()).rev().find(|&t| taken(t)).map_or(0, |t| t + 1);
    let (rows, next) = (s.rows() - first, labels_in(labels, &s, stride));
    let (per, count) = (instr.u(3), instr.u(4));
    let wanted = if count > 0 { rows.min(count) } else { (((2 * rows as u64 + per as u64) / (2 * per as u64)) as usize).max(1) };
    let clusters = if rows < stride { 0 } else { wanted.min((s.capacity as usize / stride).saturating_sub(next)) };
    let rows = if clusters == 0 { 0 } else { rows };
    *head(instr, h) =
        Head { first: first as u32, rows: rows as u32, next: next as u32, clusters: clusters as u32, changed: 0, _pad: [0; 3] };
    let (codec, dim) = (Codec::of(instr.u(2)), instr.u(1));
    // Wider than an address: clusters times rows may pass 2^32.
    let bound = |c: usize| (c as u64 * rows as u64 / clusters as u64) as usize;
    for c in 0..clusters {
        let (from, to) = (bound(c), bound(c + 1));
        let row = from + hash(instr.u(7) as u32, c as u32) as usize % (to - from);
        codec.read(instr.ptr(0), s.from() + first + row, 1, dim, instr.ptr::<f32>(4).add((s.from() + c) * dim));
    }
}

/// Rows [from, from + TILE) of head h go to their nearest centroid; nothing to do if the assignment before changed nothing.
unsafe fn assign(instr: &Instr, h: usize, from: usize, round: u32, own: *mut f32) {
    let state = *head(instr, h);
    if from >= state.rows as usize || (round > 1 && state.changed + 1 < round) {
        return;
    }
    let (s, dim, clusters) = (segment(instr, 2, h), instr.u(1), state.clusters as usize);
    let count = TILE.min(state.rows as usize - from);
    let slot = s.from() + state.first as usize + from;
    let (rows, turned, products) = (own, own.add(TILE * dim), own.add(2 * TILE * dim));
    Codec::of(instr.u(2)).read(instr.ptr(0), slot, count, dim, rows);
    let (mut best, mut nearest) = ([f32::NEG_INFINITY; TILE], [0usize; TILE]);
    for c in (0..clusters).step_by(TILE) {
        let width = TILE.min(clusters - c);
        core::slice::from_raw_parts_mut(turned, TILE * dim).fill(0.0);
        for j in 0..width {
            let m = instr.ptr::<f32>(4).add((s.from() + c + j) * dim);
            let square: f32 = (0..dim).map(|d| *m.add(d) * *m.add(d)).sum();
            let inverse = 1.0 / (sqrt1(square) + 1e-8);
            for d in 0..dim {
                *turned.add(d * TILE + j) = *m.add(d) * inverse;
            }
        }
        let (left, right) = (Left { at: rows, row: dim, step: 1 }, Matrix { at: turned, row: TILE });
        multiply::<false>(count, TILE, dim, left, right, Matrix { at: products, row: TILE });
        for i in 0..count {
            for j in 0..width {
                let x = *products.add(i * TILE + j);
                if x > best[i] {
                    (best[i], nearest[i]) = (x, c + j);
                }
            }
        }
    }
    for i in 0..count {
        let (to, label) = (instr.ptr::<f32>(3).add(slot + i), (state.next as usize + nearest[i]) as f32);
        if *to != label {
            *to = label;
            // Threads that find a change write the same number.
            (&raw mut (*head(instr, h)).changed).write_volatile(round);
        }
    }
}

/// The mean of the rows of cluster c, unless the assignment before changed nothing; without rows it stays.
unsafe fn mean(instr: &Instr, h: usize, c: usize, round: u32, row: *mut f32) {
    let state = *head(instr, h);
    if c >= state.clusters as usize || state.changed != round {
        return;
    }
    let (s, dim) = (segment(instr, 2, h), instr.u(1));
    let slot = s.from() + state.first as usize;
    let rows = Labelled { instr, labels: 3, slot, rows: state.rows as usize };
    rows.mean((state.next as usize + c) as f32, dim, row, instr.ptr::<f32>(4).add((s.from() + c) * dim));
}

/// `rows` rows from `slot` on of the keys in operand 0, codec parameter 2, with their labels in operand `labels`.
struct Labelled<'a> {
    instr: &'a Instr<'a>,
    labels: usize,
    slot: usize,
    rows: usize,
}

impl Labelled<'_> {
    /// The mean of the rows of this label, in f32; without any, `to` stays. `row` has room for one.
    unsafe fn mean(&self, label: f32, dim: usize, row: *mut f32, to: *mut f32) {
        let labels = self.instr.ptr::<f32>(self.labels).add(self.slot);
        let (codec, mut count) = (Codec::of(self.instr.u(2)), 0f32);
        for t in (0..self.rows).filter(|&t| *labels.add(t) == label) {
            codec.read(self.instr.ptr(0), self.slot + t, 1, dim, row);
            for d in 0..dim {
                *to.add(d) = if count == 0.0 { *row.add(d) } else { *to.add(d) + *row.add(d) };
            }
            count += 1.0;
        }
        if count > 0.0 {
            (0..dim).for_each(|d| *to.add(d) /= count);
        }
    }
}

/// Operands keys, labels, layout, index, scratch; parameters heads, dim, codec, stride, rowBytes.
pub unsafe fn centroids(instr: &Instr, team: &Team) {
    let (heads, dim, stride) = (instr.u(0), instr.u(1), instr.u(3));
    let row = instr.ptr::<f32>(4).add(team.thread * floats(dim));
    let room = (0..heads).map(|h| segment(instr, 2, h)).filter(|s| s.length > 0).map(|s| s.capacity as usize / stride).max().unwrap_or(0);
    team.each(room * heads, |item| {
        let (h, label) = (item % heads, item / heads);
        let s = segment(instr, 2, h);
        if label >= labels_in(instr.ptr(1), &s, stride) {
            return;
        }
        let to = instr.ptr::<u8>(3).add((s.from() + label * stride) * instr.u(4)) as *mut f32;
        (0..dim).for_each(|d| *to.add(d) = 0.0);
        Labelled { instr, labels: 1, slot: s.from(), rows: s.rows() }.mean(label as f32, dim, row, to);
    });
}

/// Operands q, index, labels, layout, promises, out; parameters heads, kvHeads, dim, stride, rowBytes.
pub unsafe fn cluster_scores(instr: &Instr, team: &Team) {
    let (kv_heads, dim, stride) = (instr.u(1), instr.u(2), instr.u(3));
    let group = instr.u(0) / kv_heads;
    team.each(kv_heads, |h| {
        let s = segment(instr, 3, h);
        let labels = instr.ptr::<f32>(2);
        let (promises, out) = (instr.ptr::<f32>(4).add(s.from()), instr.ptr::<f32>(5).add(s.from()));
        for label in 0..labels_in(labels, &s, stride) {
            let m = instr.ptr::<u8>(1).add((s.from() + label * stride) * instr.u(4)) as *const f32;
            let product = |g: usize| dot(instr.ptr::<f32>(0).add((h * group + g) * dim), m, dim);
            *promises.add(label) = (0..group).map(product).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
        }
        for t in 0..s.rows() {
            *out.add(t) = match label_of(*labels.add(s.from() + t), &s, stride) {
                Some(label) => *promises.add(label),
                None => (t + 1) as f32 * UNLABELLED,
            };
        }
    });
}

/// 2^100.
const UNLABELLED: f32 = 1.267_650_6e30;

#[inline(always)]
unsafe fn dot(a: *const f32, b: *const f32, dim: usize) -> f32 {
    let mut acc = f32x4_splat(0.0);
    for d in (0..dim & !3).step_by(4) {
        acc = fma(load(a.add(d)), load(b.add(d)), acc);
    }
    sum(acc) + (dim & !3..dim).map(|d| *a.add(d) * *b.add(d)).sum::<f32>()
}
