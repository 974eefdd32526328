/**
 * Checks that validation is made of: null, or the error that names path, value and range.
 * @module
 */
import type { KvError } from "../cache/error.ts";
import { isShare } from "./budget.ts";
import type { Ratio } from "./types.ts";

/** A fault, or null. */
export type Check = KvError | null;

/** An InvalidPolicy unless `holds`. */
export const check = (path: string, value: string | number, holds: boolean, allowed: string): Check =>
  holds ? null : { _tag: "InvalidPolicy", path, value: String(value), allowed };

/** A whole number from `from` to `to`. */
export const integer = (path: string, value: number, from: number, to: number): Check =>
  check(path, value, Number.isInteger(value) && value >= from && value <= to, `a whole number from ${from} to ${to}`);

/** An exact share in (0, 1]. */
export const share = (path: string, value: Ratio): Check =>
  check(path, `${value.numerator}/${value.denominator}`, isShare(value), "a share in (0, 1], as two whole numbers");

/** Columns become keys of records, so names that every object has are out. */
export const columnName = (path: string, name: string): Check =>
  check(
    path,
    name,
    /^[a-z][A-Za-z0-9_]{0,31}$/.test(name) && !(name in Object.prototype),
    "a name of 1 to 32 letters, digits and _, starting with a small letter, that no object has",
  );
