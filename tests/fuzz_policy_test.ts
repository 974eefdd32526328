/**
 * Hostile policy texts and JSON values: nothing throws, nothing hangs, and every error of a text points into it.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { cards, parsePolicy, registry } from "../papers/mod.ts";
import { maxText, policyFromJson, policyToJson, showPolicy } from "../policy/mod.ts";
import { draws } from "./support/random.ts";

const seeds: ReadonlyArray<string> = [
  ...cards.map((c) => c.example),
  "(snapkv(25%, window=16)+h2o(1/3, recent=50%))|streaming|ada(0.2)|protect(4, recent=32)",
  "tova(512)|layers([0, 2, -1])|perlayer([512, 25%])|every(8)|at(every:4)|budget(10%)",
];
const pieces: ReadonlyArray<string> = [
  ...registry.map((e) => e.name),
  ..."+|()[],=.%/:-_ \n\t\0\"'{}\\é𝒳\u202e\u2028".split(""),
  ...["((((", "))))", "||", "..", "1e9", "99999999999999999999", "-1", "0", "0/0", "1/0", "NaN", "__proto__", "constructor", "toString"],
  ..."rows=|share=|window=|0x10|100%|101%|every:0|exit:9999999999".split("|"),
];

/** Replaces, inserts, removes, doubles or swaps stretches, a few times. */
function mutate(text: string, next: (below: number) => number): string {
  let mutated = text;
  for (let n = 1 + next(4); n > 0; n--) {
    const at = next(mutated.length + 1);
    const to = Math.min(mutated.length, at + next(8));
    const piece = pieces[next(pieces.length)] ?? "";
    const middle = [piece, "", mutated.slice(at, to).repeat(2), String.fromCharCode(next(65536)), mutated.slice(at, to) + piece][next(5)] ??
      "";
    mutated = mutated.slice(0, at) + middle + mutated.slice(to);
  }
  return next(500) === 0 ? mutated.repeat(1 + next(200)) : mutated;
}

Deno.test("100,000 mutated texts: a policy that prints and reads back, or an error with a column inside the text", () => {
  const next = draws(20260101);
  let accepted = 0;
  for (let i = 0; i < 100_000; i++) {
    const text = mutate(seeds[next(seeds.length)] ?? "", next);
    const parsed = parsePolicy(text);
    if (E.isRight(parsed)) {
      accepted++;
      assert(showPolicy(parsed.right).length <= maxText);
      if (i % 16 === 0) assertEquals(parsePolicy(showPolicy(parsed.right)), parsed, text);
      continue;
    }
    const error = parsed.left;
    assert(error._tag === "InvalidPolicy" && error.source !== undefined && error.column !== undefined, text);
    assert(error.source.length <= maxText && text.startsWith(error.source), text);
    assert(Number.isInteger(error.column) && error.column >= 1 && error.column <= error.source.length + 1, text);
    assert(showError(error).length < 1200, text);
  }
  // Both sides of the parser are exercised: mutations that leave a valid text are common, but not the rule.
  assert(accepted > 2_000 && accepted < 60_000, String(accepted));
});

/** One node of a JSON value replaced by something else. */
function spoil(value: unknown, next: (below: number) => number): unknown {
  if (typeof value === "object" && value !== null && next(12) > 0) {
    const keys = Object.keys(value);
    const key = keys[next(keys.length)];
    if (key === undefined) return junk(next);
    const inner = Object.entries(value).map(([k, v]): readonly [string, unknown] => [k, k === key ? spoil(v, next) : v]);
    if (Array.isArray(value)) return inner.map(([, v]) => v);
    const extra: ReadonlyArray<readonly [string, unknown]> = next(20) === 0 ? [[names[next(names.length)] ?? "", junk(next)]] : [];
    return Object.fromEntries([...inner, ...extra].filter(([k]) => k !== key || next(20) > 0));
  }
  return junk(next);
}

const names: ReadonlyArray<string> = ["__proto__", "constructor", "toString", "_tag", "text", "", "hasOwnProperty", "rows"];
const tags: ReadonlyArray<string> = [
  "Rows",
  "Share",
  "PerLayer",
  "Pyramid",
  "All",
  "Column",
  "Pool",
  "Binary",
  "Evict",
  "Every",
  "Build",
  "Policy",
];

function junk(next: (below: number) => number): unknown {
  const number = [0, -1, 1.5, 2 ** 53, 1e308, -0, 7, 64, NaN, Infinity][next(10)];
  const deep = (depth: number): unknown => depth === 0 ? 1 : next(2) === 0 ? [deep(depth - 1)] : { _tag: "HeadMean", of: deep(depth - 1) };
  const choices: ReadonlyArray<unknown> = [
    number,
    null,
    undefined,
    true,
    "x".repeat(next(5000)),
    names[next(names.length)],
    tags[next(tags.length)],
    [],
    {},
    { _tag: tags[next(tags.length)], rows: number },
    Object.fromEntries([[names[next(names.length)] ?? "", number]]),
  ];
  return next(200) === 0 ? deep(next(3000)) : choices[next(choices.length)];
}

Deno.test("100,000 spoilt JSON values: a policy that comes back as it was, or an error with a path", () => {
  const next = draws(7);
  const sources = seeds.flatMap((text) => {
    const parsed = parsePolicy(text);
    return E.isRight(parsed) ? [policyToJson(parsed.right)] : [];
  });
  assertEquals(sources.length, seeds.length);
  let refused = 0;
  for (let i = 0; i < 100_000; i++) {
    let value: unknown = sources[next(sources.length)];
    for (let n = 1 + next(3); n > 0; n--) value = spoil(value, next);
    const read = policyFromJson(value);
    if (E.isRight(read)) assertEquals(policyFromJson(policyToJson(read.right)), read);
    else {
      refused++;
      assert(read.left._tag === "InvalidPolicy" && read.left.path.length <= 200 && showError(read.left).length < 600);
    }
  }
  assert(refused > 50_000, String(refused));
});

Deno.test("JSON that is cyclic, a trap, endless or enormous is an error, not a crash", () => {
  const cyclic: Record<string, unknown> = { _tag: "Policy", text: "x" };
  cyclic.blocks = [cyclic];
  const trap = new Proxy({}, {
    get: () => {
      throw new Error("trap");
    },
    getPrototypeOf: () => {
      throw new Error("trap");
    },
    ownKeys: () => {
      throw new Error("trap");
    },
  });
  const wide = { _tag: "Policy", text: "x", blocks: Array.from({ length: 200_000 }, () => ({})) };
  const getter = Object.defineProperty({ text: "x", blocks: [] }, "_tag", {
    enumerable: true,
    get: () => {
      throw new Error("trap");
    },
  });
  const sparse = { _tag: "Policy", text: "x", blocks: new Array(1000) };
  const values: ReadonlyArray<unknown> = [
    cyclic,
    trap,
    wide,
    getter,
    sparse,
    JSON.parse('{"__proto__": {"_tag": "Policy"}}'),
    () => 1,
    1n,
    Symbol("x"),
  ];
  for (const value of values) assert(E.isLeft(policyFromJson(value)));
  assertEquals(Object.keys(Object.prototype), []);
});

Deno.test("the worst texts of the longest length take less than a second", () => {
  const worst: ReadonlyArray<string> = [
    `(${"tova+".repeat(250)}tova)${"|every(2)|every(3)".repeat(150)}`,
    "(".repeat(maxText),
    `knorm|layers([${"1,".repeat(2000)}1])`,
    "knorm+".repeat(680),
    " ".repeat(maxText),
    "a".repeat(maxText),
    `knorm(${"rows=1,".repeat(580)})`,
  ];
  const start = performance.now();
  for (const text of worst) assert(E.isLeft(parsePolicy(text)), text.slice(0, 40));
  // Measured 0.2 s together; the rest is room for slow machines.
  assert(performance.now() - start < 7_000);
});
