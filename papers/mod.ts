/**
 * Published methods, one file each: constructors, their cards, and the names they have in text.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { pipe } from "fp-ts/function.js";
 * import { adaKv, cards, pyramidKv, snapKv } from "./mod.ts";
 * const policy = pipe(snapKv({ rows: 512, window: 8 }), pyramidKv(), adaKv());
 * assertEquals(policy.text, "snapkv(512, window=8)|pyramid(20)|ada(20%)");
 * assertEquals(cards.length, 30);
 * ```
 * @module
 */
import { type Card, type Either, type Entry, type KvError, parsePolicyWith, type Policy, type Registry, wrappers } from "../policy/mod.ts";
import * as ada from "./ada_kv.ts";
import * as h2oFile from "./h2o.ts";
import * as keepall from "./keep_all.ts";
import * as keydiff from "./key_diff.ts";
import * as kiviFile from "./kivi.ts";
import * as kvtcFile from "./kvtc.ts";
import * as knormFile from "./knorm.ts";
import * as kvzapFile from "./kvzap.ts";
import * as fastkvzip from "./fast_kvzip.ts";
import * as kvzipFile from "./kvzip.ts";
import * as kvzipheads from "./kvzip_heads.ts";
import * as pyramid from "./pyramid_kv.ts";
import * as snapkv from "./snap_kv.ts";
import * as streamingllm from "./streaming_llm.ts";
import * as tovaFile from "./tova.ts";
import * as criticalkv from "./critical_kv.ts";
import * as fastgen from "./fast_gen.ts";
import * as kvsharer from "./kv_sharer.ts";
import * as lagkv from "./lag_kv.ts";
import * as rkv from "./r_kv.ts";
import * as questFile from "./quest.ts";
import * as rocketkv from "./rocket_kv.ts";
import * as dbudgetkv from "./d_budget_kv.ts";
import * as precisionFile from "./precision.ts";
import * as diffkv from "./diff_kv.ts";
import * as rocketkvMt from "./rocket_kv_mt.ts";
import * as expectedFile from "./expected_attention.ts";
import * as clusterkv from "./cluster_kv.ts";
import * as thinkFile from "./think.ts";
import * as wgkv from "./write_gated_kv.ts";

export { adaKv, type AdaKvOptions } from "./ada_kv.ts";
export { h2o, type H2oOptions } from "./h2o.ts";
export { keepAll } from "./keep_all.ts";
export { keyDiff, type KeyDiffOptions } from "./key_diff.ts";
export { kivi, type KiviOptions } from "./kivi.ts";
export { knorm, type KnormOptions } from "./knorm.ts";
export { kvtc, type KvtcOptions } from "./kvtc.ts";
export { kvzap, type KvzapOptions } from "./kvzap.ts";
export { fastKvzip, type FastKvzipOptions } from "./fast_kvzip.ts";
export { kvzip, type KvzipOptions } from "./kvzip.ts";
export { kvzipHeads, type KvzipHeadsOptions } from "./kvzip_heads.ts";
export { pyramidKv, type PyramidKvOptions } from "./pyramid_kv.ts";
export { snapKv, type SnapKvOptions } from "./snap_kv.ts";
export { streamingLlm, type StreamingLlmOptions } from "./streaming_llm.ts";
export { tova, type TovaOptions } from "./tova.ts";
export { criticalKv, type CriticalKvOptions } from "./critical_kv.ts";
export { fastGen, type FastGenOptions } from "./fast_gen.ts";
export { kvSharer, type KvSharerOptions } from "./kv_sharer.ts";
export { lagKv, type LagKvOptions } from "./lag_kv.ts";
export { rKv, type RKvOptions } from "./r_kv.ts";
export { dBudgetKv, type DBudgetKvOptions } from "./d_budget_kv.ts";
export { diffKv, type DiffKvOptions } from "./diff_kv.ts";
export { precision, type PrecisionOptions } from "./precision.ts";
export { quest, type QuestOptions } from "./quest.ts";
export { rocketKv, type RocketKvOptions } from "./rocket_kv.ts";
export { rocketKvMt } from "./rocket_kv_mt.ts";
export { expectedAttention, type ExpectedAttentionOptions } from "./expected_attention.ts";
export { clusterKv, type ClusterKvOptions } from "./cluster_kv.ts";
export { think, type ThinkOptions } from "./think.ts";
export { writeGatedKv, type WriteGatedKvOptions } from "./write_gated_kv.ts";
export { showPolicy } from "../policy/mod.ts";

const papers: ReadonlyArray<{ readonly card: Card; readonly entry: Entry }> = [
  keepall,
  streamingllm,
  knormFile,
  keydiff,
  snapkv,
  tovaFile,
  h2oFile,
  ada,
  pyramid,
  rkv,
  dbudgetkv,
  fastgen,
  lagkv,
  criticalkv,
  kvsharer,
  kvzapFile,
  kvzipFile,
  kvzipheads,
  fastkvzip,
  kiviFile,
  questFile,
  rocketkv,
  kvtcFile,
  precisionFile,
  diffkv,
  rocketkvMt,
  expectedFile,
  clusterkv,
  wgkv,
  thinkFile,
];

/** What each method says about itself. */
export const cards: ReadonlyArray<Card> = papers.map((p) => p.card);

/** All names of the short text form: the methods, then the rewrites that are no paper of their own. */
export const registry: Registry = [...papers.map((p) => p.entry), ...wrappers];

/** Reads the short text form: terms joined by `+`, each with rewrites after bars, brackets to group. Errors point at a column.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { pipe } from "fp-ts/function.js";
 * import { layersFrom, onLayers } from "../policy/mod.ts";
 * import { knorm, parsePolicy } from "./mod.ts";
 * assertEquals(parsePolicy("knorm(256)|layers(2..)"), E.right(pipe(knorm({ rows: 256 }), onLayers(layersFrom(2)))));
 * ```
 */
export const parsePolicy: (source: string) => Either<KvError, Policy> = parsePolicyWith(registry);
