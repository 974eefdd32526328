import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import fc from "fast-check";
import { checkSampling, greedy, sample, type Sampling, uniform } from "./sample.ts";

const token = (sampling: Partial<Sampling>, index: number, logits: ReadonlyArray<number>): number => {
  const drawn = sample({ ...greedy, ...sampling }, index)(Float32Array.from(logits));
  assert(E.isRight(drawn));
  return drawn.right;
};
const logitsArbitrary = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 40 });

Deno.test("draws are SplitMix64: the published first outputs of seed 1234567", () => {
  // Outputs of the reference C code for this seed, upper 53 bits.
  const published = [6457827717110365317n, 3203168211198807973n, 9817491932198370423n];
  assertEquals(published.map((_, i) => uniform(1234567, i)), published.map((n) => Number(n >> 11n) / 2 ** 53));
});

Deno.test("greedy takes the largest logit, the lowest id on ties", () => {
  assertEquals([token({}, 0, [0, 5, 5, 1]), token({}, 9, [-1, -Infinity, -1])], [1, 0]);
});

Deno.test("top-k never draws outside the k largest, ties to the lower id", () => {
  fc.assert(
    fc.property(logitsArbitrary, fc.integer({ min: 1, max: 5 }), fc.nat(1000), (logits, topK, index) => {
      const order = logits.map((l, i) => [Math.fround(l), i] as const).sort(([a, i], [b, j]) => b - a || i - j);
      const drawn = token({ temperature: 50, topK, seed: 7 }, index, logits);
      assert(order.slice(0, topK).some(([, i]) => i === drawn));
    }),
    { numRuns: 300 },
  );
});

Deno.test("top-p draws from the fewest tokens that reach the share", () => {
  const logits = [0.5, 0.3, 0.15, 0.05].map(Math.log);
  const drawn = (topP: number) => new Set(Array.from({ length: 400 }, (_, i) => token({ temperature: 1, topP, seed: 3 }, i, logits)));
  assertEquals([0.4, 0.7, 0.9, 1].map((p) => drawn(p).size), [1, 2, 3, 4]);
});

Deno.test("top-p acts on what top-k left", () => {
  const logits = [0.4, 0.3, 0.2, 0.1].map(Math.log);
  const drawn = new Set(Array.from({ length: 400 }, (_, i) => token({ temperature: 1, topK: 2, topP: 0.5 }, i, logits)));
  assertEquals(drawn, new Set([0]));
});

Deno.test("frequencies follow softmax(logits / temperature)", () => {
  const share = (temperature: number): number => {
    const n = 20000;
    const hits = Array.from({ length: n }, (_, i) => token({ temperature, seed: 11 }, i, [0, Math.log(3)])).filter((t) => t === 1);
    return hits.length / n;
  };
  // 20,000 draws: one standard deviation is 0.003, five are allowed.
  assert(Math.abs(share(1) - 0.75) < 0.016);
  assert(Math.abs(share(2) - Math.sqrt(3) / (1 + Math.sqrt(3))) < 0.016);
});

Deno.test("the same seed and index give the same token, another seed another sequence", () => {
  const logits = Array.from({ length: 50 }, (_, i) => Math.sin(i));
  const run = (seed: number) => Array.from({ length: 30 }, (_, i) => token({ temperature: 1, seed }, i, logits));
  assertEquals(run(5), run(5));
  assert(run(5).join() !== run(6).join());
});

Deno.test("NaN, +Infinity and no finite logit are errors, never a token", () => {
  for (const bad of [[1, NaN], [Infinity, 0], [-Infinity, -Infinity], []]) {
    for (const temperature of [0, 1]) {
      const drawn = sample({ ...greedy, temperature }, 0)(Float32Array.from(bad));
      assert(E.isLeft(drawn) && drawn.left._tag === "Unavailable");
    }
  }
});

Deno.test("options outside their range are named", () => {
  const bad: ReadonlyArray<Partial<Sampling>> = [{ temperature: -1 }, { temperature: NaN }, { topK: 1.5 }, { topP: 0 }, { topP: 2 }, {
    seed: -1,
  }];
  for (const options of bad) {
    const checked = checkSampling(options);
    assert(E.isLeft(checked) && checked.left._tag === "InvalidArgument" && checked.left.argument === Object.keys(options)[0]);
  }
});
