import { assert, assertEquals, assertMatch } from "@std/assert";
import type { TaskName } from "./item.ts";
import type { EvalRecord } from "./record.ts";
import { summarise } from "./summary.ts";
import { decodingSection, speedSection, systemsSections } from "./systems.ts";

const documents = ["a", "b", "c"];
const runs = (task: TaskName, method: string, bytes: number, rowsRead: number, nll: number): ReadonlyArray<EvalRecord> =>
  documents.map((document, d): EvalRecord => ({
    ...{
      task,
      item: `${task}-${document}`,
      document,
      kind: "prose",
      method,
      tokens: 100,
      bytes,
      held: bytes,
      full: 100,
      rowsRead,
      kept: [],
    },
    ms: 1,
    probes: [{
      ...{ n: 5, age: 0, nll: nll + d / 100, nllFull: 1 + d / 100, nllNone: 3, kl: nll - 1, kl95: 0, top1: 1, hits: 1, odds: null },
      ...{ match: 5, far: null, deciles: null },
    }],
    portrait: null,
  }));
const summaries = summarise([
  ...runs("T1", "full cache", 100, 100, 1),
  ...runs("T1", "no context", 0, 0, 3),
  ...runs("T1", "random(50%, seed=1)", 50, 50, 2),
  ...runs("T1", "x(50%)", 50, 50, 1.5),
  ...runs("T1", "picks(50%)", 100, 50, 1.25),
  ...runs("T1", "coded(4)", 31, 100, 1.125),
  ...runs("T10", "full cache", 100, 100, 1),
  ...runs("T10", "x(50%)", 50, 50, 1.5),
]);

Deno.test("a system stands where its bytes put it, one that reads few rows apart, and one without a budget where it is", () => {
  const [bytes, reads, own] = systemsSections(summaries);
  const names = (section: typeof bytes): ReadonlyArray<ReadonlyArray<string | undefined>> =>
    section?.tables.map(({ rows }) => rows.map(([name]) => name)) ?? [];
  assertEquals([names(bytes), names(reads), names(own)], [
    [["x", "random"], [], []],
    [["picks(50%)"]],
    [["full cache", "no context", "coded(4)"]],
  ]);
  const [first] = bytes?.tables[0]?.rows ?? [];
  // Documents differ and methods do not: the paired difference is certain.
  assertEquals([first?.[1], first?.at(-1)], ["0.500 [0.500, 0.500]", "-0.500 [-0.500, -0.500]"]);
  assertEquals(reads?.tables[0]?.rows[0]?.slice(1, 5), ["100.0%", "–", "50.0%", "0.250 [0.250, 0.250]"]);
});

Deno.test("decoding has a table of its own, and speeds are means of ratios with their spread", () => {
  const decoding = summaries.find(({ task }) => task === "T10");
  assert(decoding !== undefined);
  assertEquals(decodingSection(decoding).tables[0]?.rows.map(([name, bytes]) => [name, bytes]), [["full cache", "100.0%"], [
    "x(50%)",
    "50.0%",
  ]]);
  const ratios = documents.map((document, d) => ({ policy: "x", document, prefill: 1, decode: d + 1 }));
  const { tables: [table], lead } = speedSection({ tokens: 9, decoded: 2, turns: 5, ratios });
  assertMatch(lead.join(), /median of 5 turns of 2 tokens/);
  assertEquals(table?.rows, [["x", "1.00 [1.00, 1.00]", "2.00 [1.00, 3.00]"]]);
});
