/**
 * The full cache: nothing leaves. The neutral element of `and`, and what every method is compared with.
 * @module
 */
import { type Card, emptyPolicy, type Entry, makes, type Policy } from "../policy/mod.ts";

/** Keeps every row.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(keepAll, { _tag: "Policy", blocks: [], text: "keepall" });
 * ```
 */
export const keepAll: Policy = emptyPolicy;

/** `keepall` in text. */
export const entry: Entry = makes({
  name: "keepall",
  about: "keeps every row: the full cache; what others are measured against",
  params: {},
  defaults: {},
}, () => keepAll);

/** What this is. */
export const card: Card = {
  name: "keepall",
  title: "The full cache",
  arxiv: "1706.03762",
  venue: "attention as it was defined; no code of others",
  defaults: "none",
  departures: [],
  example: "keepall",
};
