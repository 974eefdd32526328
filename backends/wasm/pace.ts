/**
 * How many threads take part in the next run of a program. Threads meet at a barrier after almost every op; where another process keeps a core
 * busy, each meeting may wait until the system lets a helper run, and one thread alone is then several times as fast. Results are the same
 * bits for any number of threads, so speed alone decides.
 * @module
 */

/** What is known of the speed of one program. */
export interface Pace {
  /** Whether one thread is tried unasked. */
  readonly isLight: boolean;
  /** Runs so far. */
  readonly runs: number;
  /** Seconds of a run on one thread, NaN until it was tried: the mean of the newest such runs in a row, of many the newest eight or so. */
  readonly alone: number;
  /** The same on all threads. */
  readonly together: number;
  /** How many runs in a row `alone` is of. */
  readonly solo: number;
  /** How many runs in a row `together` is of: 0 while one thread runs. */
  readonly joined: number;
  /** Runs before this one are on one thread. */
  readonly aloneUntil: number;
  /** Runs to stay alone next time. */
  readonly patience: number;
}

/** Runs until one thread is tried for the first time, when code is warm. */
const warm = 8;
/** Most tokens of a program that one thread is tried for unasked: of the chunks of a prompt there are few, and they wait less. */
const few = 8;
/** A run that takes so many times the mean makes one thread worth a try. */
const sudden = 3;
/** Runs on all threads before they are judged. */
const fair = 4;
/** Runs of a try on one thread. */
const tried = 1;
/** So many runs later a try is too old to judge by: a machine whose speed changes would seem slower together than it was alone. */
const fresh = 2 * fair;
const leastPatience = 16;
const mostPatience = 512;

/** Of a program that takes so many tokens nothing is known. */
export const newPace = (tokens: number): Pace => ({
  isLight: tokens <= few,
  runs: 0,
  alone: NaN,
  together: NaN,
  solo: 0,
  joined: 0,
  aloneUntil: 0,
  patience: leastPatience,
});

/** Threads that the next run takes.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([threadsFor(newPace(1), 2), threadsFor({ ...newPace(1), aloneUntil: 1 }, 2)], [2, 1]);
 * ```
 */
export const threadsFor = ({ runs, aloneUntil }: Pace, threads: number): number => runs < aloneUntil ? 1 : threads;

/** The mean of `count` runs, the newest of which took so many seconds. One that was held up says little: it counts as at most twice the mean. */
const mean = (before: number, seconds: number, count: number): number =>
  count === 1 ? seconds : before + (Math.min(seconds, 2 * before) - before) / Math.min(count, 8);

/** What is known after a run of so many seconds, on one thread or on all. */
export function paced(pace: Pace, isAlone: boolean, seconds: number): Pace {
  const runs = pace.runs + 1;
  if (isAlone) {
    const solo = pace.joined > 0 ? 1 : pace.solo + 1;
    return { ...pace, runs, solo, alone: mean(pace.alone, seconds, solo), joined: 0 };
  }
  const joined = pace.joined + 1;
  const together = mean(pace.together, seconds, joined);
  const next = { ...pace, runs, together, joined, patience: joined > mostPatience ? leastPatience : pace.patience };
  const isBehind = joined >= fair && together > pace.alone;
  if (isBehind && joined <= fresh) {
    return { ...next, aloneUntil: runs + pace.patience, patience: Math.min(mostPatience, 2 * pace.patience) };
  }
  const isUntried = pace.isLight && Number.isNaN(pace.alone) && runs >= warm;
  const isSudden = joined > fair && seconds > sudden * pace.together;
  return isBehind || isUntried || isSudden ? { ...next, aloneUntil: runs + tried } : next;
}
