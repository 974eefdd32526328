/**
 * Cases of an `attend` and an `attendReduce` of the same query: a backend that keeps scores for the second must notice when it may not.
 * @module
 */
import type { OpParams, RowCodec } from "../backends/ops.ts";
import { blockRows, codecOf } from "../cache/codec.ts";
import { plainAttend, withinCodes } from "./attend_cases.ts";
import { type Call, type Case, type Data, input, output, outputIn, sentinel, updated } from "./case.ts";
import { blocked, type Layout, layoutOf, layoutWords, newestOf, positionsOf, rowRanges, rowsOf } from "./layouts.ts";
import { programCase, type Step } from "./program_cases.ts";
import { type Random, randomOf } from "./random.ts";

/** What a case attends to, and how. */
interface Form {
  readonly lengths: ReadonlyArray<number>;
  readonly codec: RowCodec;
  readonly group: number;
  readonly window: number;
  readonly softcap: number;
}

const forms: ReadonlyArray<Form> = [
  { lengths: [1025, 0, 127], codec: "f16", group: 3, window: 0, softcap: 0 },
  { lengths: [33, 700], codec: "f16", group: 7, window: 333, softcap: 20 },
  { lengths: [3], codec: "f32", group: 1, window: 0, softcap: 0 },
  { lengths: [1, 1025, 3], codec: "q8", group: 3, window: 200, softcap: 0 },
  { lengths: [0, 450], codec: "q4g32", group: 4, window: 0, softcap: 20 },
  { lengths: [700, 65], codec: "q4c32", group: 3, window: 333, softcap: 0 },
  { lengths: [127, 0, 1025], codec: "q2c32", group: 3, window: 0, softcap: 0 },
  { lengths: [500], codec: "f16k60", group: 3, window: 0, softcap: 0 },
  { lengths: [0], codec: "f16", group: 3, window: 0, softcap: 0 },
];

const dim = 64;

/** The rows of a tier by the names of their buffers, the attention to them and the weighing of them. */
interface Tier {
  readonly form: Form;
  readonly layout: Layout;
  readonly buffers: Readonly<Record<string, Data>>;
  readonly attend: Step;
  /** Into `into` in place of the tier's column. */
  readonly reduce: (into?: string) => Step;
}

function tierOf(random: Random, form: Form, name: string, merge: boolean): Tier {
  const { lengths, codec, group, window, softcap } = form;
  const block = blockRows(codecOf(codec));
  const ragged = layoutOf(random, lengths, 2);
  const layout = block === 1 ? ragged : blocked(ragged, block);
  const attend = { ...plainAttend(1, lengths.length, group, dim, codec, "f32"), valueDim: 32, window, softcap, merge };
  const { m: queries, heads, kvHeads, keyDim, keyCodec, scale } = attend;
  const alike = { queries, heads, kvHeads, keyDim, keyCodec, scale, window, softcap };
  const reduce: OpParams["attendReduce"] = { ...alike, overQueries: "sum", overGroup: "max", accumulate: false };
  const of = (what: string): string => `${name}.${what}`;
  const within = withinCodes(1, [codec]);
  return {
    form,
    layout,
    buffers: {
      [of("keys")]: input(rowsOf(random, layout, dim, codec)),
      [of("values")]: input(rowsOf(random, layout, 32, "f32")),
      [of("position")]: input(positionsOf(random, layout)),
      [of("layout")]: input(layoutWords(layout)),
      [of("mass")]: within.out(outputIn("attendReduce", layout.slots, rowRanges(layout, 4))),
    },
    attend: [
      { op: "attend", params: attend },
      ["q", of("keys"), of("values"), of("position"), of("layout"), "at", "out", "lse"].join(" "),
    ],
    reduce: (into = of("mass")) => [
      { op: "attendReduce", params: reduce },
      ["q", of("keys"), of("position"), of("layout"), "at", "lse", into, "-", "-"].join(" "),
    ],
  };
}

/** The query of all tiers, which sees what is not newer than `at`, and what attention gives it. */
function queryOf(random: Random, { lengths, codec, group }: Form, at: number): Readonly<Record<string, Data>> {
  const heads = lengths.length * group;
  const within = withinCodes(1, [codec]);
  return {
    q: input(random.normals(heads * dim)),
    at: input(Uint32Array.of(at)),
    out: within.out(output("attend", heads * 32)),
    lse: within.lse(output("attend", heads)),
  };
}

/** A column in a temporary, which says how many slots the layout has, and from there to where it is compared. */
const viaTemp = (tier: Tier, name: string): ReadonlyArray<Step> => [
  tier.reduce(`${name}.column`),
  [
    { op: "map", params: { fn: "copy", count: tier.layout.slots, value: 0, heads: tier.layout.segments.length } },
    `${name}.column - ${name}.layout ${name}.mass`,
  ],
];

const newestIn = (tier: Tier, name: string): number => {
  const words = tier.buffers[`${name}.position`]?.bytes ?? new Uint8Array();
  return newestOf(tier.layout, new Uint32Array(words.buffer));
};

/** One tier, and two that merge, both weighed after both: the second after something was written. */
export const keptScoresCases = (seed: number): ReadonlyArray<Case> =>
  forms.flatMap((form, i) =>
    [1, 2].map((count) => {
      const random = randomOf(`kept scores ${JSON.stringify(form)} ${count}`, seed);
      const names = ["rows", "older"].slice(0, count);
      const others = [form, forms[(i + 3) % forms.length] ?? form].map((f) => ({ ...f, lengths: form.lengths, group: form.group }));
      const tiers = names.map((name, t) => tierOf(random, others[t] ?? form, name, t > 0));
      const newest = Math.max(0, ...tiers.map((tier, t) => newestIn(tier, names[t] ?? "")));
      const buffers = Object.assign({}, ...tiers.map((tier) => tier.buffers), queryOf(random, form, newest));
      const temps = Object.fromEntries(names.map((name, t) => [`${name}.column`, (tiers[t]?.layout.slots ?? 0) * 4]));
      const label = `after an attend of the same query, ${
        others.slice(0, count).map(({ codec }) => codec).join(" and ")
      }, group ${form.group}` +
        `, window ${form.window}, softcap ${form.softcap}, rows ${form.lengths.join(" ")}`;
      return programCase("attendReduce", label, { buffers, weights: [], temps }, [
        ...tiers.map(({ attend }) => attend),
        ...tiers.flatMap((tier, t) => viaTemp(tier, names[t] ?? "")),
      ]);
    })
  );

type Words = Uint32Array<ArrayBuffer>;

/** Moves words, whatever they mean. */
const copy = (count: number): Call => ({ op: "slice", params: { from: 0, rows: 1, width: count } });

/** What scores are made of changes between the two, one operand at a time, bound or temporary: no score of before may count. */
export const staleScoresCases = (seed: number): ReadonlyArray<Case> =>
  ["q", "rows.keys", "rows.position", "rows.layout", "at"].flatMap((name) => [staleCase(seed, name, false), staleCase(seed, name, true)]);

function staleCase(seed: number, name: string, isTemp: boolean): Case {
  const random = randomOf(`stale scores ${name}`, seed);
  const tier = tierOf(random, { lengths: [333, 65], codec: "f32", group: 3, window: 0, softcap: 0 }, "rows", false);
  const newest = newestIn(tier, "rows");
  // Half of the rows are seen before; later positions of rows halve, or the query sees all.
  const { [name]: old, ...rest }: Readonly<Record<string, Data>> = { ...tier.buffers, ...queryOf(random, tier.form, newest >>> 1) };
  const words = new Uint32Array(old?.bytes.buffer ?? new ArrayBuffer()).map((word) => word === sentinel ? 0 : word);
  const changes: Readonly<Record<string, readonly [from: Words, to: Words]>> = {
    "rows.position": [words, words.map((position) => position >>> 1)],
    "rows.layout": [words.map((word, i) => i % 3 === 0 ? word + 7 : i % 3 === 1 ? word - 7 : word), words],
    at: [words, Uint32Array.of(newest)],
  };
  const [from, to] = changes[name] ?? [words, new Uint32Array(random.normals(words.length).buffer)];
  const own: Readonly<Record<string, Data>> = isTemp ? {} : { [name]: updated("slice", from) };
  return programCase("attendReduce", `after an attend of the same query, whose ${isTemp ? "temporary" : "bound"} ${name} changes`, {
    buffers: { ...rest, ...own, from: input(from), to: input(to) },
    weights: [],
    temps: { "rows.column": tier.layout.slots * 4, ...isTemp ? { [name]: from.byteLength } : {} },
  }, [
    [copy(from.length), `from ${name}`],
    tier.attend,
    [copy(to.length), `to ${name}`],
    ...viaTemp(tier, "rows"),
  ]);
}

/** A temporary tells less than all slots of a layout, because the layout grows later. */
export const grownLayoutCases = (seed: number): ReadonlyArray<Case> => {
  const random = randomOf("grown layout", seed);
  const form: Form = { lengths: [333, 65], codec: "f16", group: 3, window: 0, softcap: 0 };
  const tier = tierOf(random, form, "rows", false);
  const whole = layoutWords(tier.layout);
  const short = whole.map((word, i) => i < 3 ? (i === 1 ? 5 : word) : i === 4 ? 0 : word);
  const known = (tier.layout.segments[0]?.start ?? 0) + 5;
  return [programCase("attendReduce", "after an attend of the same query, whose layout grew", {
    buffers: {
      ...tier.buffers,
      ...queryOf(random, form, newestIn(tier, "rows")),
      "rows.layout": { ...updated("slice", whole), bytes: new Uint8Array(short.buffer) },
      whole: input(whole),
    },
    weights: [],
    temps: { age: known * 4 },
  }, [
    [{ op: "positions", params: { heads: 2 } }, "rows.position rows.layout age"],
    [copy(whole.length), "whole rows.layout"],
    tier.attend,
    tier.reduce(),
  ])];
};
