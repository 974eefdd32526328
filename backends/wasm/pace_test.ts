import { assert, assertEquals } from "@std/assert";
import { newPace, type Pace, paced, threadsFor } from "./pace.ts";

/** Threads of each of so many runs, whose seconds `cost` gives. */
function threadsOver(count: number, cost: (run: number, threads: number) => number, from: Pace = newPace(1)): ReadonlyArray<number> {
  const taken: number[] = [];
  for (let [run, pace] = [0, from]; run < count; run++) {
    const threads = threadsFor(pace, 2);
    taken.push(threads);
    pace = paced(pace, threads === 1, cost(run, threads));
  }
  return taken;
}

const aloneIn = (taken: ReadonlyArray<number>): number => taken.filter((threads) => threads === 1).length;

Deno.test("on an idle machine one run in a program's life is on one thread", () => {
  const taken = threadsOver(2000, (_, threads) => threads === 1 ? 0.02 : 0.012);
  assertEquals([aloneIn(taken), taken.indexOf(1)], [1, 8]);
});

Deno.test("one run in twenty that is held up does not send the helpers away", () => {
  const taken = threadsOver(2000, (run, threads) => run % 20 === 19 ? 0.1 : threads === 1 ? 0.02 : 0.012);
  assert(aloneIn(taken) < 2000 / 20 + 2, `${aloneIn(taken)} of 2000`);
});

Deno.test("runs that grow with the cache stay on all threads, but for tries that follow what one thread takes now", () => {
  const taken = threadsOver(4000, (run, threads) => (threads === 1 ? 0.02 : 0.012) * (1 + run / 500));
  assert(aloneIn(taken) < 200, `${aloneIn(taken)} of 4000`);
});

Deno.test("a machine that becomes half as fast keeps all threads: what one thread took before is tried again, not believed", () => {
  const taken = threadsOver(1000, (run, threads) => (threads === 1 ? 0.02 : 0.012) * (run < 100 ? 1 : 2));
  assertEquals(aloneIn(taken), 2);
});

Deno.test("beside a busy process one thread takes nearly all runs", () => {
  const taken = threadsOver(2000, (run, threads) => threads === 1 ? 0.02 : 0.2 + 0.1 * (run % 2));
  assert(aloneIn(taken) > 1900, `${aloneIn(taken)} of 2000`);
});

Deno.test("chunks of a prompt, which take long, are not tried on one thread unless one takes suddenly long", () => {
  assertEquals(aloneIn(threadsOver(100, (_, threads) => threads === 1 ? 1 : 0.6, newPace(256))), 0);
  assertEquals(threadsOver(12, (run, threads) => run === 9 ? 5 : threads === 1 ? 1 : 0.6, newPace(256)).lastIndexOf(1), 10);
});

Deno.test("when the machine is idle again all threads come back", () => {
  const taken = threadsOver(3000, (run, threads) => threads === 1 ? 0.02 : run < 300 ? 0.09 : 0.012);
  assert(aloneIn(taken.slice(20, 300)) > 200 && aloneIn(taken.slice(1500)) === 0, `${aloneIn(taken.slice(1500))}`);
});
