/**
 * Rows that pass on to a store of another codec when they get old: what a layer's store is, and which evictions go with it.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { blockRows, codecOf } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { PlannedBlock, PlannedVerb } from "./blocks.ts";
import { makesClusters } from "./clusters.ts";
import { codecError } from "./layers.ts";
import type { Score } from "../policy/types.ts";
import { invalid, unsupported } from "./resolve.ts";
import { scoresOf } from "./holds.ts";
import { isPredicted, scoresIn } from "./scores.ts";
import type { StorePlan } from "./types.ts";

type Encode = Extract<PlannedVerb, { readonly _tag: "Encode" }>;
type Evict = Extract<PlannedVerb, { readonly _tag: "Evict" }>;
type Blocks = ReadonlyArray<PlannedBlock>;

/** At every moment rows are chosen first, then they pass on, then what stays is grouped, whatever the order of blocks. */
export const encodeLast = (blocks: Blocks): Blocks => clusterLast(passLast(blocks));

/** Clusters are made of the rows that are left. */
const clusterLast = (blocks: Blocks): Blocks => [...blocks.filter((b) => !makesClusters(b)), ...blocks.filter(makesClusters)];

const passLast = (blocks: Blocks): Blocks => {
  const only = (encodes: boolean): Blocks =>
    blocks.flatMap(({ moment, verbs }) => {
      const some = verbs.filter((v) => (v._tag === "Encode") === encodes);
      return some.length === 0 ? [] : [{ moment, verbs: some }];
    });
  return blocks.some(({ verbs }) => verbs.some((v) => v._tag === "Encode")) ? [...only(false), ...only(true)] : blocks;
};

const encodesOf = (blocks: Blocks): ReadonlyArray<Encode> => blocks.flatMap((b) => b.verbs).flatMap((v) => v._tag === "Encode" ? [v] : []);

/** True if rows may have passed on already when blocks of this moment act. */
const filled = (blocks: Blocks, moment: PlannedBlock["moment"]): boolean =>
  moment._tag !== "PrefillEnd" ||
  blocks.some((b) => (b.moment._tag === "Append" || b.moment._tag === "Chunk") && b.verbs.some((v) => v._tag === "Encode"));

/** Every eviction beside codes with the rows that compete in it, or the reason why the two do not go together. */
export function checkPassing(layers: ReadonlyArray<Blocks>): E.Either<KvError, ReadonlyArray<Blocks>> {
  const judged: Blocks[] = [];
  for (const [l, blocks] of layers.entries()) {
    const encodes = encodesOf(blocks);
    if (encodes.length === 0) {
      judged.push(blocks);
      continue;
    }
    const inBlocks = encodes.some(({ keys, values }) => Math.max(blockRows(codecOf(keys)), blockRows(codecOf(values))) > 1);
    const planned: PlannedBlock[] = [];
    for (const { moment, verbs } of blocks) {
      const next: PlannedVerb[] = [];
      for (const verb of verbs) {
        const over = verb._tag === "Evict" ? competitors(blocks, verb, moment) : "tail";
        const because = over === "all"
          ? reasonAgainst(verb, verbs, inBlocks)
          : verb._tag === "Encode"
          ? againstBelow(verb, blocks, moment, inBlocks)
          : null;
        if (because !== null) return unsupported(`${verb._tag} at the moment ${moment._tag} beside Encode`, `layer ${l}`, because);
        next.push(verb._tag === "Evict" ? { ...verb, over } : verb);
      }
      planned.push({ moment, verbs: next });
    }
    const stale = staleColumn(planned);
    if (stale !== null) {
      const because = "of rows that have passed on to codes only sums of attention are remembered anew";
      return unsupported(`the column ${stale} beside Encode`, `layer ${l}`, because);
    }
    judged.push(planned);
  }
  return E.right(judged);
}

/** A threshold on a score that does not change decides rows while they wait; any other eviction judges all that may have passed on. */
function competitors(blocks: Blocks, { limit, score, protect }: Evict, moment: PlannedBlock["moment"]): "tail" | "all" {
  if (!filled(blocks, moment)) return "tail";
  const waits = protect.recent <= Math.min(...encodesOf(blocks).map(({ recent }) => recent));
  return limit._tag === "Above" && waits && scoresIn(score).every((s) => lasts(blocks, s)) ? "tail" : "all";
}

const lasting: ReadonlySet<Score["_tag"]> = new Set(["Constant", "Position", "Norm", "Unary", "Binary"]);

const lasts = (blocks: Blocks, score: Score): boolean =>
  lasting.has(score._tag) ||
  score._tag === "Column" &&
    blocks.flatMap((b) => b.verbs).every((v) => v._tag !== "Remember" || v.name !== score.name || isPredicted(v.score));

/** Why an eviction cannot judge rows that have passed on. */
function reasonAgainst(verb: PlannedVerb, beside: ReadonlyArray<PlannedVerb>, inBlocks: boolean): string | null {
  if (verb._tag !== "Evict") return null;
  if (inBlocks) {
    return "rows whose keys are coded per channel are stored in blocks and do not leave alone; evict at the end of prefill, or code keys per token";
  }
  if (verb.merge) return "values are not folded into rows that are codes";
  const named = new Set(beside.flatMap((v) => v._tag === "Score" ? [v.name] : []));
  return scoresIn(verb.score).some((s) => s._tag === "Column" && named.has(s.name))
    ? "a score with a name is that of the rows that wait"
    : null;
}

/** Why rows cannot pass on by their score. */
function againstBelow({ below }: Encode, blocks: Blocks, moment: PlannedBlock["moment"], inBlocks: boolean): string | null {
  if (below === null) return null;
  if (inBlocks && filled(blocks, moment)) return "rows that pass on by their score go between others, not into blocks of channels";
  const wide = scoresIn(below.score).find((s) => !rowwise.has(s._tag));
  return below.leave === null || wide === undefined
    ? null
    : `one row at a time is chosen by what each row has for itself, not by ${wide._tag}`;
}

const rowwise: ReadonlySet<Score["_tag"]> = new Set([...lasting, "Column", "QueriesSeen"]);

/** A column that an eviction over all rows, or the choice of one to pass on, reads, and that is not kept up for rows in the store. */
function staleColumn(blocks: Blocks): string | null {
  const read = new Set(
    blocks.flatMap((b) => b.verbs).flatMap((v) => (judges(v) ? scoresOf(v) : []).flatMap((s) => s._tag === "Column" ? [s.name] : [])),
  );
  const stale = blocks.filter((b) => filled(blocks, b.moment)).flatMap((b) => b.verbs).find((v) =>
    v._tag === "Remember" && read.has(v.name) && !keptUp(v)
  );
  return stale?._tag === "Remember" ? stale.name : null;
}

/** Sums of attention are added in the store too; what is known of a run's own rows never changes there. */
const keptUp = ({ score, by }: Extract<PlannedVerb, { readonly _tag: "Remember" }>): boolean =>
  score._tag === "Attention" && by === "sum" || isPredicted(score) || score._tag === "TokenClass";

/** True if a verb judges rows that have passed on. */
const judges = (verb: PlannedVerb): boolean => verb._tag === "Evict" && verb.over === "all" || verb._tag === "Encode" && isSingle(verb);

const isSingle = ({ below }: Encode): boolean => below !== null && below.leave !== null;

/** The store of a layer: one pair of codecs that fits its heads. */
export function storeOf(blocks: Blocks, shape: LayerShape, layer: number): E.Either<KvError, StorePlan | null> {
  const encodes = encodesOf(blocks);
  const first = encodes[0];
  if (first === undefined) return E.right(null);
  const path = `layers[${layer}].store`;
  const other = encodes.find(({ keys, values }) => keys !== first.keys || values !== first.values);
  if (other !== undefined) {
    return invalid(path, `${other.keys} and ${other.values}`, `the codecs ${first.keys} and ${first.values} of another block`);
  }
  const [keyCodec, valueCodec] = [codecOf(first.keys), codecOf(first.values)];
  const fits = [codecError(`${path}.keys`, keyCodec, shape.keyDim), codecError(`${path}.values`, valueCodec, shape.valueDim)].find(
    E.isLeft,
  );
  if (fits !== undefined) return fits;
  const group = Math.max(blockRows(keyCodec), blockRows(valueCodec));
  const later = blocks.filter((b) => b.moment._tag !== "PrefillEnd" && b.moment._tag !== "Chunk").flatMap((b) => b.verbs);
  return E.right({
    keyCodec,
    valueCodec,
    recent: Math.min(...encodes.map((e) => e.recent)),
    group,
    judged: blocks.some((b) => b.verbs.some(judges)),
    single: later.every((v) => v._tag !== "Encode" || isSingle(v)),
  });
}

/** Most rows per head that wait in the tail after a run, or null: old ones pass on in whole groups after every run. */
export function waitingBound(blocks: Blocks, store: StorePlan | null): number | null {
  const always = (tags: ReadonlyArray<string>): boolean =>
    blocks.some(({ moment, verbs }) => tags.includes(moment._tag) && verbs.some((v) => v._tag === "Encode" && v.below === null));
  const bounded = store !== null && always(["Append", "Chunk"]) && always(["Append", "Step"]);
  return bounded ? store.recent + store.group - 1 : null;
}
