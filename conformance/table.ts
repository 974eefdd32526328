/**
 * The conformance table: for every op the cases that a backend must pass.
 * @module
 */
import type { OpName } from "../backends/ops.ts";
import { leavingCases, perTokenCases, rejoinCases } from "./admission_cases.ts";
import { attendCases, attendReduceCases } from "./attend_cases.ts";
import type { Case } from "./case.ts";
import { dropChannelsCases } from "./channel_cases.ts";
import { centroidsCases, clusterScoresCases, kmeansCases } from "./cluster_cases.ts";
import {
  headMeanCases,
  meanUnitCases,
  poolCases,
  positionsCases,
  projectedNormCases,
  rankCases,
  reduceCases,
  similarityCases,
  thresholdCases,
} from "./column_cases.ts";
import { argmaxCases, embedCases, gluCases, mapCases, matmulCases, normCases, ropeCases } from "./dense_cases.ts";
import { sinkGateCases } from "./gate_cases.ts";
import { grownLayoutCases, keptScoresCases, staleScoresCases } from "./kept_cases.ts";
import { evictionCases, sharedInputCases, temporaryCases, tiedCases } from "./program_cases.ts";
import { appendCases, compactCases, copyRowsCases, extendCases, sliceCases, slideCases, truncateCases } from "./row_cases.ts";
import { blockRankCases, foldValuesCases, lagSpreadCases, obeyCases, profileCases, promoteCases } from "./rule_cases.ts";
import { attendRowsCases, boundQueryCases, minmaxPagesCases, pageScoresCases } from "./select_cases.ts";
import { expectedAttentionCases, rerotateCases } from "./future_cases.ts";
import { groupVotesCases, newestLikeCases, redundancyCases, softmaxCases, tailLossCases } from "./score_cases.ts";
import { blockCases, blockReduceCases, lengthenCases, splitCases, transferCases } from "./transfer_cases.ts";
import { demoteCases, insertRowsCases, queriesSeenCases, unweaveCases, weaveCases, weaveRowsCases } from "./woven_cases.ts";

const table: Readonly<Record<OpName, (seed: number) => ReadonlyArray<Case>>> = {
  embed: embedCases,
  norm: normCases,
  matmul: (seed) => [...matmulCases(seed), ...tiedCases(seed), ...sharedInputCases(seed)],
  rope: ropeCases,
  glu: gluCases,
  map: (seed) => [...mapCases(seed), ...temporaryCases(seed)],
  append: appendCases,
  extend: extendCases,
  attend: (seed) => [...attendCases(seed), ...blockCases(seed)],
  attendReduce: (seed) => [
    ...attendReduceCases(seed),
    ...blockReduceCases(seed),
    ...keptScoresCases(seed),
    ...staleScoresCases(seed),
    ...grownLayoutCases(seed),
  ],
  reduce: reduceCases,
  meanUnit: meanUnitCases,
  similarity: similarityCases,
  positions: positionsCases,
  pool: poolCases,
  headMean: headMeanCases,
  rank: rankCases,
  threshold: thresholdCases,
  compact: (seed) => [...compactCases(seed), ...evictionCases(seed)],
  truncate: truncateCases,
  copyRows: copyRowsCases,
  slide: slideCases,
  slice: sliceCases,
  argmax: argmaxCases,
  projectedNorm: projectedNormCases,
  perToken: perTokenCases,
  leaving: leavingCases,
  rejoin: rejoinCases,
  softmax: softmaxCases,
  groupVotes: groupVotesCases,
  newestLike: newestLikeCases,
  redundancy: redundancyCases,
  tailLoss: tailLossCases,
  split: splitCases,
  transfer: transferCases,
  lengthen: lengthenCases,
  profile: profileCases,
  obey: obeyCases,
  lagSpread: lagSpreadCases,
  blockRank: blockRankCases,
  promote: promoteCases,
  foldValues: foldValuesCases,
  minmaxPages: minmaxPagesCases,
  boundQuery: boundQueryCases,
  pageScores: pageScoresCases,
  attendRows: attendRowsCases,
  sinkGate: sinkGateCases,
  weave: weaveCases,
  weaveRows: weaveRowsCases,
  unweave: unweaveCases,
  insertRows: insertRowsCases,
  queriesSeen: queriesSeenCases,
  demote: demoteCases,
  kmeans: kmeansCases,
  centroids: centroidsCases,
  clusterScores: clusterScoresCases,
  rerotate: rerotateCases,
  expectedAttention: expectedAttentionCases,
  dropChannels: dropChannelsCases,
};

/** The seed of the table as it is published. Another seed gives other numbers in the same sizes. */
export const defaultSeed = 1;

/** Cases of one op, made anew by each call; the same seed gives the same bytes.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * assert(casesOf("rank").every((one) => one.op === "rank"));
 * ```
 */
export const casesOf = (op: OpName, seed: number = defaultSeed): ReadonlyArray<Case> => table[op](seed);
