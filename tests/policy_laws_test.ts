/**
 * Laws of the policy algebra as properties, 300 random cases each.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import {
  adaKv,
  cards,
  clusterKv,
  dBudgetKv,
  diffKv,
  expectedAttention,
  fastGen,
  h2o,
  keyDiff,
  knorm,
  kvzip,
  kvzipHeads,
  lagKv,
  parsePolicy,
  precision,
  pyramidKv,
  registry,
  rKv,
  rocketKvMt,
  snapKv,
  streamingLlm,
  think,
  tova,
  writeGatedKv,
} from "../papers/mod.ts";
import { adaptive, and, append, at, decoding, every, everySteps, layersFrom, needs, onLayers, percent, perLayer } from "../policy/mod.ts";
import { type Policy, policyEq, policyFromJson, policyMonoid, policyToJson, protect, pyramid, type Rewrite, rows } from "../policy/mod.ts";
import { showPolicy, type Size, step, streaming, validatePolicy, withBudget, wrappers } from "../policy/mod.ts";
import { anyPolicy, anyText, ratio, spoken } from "./policy_arbitrary.ts";

const law = (name: string, property: fc.IProperty<unknown>): void => {
  Deno.test(name, () => fc.assert(property, { numRuns: 300 }));
};

const either = fc.oneof(anyPolicy, spoken);
/** Each changes one field of each block, or blocks one by one. */
const local: Readonly<Record<string, Rewrite>> = {
  at: at(append),
  onLayers: onLayers(layersFrom(2)),
  everySteps: everySteps(7),
  withBudget: withBudget(rows(2048)),
  perLayer: perLayer([rows(2048), rows(512)]),
  adaptive: adaptive(percent(30)),
  adaptiveWithoutFloor: adaptive(null),
  pyramid: pyramid(20),
  protect: protect({ sinks: 4, recent: percent(10) }),
  adaKv: adaKv(),
  pyramidKv: pyramidKv(),
};
const rewrites: Readonly<Record<string, Rewrite>> = { ...local, streaming, decoding };
const anyRewrite = fc.constantFrom(...Object.keys(rewrites)).map((name) => rewrites[name] ?? streaming);

law(
  "and is associative, texts included",
  fc.property(either, either, either, (a, b, c) => {
    assertEquals(pipe(a, and(b), and(c)), pipe(a, and(pipe(b, and(c)))));
  }),
);

law(
  "keepall is neutral on both sides",
  fc.property(either, (a) => {
    assertEquals(policyMonoid.concat(policyMonoid.empty, a), a);
    assertEquals(policyMonoid.concat(a, policyMonoid.empty), a);
  }),
);

for (const [name, rewrite] of Object.entries(local)) {
  law(
    `${name} of a sum is the sum of ${name}`,
    fc.property(either, either, (a, b) => {
      assertEquals(rewrite(and(b)(a)).blocks, and(rewrite(b))(rewrite(a)).blocks);
    }),
  );
}

for (const [name, rewrite] of Object.entries({ streaming, decoding })) {
  law(
    `${name} of a sum is the sum of ${name} where the two share no block but for the moment`,
    fc.property(either, either, (a, b) => {
      const still = at(step);
      fc.pre(still(a).blocks.every((x) => !still(b).blocks.some((y) => policyEq.equals({ ...a, blocks: [x] }, { ...a, blocks: [y] }))));
      assertEquals(rewrite(and(b)(a)).blocks, and(rewrite(b))(rewrite(a)).blocks);
    }),
  );
}

law(
  "every rewrite applied twice is the rewrite applied once, texts included",
  fc.property(either, anyRewrite, (p, rewrite) => assertEquals(rewrite(rewrite(p)), rewrite(p))),
);

law(
  "rewrites of different fields commute",
  fc.property(either, (p) => {
    const pairs: ReadonlyArray<readonly [Rewrite, Rewrite]> = [
      [onLayers(layersFrom(2)), withBudget(rows(999))],
      [adaptive(percent(20)), protect({ sinks: 1, recent: 2 })],
      [at(every(3)), adaptive(null)],
      [everySteps(3), pyramid(9)],
    ];
    for (const [f, g] of pairs) assertEquals(f(g(p)).blocks, g(f(p)).blocks);
  }),
);

law(
  "rewrites leave keepall alone",
  fc.property(anyRewrite, (rewrite) => assertEquals(rewrite(policyMonoid.empty), policyMonoid.empty)),
);

law(
  "after streaming nothing waits for the end of prefill, and after decoding every such block acts at steps too",
  fc.property(either, (p) => {
    assert(streaming(p).blocks.every((b) => b.moment._tag !== "PrefillEnd"));
    const count = (q: Policy, tag: string) =>
      new Set(q.blocks.filter((b) => b.moment._tag === tag).map((b) => JSON.stringify([b.layers, b.verbs])));
    assert(count(decoding(p), "PrefillEnd").isSubsetOf(count(decoding(p), "Step")));
  }),
);

law(
  "JSON gives back the same policy",
  fc.property(either, (p) => assertEquals(policyFromJson(JSON.parse(JSON.stringify(policyToJson(p)))), E.right(p))),
);

law(
  "text gives back the same policy, and printing it is stable",
  fc.property(anyText, (text) => {
    const once = parsePolicy(text);
    fc.pre(E.isRight(once));
    if (E.isLeft(once)) return;
    assertEquals(parsePolicy(showPolicy(once.right)), once);
  }),
);

law(
  "what is said by combinators is what their text says",
  fc.property(spoken, anyRewrite, (p, rewrite) => {
    const changed = rewrite(p);
    fc.pre(E.isRight(validatePolicy(changed)));
    assertEquals(parsePolicy(showPolicy(changed)), E.right(changed));
  }),
);

const size: fc.Arbitrary<Size> = fc.oneof(fc.record({ rows: fc.integer({ min: 64, max: 5000 }) }), fc.record({ share: ratio }));
const made: ReadonlyArray<fc.Arbitrary<Policy>> = [
  fc.tuple(size, fc.boolean(), fc.nat(9)).map(([s, decode, sinks]) => streamingLlm({ ...s, decode, sinks })),
  fc.tuple(size, fc.boolean()).map(([s, decode]) => knorm({ ...s, decode })),
  fc.tuple(size, fc.boolean()).map(([s, decode]) => keyDiff({ ...s, decode })),
  fc.tuple(size, fc.boolean()).map(([s, decode]) => tova({ ...s, decode })),
  fc.tuple(size, fc.boolean(), fc.oneof(fc.nat(64), ratio)).map(([s, decode, recent]) => h2o({ ...s, decode, recent })),
  fc.tuple(size, fc.boolean(), fc.integer({ min: 1, max: 64 }), fc.nat(20), fc.constantFrom("max", "mean" as const))
    .map(([s, decode, window, half, pool]) => snapKv({ ...s, decode, window, kernel: 2 * half + 1, pool })),
  fc.tuple(size, fc.boolean(), fc.integer({ min: 1, max: 64 }), fc.integer({ min: 0, max: 100 }))
    .map(([s, prompt, window, hundredths]) => rKv({ ...s, prompt, window, lambda: hundredths / 100 })),
  fc.tuple(fc.integer({ min: 0, max: 1000 }), fc.nat(8), fc.nat(8), fc.constantFrom("candidates", "all" as const))
    .map(([thousandths, sinks, exempt, scope]) => dBudgetKv({ loss: thousandths / 1000, sinks, exempt, scope })),
  fc.tuple(fc.integer({ min: 1, max: 100 }), ratio, ratio, fc.nat(8))
    .map(([hundredths, frequent, local, sinks]) => fastGen({ recovery: hundredths / 100, frequent, local, sinks })),
  fc.tuple(size, fc.boolean(), fc.constantFrom("model", "layer", "head" as const), fc.integer({ min: 1, max: 4096 }))
    .map(([s, plus, cut, chunk]) => kvzip({ ...s, plus, cut, chunk })),
  fc.tuple(size, fc.nat(8), fc.nat(32)).map(([s, sinks, recent]) => kvzipHeads({ ...s, sinks, recent })),
  fc.tuple(size, fc.integer({ min: 1, max: 64 }), fc.nat(8), fc.boolean()).map(([s, queries, sinks, spread]) =>
    expectedAttention({ ...s, queries, sinks, spread, norm: !spread })
  ),
  fc.tuple(size, fc.integer({ min: 4, max: 90 }), fc.nat(8), fc.integer({ min: 1, max: 9 })).map(([s, per, sinks, added]) =>
    clusterKv({ ...s, per, sinks, added, window: 2 * added })
  ),
  fc.integer({ min: 16, max: 999 }).map((tokens) => rocketKvMt({ tokens })),
  fc.tuple(fc.constantFrom("10%", "40%", "90%" as const), fc.integer({ min: 1, max: 99 }), fc.nat(99)).map(([drop, queries, recent]) =>
    think({ drop, queries, recent })
  ),
  fc.tuple(fc.integer({ min: -100, max: 200 }), fc.integer({ min: 1, max: 300 }), fc.nat(8)).map(([hundredths, window, sinks]) =>
    writeGatedKv({ threshold: hundredths / 100, window, sinks })
  ),
  fc.tuple(size, fc.boolean(), fc.nat(8), fc.integer({ min: 1, max: 300 })).map(([s, cross, sinks, lag]) =>
    lagKv({ ...s, cross, sinks, lag })
  ),
  fc.tuple(fc.nat(5000), fc.nat(1000), fc.integer({ min: 1, max: 128 }), fc.constantFrom("length", "place" as const), fc.boolean())
    .map(([high, low, window, base, groups]) => diffKv({ high: high / 1000, low: low / 1000, window, base, groups })),
  fc.tuple(
    size,
    fc.constantFrom("auto", "8", "4", "2" as const),
    fc.constantFrom("64", "32", "row" as const),
    fc.constantFrom("token", "channel" as const),
    fc.constantFrom("bytes", "nominal" as const),
    fc.nat(64),
  ).map(([s, bits, group, keys, count, recent]) => precision({ bits, group, keys, count, recent })(knorm(s))),
];

law(
  "what constructors and paper rewrites make is what their text says, whatever the options",
  fc.property(fc.oneof(...made), fc.option(ratio, { nil: null }), fc.integer({ min: 1, max: 99 }), (p, floor, beta) => {
    const changed = pipe(p, adaKv({ floor }), pyramidKv({ beta }));
    for (const q of [p, changed]) if (E.isRight(validatePolicy(q))) assertEquals(parsePolicy(showPolicy(q)), E.right(q));
    assert(E.isRight(validatePolicy(p)));
  }),
);

law(
  "needs of a sum is the union of needs",
  fc.property(either, either, (a, b) => assertEquals([...needs(and(b)(a))].sort(), [...needs(a).union(needs(b))].sort())),
);

/** Puts wild numbers where numbers are. */
const spoil = (value: unknown, wild: () => number): unknown =>
  typeof value === "number"
    ? wild()
    : Array.isArray(value)
    ? value.map((v) => spoil(v, wild))
    : typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, spoil(v, wild)]))
    : value;

law(
  "validation is total: whatever the numbers, a policy is accepted and survives JSON, or a Left names a path",
  fc.property(
    either,
    fc.infiniteStream(fc.oneof(fc.double(), fc.integer(), fc.constantFrom(NaN, Infinity, -Infinity, 0, 0.5, 2 ** 53))),
    (p, numbers) => {
      const result = policyFromJson(spoil(p, () => (numbers.next().value ?? 0) + 0));
      if (E.isLeft(result)) assert(result.left._tag === "InvalidPolicy" && result.left.path !== "");
      else assertEquals(policyFromJson(policyToJson(result.right)), result);
    },
  ),
);

Deno.test("every card's example is read, and every registered name has a card or is no paper's", () => {
  for (const { example } of cards) assert(E.isRight(parsePolicy(example)), example);
  const published = registry.filter((e) => !wrappers.includes(e));
  assertEquals(published.filter((e) => e.kind === "policy").map((e) => e.name).filter((n) => !cards.some((c) => c.name === n)), []);
  assertEquals(new Set(registry.map((e) => e.name)).size, registry.length);
});
