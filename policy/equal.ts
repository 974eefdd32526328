/**
 * Equality of policy data, field by field whatever the order of keys.
 * @module
 */
import type { Eq } from "fp-ts/Eq.js";
import type { Block, Policy } from "./types.ts";

/** Same blocks in the same order, and the same text. */
export const policyEq: Eq<Policy> = { equals: (a, b) => a.text === b.text && same(a.blocks, b.blocks) };

/** Same moment, layers and verbs. */
export const blockEq: Eq<Block> = { equals: (a, b) => same(a, b) };

/** Same blocks in the same order. */
export const blocksEq: Eq<ReadonlyArray<Block>> = { equals: (a, b) => same(a, b) };

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
  const [left, right] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))];
  return left.length === right.size && left.every(([key, value]) => right.has(key) && same(value, right.get(key)));
}
