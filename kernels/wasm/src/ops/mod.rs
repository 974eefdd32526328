//! From op codes to kernels. Parameters and operands are in the order of `backends/ops.ts`; what the encoder adds (weight types,
//! scratch) follows them.

pub mod bound;
pub mod channels;
pub mod cluster;
pub mod columns;
pub mod dense;
pub mod fold;
pub mod gate;
pub mod future;
pub mod lag;
pub mod pairs;
pub mod promises;
pub mod rank;
pub mod rows;
pub mod rules;
pub mod select;
mod sides;
pub mod votes;
pub mod transfer;
pub mod woven;

use crate::attend;
use crate::layout::code;
use crate::matmul::{self, MatmulArgs};
use crate::program::Instr;
use crate::team::Team;

/// Phases of an instruction; a barrier follows each.
pub unsafe fn phases(instr: &Instr) -> u32 {
    match instr.op {
        code::MATMUL if goes_on(instr) => 1,
        code::MATMUL => matmul::phases(instr.u(4) as u32, instr.u(0), instr.u(1), instr.u(2)),
        code::APPEND => 2,
        code::LENGTHEN => 2,
        code::ATTEND | code::ATTEND_ROWS => attend::phases(instr),
        code::ATTEND_REDUCE => attend::reduce::phases(instr),
        code::FOLD_VALUES => 2,
        code::PAGE_SCORES => promises::phases(instr),
        code::KMEANS => cluster::phases(instr),
        code::EXPECTED_ATTENTION => future::phases(instr),
        _ => 1,
    }
}

/// This thread's share of one phase.
pub unsafe fn run(instr: &Instr, phase: u32, team: &Team) {
    match instr.op {
        code::EMBED => dense::embed(instr, team),
        code::NORM => dense::norm(instr, team),
        code::MATMUL => matmul_phase(instr, phase, team),
        code::ROPE => dense::rope(instr, team),
        code::GLU => dense::glu(instr, team),
        code::MAP => dense::map(instr, team),
        code::APPEND => rows::append(instr, phase, team),
        code::EXTEND => rows::extend(instr, team),
        code::ATTEND | code::ATTEND_ROWS => attend::run(instr, phase, team),
        code::ATTEND_REDUCE => attend::reduce::run(instr, phase, team),
        code::REDUCE => columns::reduce(instr, team),
        code::MEAN_UNIT => columns::mean_unit(instr, team),
        code::SIMILARITY => columns::similarity(instr, team),
        code::POSITIONS => columns::positions(instr, team),
        code::POOL => columns::pool(instr, team),
        code::HEAD_MEAN => columns::head_mean(instr, team),
        code::RANK => rank::rank(instr, team),
        code::THRESHOLD => rank::threshold(instr, team),
        code::COMPACT => rows::compact(instr, team),
        code::TRUNCATE => rows::truncate(instr, team),
        code::COPY_ROWS => rows::copy_rows(instr, team),
        code::SLIDE => rows::slide(instr, team),
        code::SLICE => rows::slice(instr, team),
        code::ARGMAX => dense::argmax(instr, team),
        code::PROJECTED_NORM => columns::projected_norm(instr, team),
        code::PER_TOKEN => columns::per_token(instr, team),
        code::LEAVING => rank::leaving(instr, team),
        code::REJOIN => rows::rejoin(instr, team),
        code::SOFTMAX => votes::softmax(instr, team),
        code::GROUP_VOTES => votes::group_votes(instr, team),
        code::NEWEST_LIKE => pairs::newest_like(instr, team),
        code::REDUNDANCY => pairs::redundancy(instr, team),
        code::TAIL_LOSS => votes::tail_loss(instr, team),
        code::SPLIT => rank::split(instr, team),
        code::TRANSFER => transfer::transfer(instr, team),
        code::LENGTHEN => transfer::lengthen(instr, phase, team),
        code::PROFILE => rules::profile(instr, team),
        code::OBEY => rules::obey(instr, team),
        code::LAG_SPREAD => lag::spread(instr, team),
        code::BLOCK_RANK => lag::block_rank(instr, team),
        code::PROMOTE => rank::promote(instr, team),
        code::FOLD_VALUES => fold::fold_values(instr, phase, team),
        code::MINMAX_PAGES => select::minmax_pages(instr, team),
        code::BOUND_QUERY => bound::bound_query(instr, team),
        code::PAGE_SCORES => promises::page_scores(instr, phase, team),
        code::SINK_GATE => gate::sink_gate(instr, team),
        code::WEAVE => woven::weave(instr, team),
        code::WEAVE_ROWS => woven::weave_rows(instr, team),
        code::UNWEAVE => woven::unweave(instr, team),
        code::INSERT_ROWS => woven::insert_rows(instr, team),
        code::QUERIES_SEEN => woven::queries_seen(instr, team),
        code::DEMOTE => woven::demote(instr, team),
        code::KMEANS => cluster::kmeans(instr, phase, team),
        code::CENTROIDS => cluster::centroids(instr, team),
        code::CLUSTER_SCORES => cluster::cluster_scores(instr, team),
        code::REROTATE => future::rerotate(instr, team),
        code::EXPECTED_ATTENTION => future::expected_attention(instr, phase, team),
        code::DROP_CHANNELS => channels::drop_channels(instr, team),
        _ => {}
    }
}

/// Does a matmul go on with the activations that the last one has quantised?
fn goes_on(instr: &Instr) -> bool {
    instr.u(5) != 0
}

/// Whether `next` may start before all threads are through with `instr`: a matmul that only reads what that one reads too, and writes elsewhere.
pub unsafe fn overlaps(instr: &Instr, next: &Instr) -> bool {
    if instr.op != code::MATMUL || next.op != code::MATMUL || !goes_on(next) {
        return false;
    }
    let (a, b) = (instr.ptr::<u8>(3) as usize, next.ptr::<u8>(3) as usize);
    a + instr.bytes(3) <= b || b + next.bytes(3) <= a
}

/// Operands x, weight, bias, out, scratch; parameters m, n, k, accumulate, weight type, reuse.
unsafe fn matmul_phase(instr: &Instr, phase: u32, team: &Team) {
    let args = MatmulArgs {
        ty: instr.u(4) as u32,
        x: instr.ptr(0),
        w: instr.ptr(1),
        bias: instr.ptr(2),
        out: instr.ptr(3),
        m: instr.u(0),
        n: instr.u(1),
        k: instr.u(2),
        accumulate: instr.u(3) != 0,
        scratch: instr.ptr(4),
    };
    matmul::run(phase + goes_on(instr) as u32, &args, team.thread, team.threads);
}
