//! Layouts, and the checks on data that only a run knows: nothing a host writes into a layout, an id or a count reaches beyond
//! the operand it belongs to.

use crate::codec::Codec;
use crate::math::largest_word;
use crate::program::Instr;

/// A helper thread died.
pub const FAILED: u32 = 1;
/// A segment reaches beyond a row or column operand.
pub const OUTSIDE: u32 = 2;
/// A token id is not a row of the table.
pub const BAD_ID: u32 = 3;
/// More rows than a segment has capacity for.
pub const FULL: u32 = 4;
/// A count exceeds its segment, or a kept index is not a row.
pub const BAD_COUNT: u32 = 5;

/// Stands for "no row" where a row is named by its index.
pub const NO_ROW: u32 = u32::MAX;

pub use crate::code;
use crate::ops::woven;

/// One head's rows: slots [start, start + capacity), of which the first `length` hold rows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Segment {
    pub start: u32,
    pub length: u32,
    pub capacity: u32,
}

impl Segment {
    /// First slot.
    pub fn from(&self) -> usize {
        self.start as usize
    }
    /// Rows held.
    pub fn rows(&self) -> usize {
        self.length as usize
    }
}

/// The segment of head h of layout operand i.
pub unsafe fn segment(instr: &Instr, i: usize, h: usize) -> Segment {
    *instr.ptr::<Segment>(i).add(h)
}

/// Bytes of one row: parameter `dim` channels under the codec of parameter `codec`.
pub(crate) unsafe fn row_bytes(instr: &Instr, dim: usize, codec: usize) -> usize {
    Codec::of(instr.u(codec)).bytes(instr.u(dim))
}

/// Do the rows of operands = (operand, parameters of its dim and its codec) that are stored in blocks fill blocks from their start, and lie
/// those blocks inside?
pub(crate) unsafe fn blocks_inside(instr: &Instr, layout: usize, heads: usize, operands: &[(usize, usize, usize)]) -> u32 {
    for &(i, dim, codec) in operands {
        let (block, bytes) = (Codec::of(instr.u(codec)).block(), row_bytes(instr, dim, codec));
        let fits = |s: Segment| {
            let end = (s.start as u64 + s.length as u64).next_multiple_of(block as u64);
            s.length == 0 || s.start as usize % block == 0 && end * bytes as u64 <= instr.bytes(i) as u64
        };
        if block > 1 && !(0..heads).all(|h| fits(segment(instr, layout, h))) {
            return OUTSIDE;
        }
    }
    0
}

/// Do the first `rows(head, segment)` rows of all segments of layout operand `layout` fit their segment and lie inside each of
/// `operands` = (operand, bytes per slot)? An empty segment reads nothing, wherever it claims to lie.
unsafe fn reach(instr: &Instr, layout: usize, heads: usize, operands: &[(usize, usize)], rows: impl Fn(usize, &Segment) -> u64) -> u32 {
    for h in 0..heads {
        let s = segment(instr, layout, h);
        let rows = rows(h, &s);
        if rows > s.capacity as u64 {
            return FULL;
        }
        let end = s.start as u64 + rows;
        if rows > 0 && operands.iter().any(|&(i, bytes)| end * bytes as u64 > instr.bytes(i) as u64) {
            return OUTSIDE;
        }
    }
    0
}

pub(crate) unsafe fn inside(instr: &Instr, layout: usize, heads: usize, operands: &[(usize, usize)]) -> u32 {
    reach(instr, layout, heads, operands, |_, s| s.length as u64)
}

unsafe fn ids_fit(instr: &Instr) -> u32 {
    let rows = instr.u(4) as u32;
    if (0..instr.u(0)).all(|i| *instr.ptr::<u32>(1).add(i) < rows) { 0 } else { BAD_ID }
}

unsafe fn check_append(instr: &Instr) -> u32 {
    let keys = row_bytes(instr, 2, 4);
    let values = row_bytes(instr, 3, 5);
    reach(instr, 6, instr.u(1), &[(3, keys), (4, values), (5, 4)], |_, s| s.length as u64 + instr.u(0) as u64)
}

unsafe fn check_attend_rows(instr: &Instr) -> u32 {
    let (keys, values) = (row_bytes(instr, 3, 5), row_bytes(instr, 4, 6));
    let code = inside(instr, 4, instr.u(2), &[(1, keys), (2, values), (3, 4), (8, 4)]);
    let named = |h: usize| names_rows(&segment(instr, 4, h), instr.ptr(8), *instr.ptr::<u32>(9).add(h));
    if code != 0 || (0..instr.u(2)).all(named) { code } else { BAD_COUNT }
}

/// Are there at most as many kept indices as rows, each the index of a row?
pub(crate) unsafe fn names_rows(s: &Segment, keep: *const u32, count: u32) -> bool {
    count <= s.length && (count == 0 || largest_word(keep.add(s.from()), count as usize) < s.length)
}

unsafe fn check_compact(instr: &Instr) -> u32 {
    let (heads, bytes) = (instr.u(0), instr.u(1));
    let count = |h: usize| *instr.ptr::<u32>(2).add(h);
    let code = first(&[
        inside(instr, 3, heads, &[(0, bytes), (1, 4)]),
        reach(instr, 4, heads, &[(5, bytes)], |h, _| count(h) as u64),
    ]);
    let kept = |h: usize| names_rows(&segment(instr, 3, h), instr.ptr(1), count(h));
    if code != 0 || (0..heads).all(kept) { code } else { BAD_COUNT }
}

unsafe fn check_copy(instr: &Instr) -> u32 {
    let (heads, bytes) = (instr.u(0), instr.u(1));
    first(&[
        inside(instr, 1, heads, &[(0, bytes)]),
        reach(instr, 2, heads, &[(3, bytes)], |h, _| segment(instr, 1, h).length as u64),
    ])
}

/// Rows that exist go behind the rows of segments with room, in whole blocks.
unsafe fn check_transfer(instr: &Instr) -> u32 {
    let (heads, source, target) = (instr.u(0), Codec::of(instr.u(2)), Codec::of(instr.u(3)));
    let (from, to, block) = (source.bytes(instr.u(1)), target.bytes(instr.u(1)), target.block());
    let count = |h: usize| *instr.ptr::<u32>(2).add(h);
    let code = first(&[
        inside(instr, 3, heads, &[(0, from), (1, 4)]),
        reach(instr, 4, heads, &[(5, to)], |h, s| s.length as u64 + count(h) as u64),
    ]);
    let fits = |h: usize| {
        let (s, t) = (segment(instr, 3, h), segment(instr, 4, h));
        let keep = instr.ptr::<u32>(1).add(s.from());
        let whole = count(h) == 0 || [t.from(), t.rows(), count(h) as usize].iter().all(|n| n % block == 0);
        whole && count(h) <= s.length && (0..count(h) as usize).all(|i| *keep.add(i) < s.length)
    };
    if code != 0 || (0..heads).all(fits) { code } else { BAD_COUNT }
}

unsafe fn check_lengthen(instr: &Instr) -> u32 {
    let fits = |h| {
        let s = segment(instr, 1, h);
        *instr.ptr::<u32>(0).add(h) as u64 + s.length as u64 <= s.capacity as u64
    };
    if (0..instr.u(0)).all(fits) { 0 } else { BAD_COUNT }
}

unsafe fn check_truncate(instr: &Instr) -> u32 {
    let fits = (0..instr.u(0)).all(|h| *instr.ptr::<u32>(0).add(h) <= segment(instr, 1, h).capacity);
    if fits { 0 } else { BAD_COUNT }
}

unsafe fn check_rejoin(instr: &Instr) -> u32 {
    let fits = |h: usize| {
        let (s, t) = (segment(instr, 2, h), segment(instr, 1, h));
        t.start >= s.start && t.start as u64 + *instr.ptr::<u32>(0).add(h) as u64 <= s.start as u64 + s.capacity as u64
    };
    if (0..instr.u(0)).all(fits) { 0 } else { BAD_COUNT }
}

unsafe fn check_redundancy(instr: &Instr) -> u32 {
    let (heads, bytes) = (instr.u(0), row_bytes(instr, 1, 2));
    let code = inside(instr, 4, heads, &[(0, bytes), (1, 4), (3, 4), (5, 4)]);
    let known = |h: usize| {
        let s = segment(instr, 4, h);
        let like = instr.ptr::<u32>(3).add(s.from());
        (0..s.rows()).all(|i| *like.add(i) < s.length || *like.add(i) == NO_ROW)
    };
    if code != 0 || (0..heads).all(known) { code } else { BAD_COUNT }
}

unsafe fn check_fold(instr: &Instr) -> u32 {
    let (keys, values) = (row_bytes(instr, 1, 3), row_bytes(instr, 2, 4));
    let code = inside(instr, 2, instr.u(0), &[(0, keys), (3, 4), (4, values), (5, 4)]);
    let ascending = |h: usize| {
        let (s, count) = (segment(instr, 2, h), *instr.ptr::<u32>(1).add(h));
        let keep = instr.ptr::<u32>(3).add(s.from());
        count <= s.length && (0..count as usize).all(|i| *keep.add(i) < s.length && (i == 0 || *keep.add(i - 1) < *keep.add(i)))
    };
    if code != 0 || (0..instr.u(0)).all(ascending) { code } else { BAD_COUNT }
}

/// A head that holds rows has room for centroids in all of its capacity, which labels may reach.
unsafe fn check_index(instr: &Instr, layout: usize, heads: usize, index: (usize, usize)) -> u32 {
    reach(instr, layout, heads, &[index], |_, s| if s.length > 0 { s.capacity as u64 } else { 0 })
}

pub(crate) fn first(codes: &[u32]) -> u32 {
    codes.iter().copied().find(|c| *c != 0).unwrap_or(0)
}

/// Checks what the encoder could not: 0, or one of the codes above.
pub unsafe fn check(instr: &Instr) -> u32 {
    match instr.op {
        code::EMBED => ids_fit(instr),
        code::MAP if instr.has(2) => {
            let b = if instr.has(1) { 1 } else { 0 };
            inside(instr, 2, instr.u(3), &[(0, 4), (b, 4), (3, 4)])
        }
        code::APPEND => check_append(instr),
        code::EXTEND => inside(instr, 1, instr.u(1), &[(0, 4)]),
        code::ATTEND => {
            let (keys, values) = (row_bytes(instr, 3, 5), row_bytes(instr, 4, 6));
            first(&[
                inside(instr, 4, instr.u(2), &[(1, keys), (2, values), (3, 4)]),
                blocks_inside(instr, 4, instr.u(2), &[(1, 3, 5), (2, 4, 6)]),
            ])
        }
        code::ATTEND_REDUCE => {
            // Without a gain, its operand stands for the positions once more.
            let gain = if instr.has(8) { (8, instr.u(1) / instr.u(2) * 4) } else { (2, 4) };
            first(&[
                inside(instr, 3, instr.u(2), &[(1, row_bytes(instr, 3, 4)), (2, 4), (6, 4), gain]),
                blocks_inside(instr, 3, instr.u(2), &[(1, 3, 4)]),
            ])
        }
        code::REDUCE => inside(instr, 1, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (2, 4)]),
        code::MEAN_UNIT => inside(instr, 1, instr.u(0), &[(0, row_bytes(instr, 1, 2))]),
        code::SIMILARITY => inside(instr, 2, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (3, 4)]),
        code::POSITIONS | code::POOL | code::HEAD_MEAN => inside(instr, 1, instr.u(0), &[(0, 4), (2, 4)]),
        code::RANK | code::THRESHOLD => inside(instr, 2, instr.u(0), &[(0, 4), (1, 4), (4, 4)]),
        code::COMPACT => check_compact(instr),
        code::TRUNCATE => check_truncate(instr),
        code::COPY_ROWS => check_copy(instr),
        code::PER_TOKEN => inside(instr, 2, instr.u(1), &[(1, 4), (4, 4)]),
        code::LEAVING => inside(instr, 2, instr.u(0), &[(0, 4), (1, 4)]),
        code::REJOIN => check_rejoin(instr),
        code::PROJECTED_NORM => {
            inside(instr, 2, instr.u(1), &[(0, row_bytes(instr, 2, 3)), (3, instr.u(0) / instr.u(1) * 4)])
        }
        code::SOFTMAX => inside(instr, 1, instr.u(0), &[(0, 4), (2, 4)]),
        code::GROUP_VOTES => inside(instr, 2, instr.u(2), &[(1, row_bytes(instr, 3, 4)), (4, 4)]),
        code::NEWEST_LIKE => inside(instr, 2, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (1, 4), (3, 4)]),
        code::REDUNDANCY => check_redundancy(instr),
        code::TAIL_LOSS => inside(instr, 3, instr.u(1), &[(1, row_bytes(instr, 2, 3)), (2, 4), (6, 4)]),
        code::SPLIT => inside(instr, 2, instr.u(0), &[(0, 4), (1, 4), (4, 4), (6, 4)]),
        code::TRANSFER => check_transfer(instr),
        code::LENGTHEN => check_lengthen(instr),
        code::PROFILE => inside(instr, 4, instr.u(0), &[(0, 4), (1, 4), (2, 4), (3, 4), (6, 4)]),
        code::OBEY => inside(instr, 4, instr.u(0), &[(0, 4), (1, 4), (2, 4), (3, 4), (6, 4)]),
        code::LAG_SPREAD => inside(instr, 1, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (2, 4)]),
        code::BLOCK_RANK => inside(instr, 1, instr.u(0), &[(0, 4), (2, 4)]),
        code::PROMOTE => inside(instr, 3, instr.u(0), &[(0, 4), (1, 4), (2, 4), (4, 4)]),
        code::FOLD_VALUES => check_fold(instr),
        code::MINMAX_PAGES => inside(instr, 1, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (2, instr.u(5))]),
        code::PAGE_SCORES => {
            // Of what is absent the column stands for it once more.
            let given = |i: usize, bytes: usize| if instr.has(i) { (i, bytes) } else { (3, 4) };
            let code = inside(instr, 2, instr.u(1), &[(1, row_bytes(instr, 2, 3)), (3, 4), given(4, instr.u(5)), given(5, 4)]);
            let rows: u64 = (0..instr.u(1)).map(|h| segment(instr, 2, h).length as u64).sum();
            if code == 0 && rows > instr.u(7) as u64 { OUTSIDE } else { code }
        }
        code::ATTEND_ROWS => check_attend_rows(instr),
        code::WEAVE => woven::check_weave(instr),
        code::WEAVE_ROWS => woven::check_weave_rows(instr),
        code::UNWEAVE => woven::check_unweave(instr),
        code::INSERT_ROWS => woven::check_insert(instr),
        code::QUERIES_SEEN => inside(instr, 1, instr.u(0), &[(0, 4), (3, 4)]),
        code::DEMOTE => woven::check_demote(instr),
        code::KMEANS => {
            // Means lie from the first slot of a head on, one for each new cluster: at most as many as its rows.
            inside(instr, 2, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (1, 4), (3, 4), (4, 4 * instr.u(1))])
        }
        code::CENTROIDS => first(&[
            inside(instr, 2, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (1, 4)]),
            check_index(instr, 2, instr.u(0), (3, instr.u(4))),
        ]),
        code::CLUSTER_SCORES => first(&[
            inside(instr, 3, instr.u(1), &[(2, 4), (5, 4)]),
            check_index(instr, 3, instr.u(1), (1, instr.u(4))),
            check_index(instr, 3, instr.u(1), (4, 4)),
        ]),
        code::REROTATE => inside(instr, 2, instr.u(0), &[(0, row_bytes(instr, 1, 2)), (1, 4)]),
        code::DROP_CHANNELS => {
            let code = inside(instr, 4, instr.u(2), &[(5, row_bytes(instr, 3, 4)), (2, 4)]);
            let named = |h: usize| names_rows(&segment(instr, 4, h), instr.ptr(2), *instr.ptr::<u32>(3).add(h));
            if code != 0 || (0..instr.u(2)).all(named) { code } else { BAD_COUNT }
        }
        code::EXPECTED_ATTENTION => inside(instr, 3, instr.u(2), &[(2, row_bytes(instr, 3, 4)), (5, 4), (6, 4)]),
        _ => 0,
    }
}
