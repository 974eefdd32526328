import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { intervalOf, resamples } from "./bootstrap.ts";
import type { EvalRecord, ProbeRecord } from "./record.ts";
import { differenceAt, familyOf, methodName, summarise, valueAt, widely } from "./summary.ts";

const probe: ProbeRecord = {
  n: 10,
  age: 0,
  nll: 1,
  nllFull: 1,
  nllNone: 3,
  kl: 0,
  kl95: 0,
  top1: 1,
  hits: 1,
  odds: null,
  match: 10,
  far: null,
  deciles: null,
};
const record = (document: string, method: string, bytes: number, change: Partial<ProbeRecord>): EvalRecord => ({
  task: "T1",
  item: `T1-${document}`,
  document,
  kind: "prose",
  method,
  tokens: 100,
  bytes,
  held: bytes,
  full: 100,
  rowsRead: bytes,
  kept: [],
  ms: 1,
  probes: [{ ...probe, ...change }],
  portrait: null,
});
const documents = ["a", "b", "c", "d"];
const runs = (method: string, bytes: number, nll: (d: number) => number): ReadonlyArray<EvalRecord> =>
  documents.map((document, d) => record(document, method, bytes, { nll: nll(d) }));

Deno.test("an interval covers the value, is the same every time, and shrinks to nothing where documents agree", () => {
  const chosen = resamples(4, 1000);
  const equal = intervalOf([{ over: [2, 2, 2, 2], under: [1, 1, 1, 1] }], ([x = 0]) => x, chosen);
  assertEquals(equal, { value: 2, low: 2, high: 2, documents: 4 });
  const spread = { over: [0, 1, 2, 3], under: [1, 1, 1, 1] };
  const [first, second] = [1, 2].map(() => intervalOf([spread], ([x = 0]) => x, resamples(4, 1000)));
  assertEquals(first, second);
  assert(first !== null && first !== undefined && first.low < 1.5 && first.high > 1.5 && first.low >= 0 && first.high <= 3);
});

Deno.test("resamples draw every document about equally often", () => {
  const counts = [0, 0, 0];
  for (const chosen of resamples(3, 3000)) for (const d of chosen) counts[d] = (counts[d] ?? 0) + 1;
  // 9,000 draws: one standard deviation is 45.
  for (const count of counts) assert(Math.abs(count - 3000) < 200, String(counts));
});

Deno.test("a difference is paired: documents that differ from each other but not between methods leave no doubt", () => {
  const [summary] = summarise([
    ...runs("full cache", 100, () => 1),
    ...runs("x(50%)", 50, (d) => 1 + d),
    ...runs("y(50%)", 50, (d) => 1.5 + d),
  ]);
  assert(summary !== undefined);
  const gap = differenceAt(summary, "y", "x", "delta", 0.5);
  assert(gap !== null);
  for (const end of [gap.value, gap.low, gap.high]) assertAlmostEquals(end, 0.5, 1e-12);
  const alone = valueAt(summary, "x", "delta", 0.5);
  assert(alone !== null && alone.high - alone.low > 0.5);
});

Deno.test("between two budgets a curve is a line over log2 of the bytes; outside them nothing is claimed", () => {
  const [summary] = summarise([...runs("full cache", 100, () => 1), ...runs("x(64%)", 64, () => 2), ...runs("x(16%)", 16, () => 4)]);
  assert(summary !== undefined);
  assertAlmostEquals(valueAt(summary, "x", "delta", 0.32)?.value ?? NaN, 2, 1e-12);
  assertEquals([valueAt(summary, "x", "delta", 0.1), valueAt(summary, "x", "delta", 0.9)], [null, null]);
});

Deno.test("methods are named by what they are: seeds are one method, and budgets one curve", () => {
  assertEquals(methodName("random(25%, seed=3)"), "random(25%)");
  const curves = [
    "random(25%)",
    "snapkv(33%)|ada(20%)",
    "streamingllm(50%, sinks=0, decode=no)",
    "kvzap(-4)",
    "snapkv(1/8)|precision(4)",
    "full cache",
  ]
    .map(familyOf);
  assertEquals(curves, [
    "random",
    "snapkv|ada(20%)",
    "streamingllm(sinks=0, decode=no)",
    "kvzap",
    "snapkv|precision(4)",
    "full cache",
  ]);
});

Deno.test("recovery counts the questions that the full cache can answer, and only those", () => {
  const needle = (document: string, method: string, probes: ReadonlyArray<Partial<ProbeRecord>>): EvalRecord => ({
    ...record(document, method, 50, {}),
    task: "T2",
    probes: probes.map((change) => ({ ...probe, ...change })),
  });
  const [summary] = summarise(["a", "b"].flatMap((document) => [
    needle(document, "full cache", [{}, {}]),
    needle(document, "x(50%)", [{ nll: 2, nllFull: 1, nllNone: 3 }, { nll: 9, nllFull: 2.5, nllNone: 3 }]),
  ]));
  assertEquals(summary?.rows.find(({ method }) => method === "x(50%)")?.values.recovery?.value, 0.5);
});

Deno.test("rows read are a share of the full cache's on the same item, and unknown where they were not counted", () => {
  const [summary] = summarise([
    ...runs("full cache", 100, () => 1),
    ...runs("x(50%)", 50, () => 1).map((one) => ({ ...one, rowsRead: 20, bytesStored: 10 })),
    ...runs("no context", 0, () => 3).map((one) => ({ ...one, rowsRead: null })),
  ]);
  const facts = summary?.rows.map(({ method, rowsRead, stored }) => [method, rowsRead, stored]);
  assertEquals(facts, [["full cache", 1, null], ["x(50%)", 0.2, 0.1], ["no context", null, null]]);
});

Deno.test("methods of a single document are left out, and no others", () => {
  const all = [...runs("full cache", 100, () => 1), ...runs("x(50%)", 50, () => 2).slice(0, 1), ...runs("y(50%)", 50, () => 2).slice(2)];
  assertEquals(widely(all), all.filter(({ method }) => method !== "x(50%)"));
});

Deno.test("a method that was run on some documents only is compared with others over these", () => {
  const some = runs("y(50%)", 50, (d) => 2 + d).slice(0, 2);
  const [summary] = summarise([
    ...runs("full cache", 100, () => 1),
    ...runs("no context", 0, () => 3),
    ...runs("x(50%)", 50, (d) => 1 + d),
    ...some,
  ]);
  if (summary === undefined) throw new Error("no summary");
  assertEquals(summary.rows.map(({ method, documents }) => [method, documents]), [
    ["full cache", 4],
    ["no context", 4],
    ["x(50%)", 4],
    ["y(50%)", 2],
  ]);
  assertEquals(differenceAt(summary, "y", "x", "delta", 0.5)?.value, 1);
});
