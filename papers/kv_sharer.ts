/**
 * KVSharer: layers that keep no rows of their own and read those of an earlier layer, as a search over a model found it.
 * @module
 */
import {
  block,
  build,
  type Card,
  type Entry,
  layerList,
  makes,
  param,
  type Policy,
  policy,
  readFrom,
  showTerm,
  type Term,
} from "../policy/mod.ts";

/** Options of {@link kvSharer}. */
export interface KvSharerOptions {
  /** Per layer the layer whose rows it reads: itself, or an earlier one that keeps rows of its own. */
  readonly from: ReadonlyArray<number>;
}

const term: Term<KvSharerOptions> = {
  name: "kvsharer",
  about: "layers read the rows of earlier ones, by a map that a search over the model found; when whole layers must go",
  params: { from: param.layerMap("from") },
  defaults: { from: [] },
};

const make = ({ from }: KvSharerOptions): Policy =>
  policy(
    showTerm(term)({ from }),
    from.flatMap((source, layer) => source === layer ? [] : [block(build, [readFrom(source)], layerList([layer]))]),
  );

/** KVSharer (arXiv 2410.18517, section 3.2): a shared layer stores nothing and attends with its own queries to the rows of its source,
 * the current token's included. `searchSharing` in `calibrate/` finds maps.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(kvSharer({ from: [0, 0, 2, 0] }).text, "kvsharer([0, 0, 2, 0])");
 * ```
 */
export const kvSharer = (options: KvSharerOptions): Policy => make(options);

/** `kvsharer([source of layer 0, of layer 1, ...])` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KVSharer: Efficient Inference via Layer-Wise Dissimilar KV Cache Sharing",
  arxiv: "2410.18517",
  venue: "2024; followed through yangyifei729/KVSharer, nothing copied",
  defaults: "no layer is shared unless a map says so: maps belong to a model",
  departures: ["keys and values of shared layers are not computed at all; the published code computes and discards them"],
  example: "kvsharer([0, 1, 2, 3, 4, 1])",
};
