/**
 * Stand-in for `@std/assert` where JSR cannot be reached: same names and signatures, built on `node:assert`.
 * @module
 */
import nodeAssert from "node:assert";

/** Thrown by every failing assertion. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

function check(condition: boolean, fallback: string, msg?: string): void {
  if (!condition) throw new AssertionError(msg ? `${fallback}: ${msg}` : fallback);
}
function show(value: unknown): string {
  return Deno.inspect(value, { depth: 6, iterableLimit: 40, strAbbreviateSize: 400 });
}

/** Fails always. */
export function fail(msg?: string): never {
  throw new AssertionError(msg ?? "Failed assertion");
}
/** Passes if the value is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  check(Boolean(expr), "Expected a truthy value", msg);
}
/** Passes if the value is falsy. */
export function assertFalse(expr: unknown, msg = ""): void {
  check(!expr, "Expected a falsy value", msg);
}
/** Deep equality. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.deepStrictEqual(actual, expected);
  } catch {
    throw new AssertionError(`Values are not equal${msg ? `: ${msg}` : ""}\n  actual:   ${show(actual)}\n  expected: ${show(expected)}`);
  }
}
/** Deep inequality. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  try {
    nodeAssert.notDeepStrictEqual(actual, expected);
  } catch {
    throw new AssertionError(`Expected values to differ${msg ? `: ${msg}` : ""}: ${show(actual)}`);
  }
}
/** `Object.is`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  check(Object.is(actual, expected), `Values are not strictly equal: ${show(actual)} and ${show(expected)}`, msg);
}
/** Not null, not undefined. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  check(actual !== undefined && actual !== null, `Expected a value, found ${show(actual)}`, msg);
}
/** |actual - expected| <= tolerance; by default 1e-7 relative to the expected value. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  check(Math.abs(expected - actual) <= allowed, `Expected ${expected} within ${allowed}, found ${actual}`, msg);
}
/** Substring. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  check(actual.includes(expected), `Expected ${show(actual)} to contain ${show(expected)}`, msg);
}
/** Regular expression. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  check(expected.test(actual), `Expected ${show(actual)} to match ${expected}`, msg);
}
/** actual > expected. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  check(actual > expected, `Expected ${show(actual)} > ${show(expected)}`, msg);
}
/** actual >= expected. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  check(actual >= expected, `Expected ${show(actual)} >= ${show(expected)}`, msg);
}
/** actual < expected. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  check(actual < expected, `Expected ${show(actual)} < ${show(expected)}`, msg);
}
/** actual <= expected. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  check(actual <= expected, `Expected ${show(actual)} <= ${show(expected)}`, msg);
}
/** `fn` must throw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  return fail(msg ?? "Expected function to throw");
}
/** The promise of `fn` must reject. */
export async function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown> {
  try {
    await fn();
  } catch (error) {
    return error;
  }
  return fail(msg ?? "Expected promise to reject");
}
