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
import { invalid } from "./resolve.ts";
import type { StorePlan } from "./types.ts";

type Encode = Extract<PlannedVerb, { readonly _tag: "Encode" }>;
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

/** Rows that have passed on are chosen from no more, so what chooses must act while they wait. */
export function checkPassing(layers: ReadonlyArray<Blocks>): E.Either<KvError, ReadonlyArray<Blocks>> {
  for (const [l, blocks] of layers.entries()) {
    const recent = encodesOf(blocks).map((e) => e.recent);
    const whileReading = blocks.some(({ moment, verbs }) =>
      (moment._tag === "Append" || moment._tag === "Chunk") && verbs.some((v) => v._tag === "Encode")
    );
    for (const { moment, verbs } of recent.length === 0 ? [] : blocks) {
      for (const verb of verbs) {
        if (verb._tag !== "Evict") continue;
        const because = verb.limit._tag === "Rows"
          ? moment._tag === "PrefillEnd" && !whileReading
            ? null
            : "rows that have passed on to codes compete no more; evict at the end of prefill"
          : verb.protect.recent > Math.min(...recent)
          ? `rows pass on after ${Math.min(...recent)} positions, before the window of ${verb.protect.recent} lets them be judged`
          : null;
        if (because !== null) {
          return E.left({
            _tag: "Unsupported",
            what: `Evict at the moment ${moment._tag} beside Encode (layer ${l})`,
            where: "the planner",
            because,
          });
        }
      }
    }
  }
  return E.right(layers);
}

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
  return E.right({ keyCodec, valueCodec, recent: Math.min(...encodes.map((e) => e.recent)), group });
}

/** Most rows per head that wait in the tail after a run, or null: old ones pass on in whole groups after every run. */
export function waitingBound(blocks: Blocks, store: StorePlan | null): number | null {
  const always = (tags: ReadonlyArray<string>): boolean =>
    blocks.some(({ moment, verbs }) => tags.includes(moment._tag) && verbs.some((v) => v._tag === "Encode" && v.below === null));
  const bounded = store !== null && always(["Append", "Chunk"]) && always(["Append", "Step"]);
  return bounded ? store.recent + store.group - 1 : null;
}
