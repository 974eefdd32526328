//! One query: the visible rows of a KV head, or those that are named, are cut into at most [`CHUNKS`] chunks (fixed by the length alone), all query heads
//! of the group read a chunk in one pass, and partial softmaxes are merged in chunk order.

use super::kept::Kept;
use super::tile::{self, Tiles};
use super::{ahead, visible, Attend};
use crate::layout::Segment;
use crate::math::*;
use crate::passes;
use crate::team::Team;
use core::ops::Range;

/// Chunks per KV head at most: enough for threads to share, few enough for a chunk to be read ahead in one go.
pub const CHUNKS: usize = 16;
/// Rows per tile of scores at most: sums of so many products of 15-bit weights and 8-bit codes fit 31 bits. Rows per chunk are a multiple of it,
/// since what a chunk does before its first row (rounding queries, finding the rows that are seen) should be little beside a tile; and of a block of
/// rows stored together.
pub const TILE: usize = 192;
const _: () = assert!(TILE as u64 * 32767 * 255 < 1 << 31);
/// Scores of one query in a tile, in fours.
pub const LANES: usize = TILE + 4;
/// Runs of named rows that are shorter are brought together before they are attended to.
const SHORT: usize = 16;
/// Floats of two lines of a cache.
pub const LINES: usize = 32;

/// The queries of a pass in the raw order of the keys: of each eight channels those of query 0, of query 1 and so on; then, `step`
/// floats on, the next eight channels.
#[derive(Clone, Copy)]
pub struct Query {
    pub at: *const f32,
    pub step: usize,
}

impl Query {
    /// The queries from number `g` on.
    pub unsafe fn after(self, g: usize) -> Query {
        Query { at: self.at.add(8 * g), ..self }
    }
}

/// Numbers of the queries of a pass, `step` floats apart.
#[derive(Clone, Copy)]
pub struct Sums {
    pub at: *mut f32,
    pub step: usize,
}

impl Sums {
    #[inline(always)]
    pub unsafe fn of(&self, g: usize) -> *mut f32 {
        self.at.add(g * self.step)
    }
}

/// Where things lie in the scratch of one (chunk, KV head): the queries, then per query a state.
#[derive(Clone, Copy)]
pub struct Work {
    pub queries: *mut f32,
    pub group: usize,
    key_dim: usize,
    value_dim: usize,
}

/// Pairs of a row of `dim` channels at most, in whole vectors.
fn most_pairs(dim: usize) -> usize {
    (dim / 32 + 1).next_multiple_of(4)
}

impl Work {
    /// Floats of a state: top, l, a unit, one unused; per group of key channels two constants; o in raw order; per group of value channels the
    /// sum of offsets.
    fn state_floats(key_dim: usize, value_dim: usize) -> usize {
        4 + 2 * most_pairs(key_dim) + value_dim.next_multiple_of(8) + most_pairs(value_dim)
    }

    /// In whole lines of the cache, and two at a time as processors fetch them: threads write next to each other.
    pub fn floats(group: usize, key_dim: usize, value_dim: usize) -> usize {
        (group * (key_dim.next_multiple_of(8) + Work::state_floats(key_dim, value_dim))).next_multiple_of(LINES)
    }

    unsafe fn of(a: &Attend, item: usize) -> Work {
        Work::at(a, a.scratch.add(item * Work::floats(a.group, a.key_dim, a.value_dim)))
    }

    /// In scratch of a caller's own.
    pub fn at(a: &Attend, queries: *mut f32) -> Work {
        Work { queries, group: a.group, key_dim: a.key_dim, value_dim: a.value_dim }
    }

    /// State of query g of the group.
    pub unsafe fn state(&self, g: usize) -> *mut f32 {
        self.queries.add(self.group * self.key_dim.next_multiple_of(8) + g * self.step())
    }

    /// Floats from state to state.
    pub fn step(&self) -> usize {
        Work::state_floats(self.key_dim, self.value_dim)
    }

    /// What the whole numbers of query g are multiples of, where keys are codes.
    pub unsafe fn unit(&self, g: usize) -> *mut f32 {
        self.state(g).add(2)
    }

    /// Constants of query g.
    pub unsafe fn pairs(&self, g: usize) -> *mut f32 {
        self.state(g).add(4)
    }

    /// o of query g, behind which the sums of offsets lie.
    pub unsafe fn o(&self, g: usize) -> *mut f32 {
        self.pairs(g).add(2 * most_pairs(self.key_dim))
    }

    pub unsafe fn offsets(&self, g: usize) -> *mut f32 {
        self.o(g).add(self.value_dim.next_multiple_of(8))
    }

    /// Floats of o and offsets.
    pub fn width(&self) -> usize {
        self.value_dim.next_multiple_of(8) + most_pairs(self.value_dim)
    }
}

/// Scratch floats for one query.
pub fn floats(heads: usize, kv_heads: usize, key_dim: usize, value_dim: usize, threads: usize) -> usize {
    kv_heads * CHUNKS * Work::floats(heads / kv_heads, key_dim, value_dim) + threads * tile::floats(heads / kv_heads, key_dim, value_dim)
}

/// Chunks that the longest of some segments has at most.
pub fn chunks(rows: usize) -> usize {
    CHUNKS.min(rows.div_ceil(TILE))
}

/// Chunk number `chunk` of KV head h for all query heads of its group, whose scores are kept if there is a place for them.
pub unsafe fn chunk(a: &Attend, s: &Segment, h: usize, chunk: usize, thread: usize, kept: Option<Kept>) {
    let (from, to) = visible(a.position, s, *a.query_position, a.window);
    let named = a.named(s, h);
    let count = named.map_or(to - from, |named| named.len());
    let size = TILE.max(count.div_ceil(CHUNKS).next_multiple_of(TILE));
    let first = chunk * size;
    let last = count.min(first + size);
    let work = Work::of(a, h * CHUNKS + chunk);
    for g in 0..a.group {
        *work.state(g) = SENTINEL;
        *work.state(g).add(1) = 0.0;
    }
    if first >= last {
        return;
    }
    let own = a.scratch.add(floats(a.heads, a.kv_heads, a.key_dim, a.value_dim, thread));
    let tile = Tiles::of(a, work, own).keeping(kept);
    for g in 0..a.group {
        tile.prepare(h * a.group + g, g);
    }
    match named {
        None => neighbours(&tile, s.from() + from + first, last - first),
        Some(named) => named_rows(&tile, s.from(), &named[first..last], from..to),
    }
}

/// Takes rows that lie behind each other, each part of them read ahead.
unsafe fn neighbours(tile: &Tiles, slot: usize, rows: usize) {
    let part = ahead::rows_at_once(tile.attend());
    for from in (0..rows).step_by(part) {
        let to = rows.min(from + part);
        ahead::read_ahead(tile.attend(), slot + from, to - from);
        let mut t = from;
        while t < to {
            let count = tile.most(slot + t).min(to - t);
            all_heads(tile, slot + t, count);
            t += count;
        }
    }
}

/// Takes those of the named rows of a segment that are seen.
unsafe fn named_rows(tile: &Tiles, segment: usize, named: &[u32], seen: Range<usize>) {
    let mut t = 0;
    while t < named.len() {
        let (row, rows) = run(&named[t..]);
        if rows < SHORT && tile.are_floats() {
            let rows = &named[t..named.len().min(t + tile.most(0))];
            let (apart, count) = tile.gather(segment, rows, seen.clone());
            all_heads(&tile.over(&apart), 0, count);
            t += rows.len();
            continue;
        }
        let rows = tile.most(segment + row).min(rows);
        // Of a run all rows are seen, or none, or a part that needs the ends taken off.
        let (start, end) = (row.max(seen.start), (row + rows).min(seen.end));
        t += rows;
        if start < end {
            all_heads(tile, segment + start, end - start);
        }
    }
}

/// Takes rows into the states of all queries of a group.
#[inline(never)]
unsafe fn all_heads(tile: &Tiles, slot: usize, rows: usize) {
    if rows > 0 {
        passes!(tile.attend().group, g, R => tile.take::<R>(g, slot, rows));
    }
}

/// First row and length of the run of neighbours that the list begins with, a tile at most.
fn run(named: &[u32]) -> (usize, usize) {
    let rows = (1..TILE.min(named.len())).take_while(|i| named[*i] == named[0] + *i as u32).count() + 1;
    (named[0] as usize, rows)
}

/// Merges the first `count` chunks of each query head in order and writes its result.
pub unsafe fn merge_chunks(a: &Attend, count: usize, team: &Team) {
    team.each(a.heads, |head| {
        let (h, g) = (head / a.group, head % a.group);
        let work = |c: usize| Work::of(a, h * CHUNKS + c);
        let chunks = || (0..count).map(|c| work(c)).filter(|w| *w.state(g).add(1) > 0.0);
        let top = chunks().fold(SENTINEL, |top, w| if *w.state(g) > top { *w.state(g) } else { top });
        let (o, width) = (work(0).o(g), work(0).width());
        let mut l = 0.0;
        for (c, part) in chunks().enumerate() {
            let weight = exp1(*part.state(g) - top);
            l += weight * *part.state(g).add(1);
            let w = f32x4_splat(weight);
            match c {
                0 => unary(part.o(g), o, width, |x| f32x4_mul(x, w)),
                _ => binary(part.o(g), o, o, width, |x, y| fma(x, w, y)),
            }
        }
        // What has been merged is free to be written over.
        let (o, factor) = tile::finish(a, o, work(0).offsets(g), work(1).o(g));
        a.finish(head, top, l, o, factor);
    });
}
