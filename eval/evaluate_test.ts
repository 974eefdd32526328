import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openWasm } from "../backends/wasm/mod.ts";
import { forced, inductionModel, openModel, prefill } from "../model/mod.ts";
import { diffKv, keepAll, knorm, pyramidKv, quest, rocketKv, snapKv, streamingLlm, tova } from "../papers/mod.ts";
import { block, encode, policy, prefillEnd } from "../policy/mod.ts";
import { orThrow } from "../run/mod.ts";
import { evaluate, type Store } from "./evaluate.ts";
import { frameOf } from "./frame.ts";
import type { Item, TaskName } from "./item.ts";
import { itemsOf } from "./items.ts";
import { controlsAt, type Method, methodOf, seenAfter } from "./methods.ts";
import { nll } from "./metrics.ts";
import type { EvalRecord } from "./record.ts";
import { syntheticDocuments } from "./synthetic.ts";

const backend = await orThrow(openWasm({ threads: 1 }));
const model = await orThrow(openModel(backend, inductionModel()));
const tokenizer = await orThrow(() => Promise.resolve(model.tokenizer()));
const frame = frameOf(tokenizer);
/** Eight facts of bytes need more room than one. */
const items = (task: TaskName, count = 2): ReadonlyArray<Item> => {
  const recipe = { frame, seed: 2, tokens: task === "T7" || task === "T9" ? 480 : 200, scored: 8 };
  const made = itemsOf(task, syntheticDocuments(3, 40, 1), recipe, count);
  assert(E.isRight(made));
  return made.right;
};

/** Keeps records in memory; refuses the one after `limit`, as a full disk would. */
function memory(limit = Infinity, before: ReadonlyArray<EvalRecord> = []): Store & { readonly records: EvalRecord[] } {
  const records = [...before];
  return {
    records,
    has: (item, method) => records.some((record) => record.item === item && record.method === method),
    add: (record) =>
      records.length < limit ? E.right(void records.push(record)) : E.left({ _tag: "Unavailable", what: "disk", because: "full" }),
  };
}

const run = async (methods: ReadonlyArray<Method>, of: ReadonlyArray<Item>, store = memory()): Promise<ReadonlyArray<EvalRecord>> => {
  await orThrow(evaluate(model, methods, store, () => {})(of));
  return store.records;
};
const half = { numerator: 1, denominator: 2 };
const timeless = (records: ReadonlyArray<EvalRecord>) => records.map(({ ms: _, ...record }) => record);

Deno.test("keeping everything gives exactly what the full cache gives, on every task (gate G2)", async () => {
  for (const task of ["T1", "T2", "T5", "T7", "T9", "T10"] as const) {
    const same = (await run([methodOf(keepAll)], items(task))).filter(({ method }) => method === "keepall");
    assertEquals(same.length, 2);
    for (const probe of same.flatMap(({ probes }) => probes)) {
      // Chunks are the same, so sums are taken in the same order.
      assertEquals([probe.nll - probe.nllFull, probe.kl, probe.top1], [0, 0, 1], task);
    }
  }
});

Deno.test("an oracle that was told the rows recovers the answer where random rows do not (gate G3)", async () => {
  const records = await run(controlsAt({ numerator: 1, denominator: 4 }), items("T2"));
  const nllOf = (name: string): number => {
    const found = records.filter(({ method }) => method.startsWith(name)).flatMap(({ probes }) => probes);
    return found.reduce((sum, { nll }) => sum + nll, 0) / found.length;
  };
  assertAlmostEquals(nllOf("oracle"), nllOf("full cache"), 0.01);
  assert(nllOf("random") > nllOf("full cache") + 1);
});

Deno.test("a policy on a fork of a shared reading gives what its own prefill gives", async () => {
  const [item] = items("T1");
  assert(item !== undefined);
  const { tokens, probes } = item.turns[0] ?? { tokens: [], probes: [] };
  const answer = probes[0]?.answer ?? [];
  const selecting = quest({ rows: 64, dense: 0 });
  const coding = policy("coded", [block(prefillEnd, [encode("q8c32", "q8", 32)])]);
  for (
    const each of [
      snapKv({ share: half, window: 8 }),
      tova({ share: half }),
      knorm({ share: half }),
      streamingLlm({ share: half }),
      selecting,
      coding,
    ]
  ) {
    // Read for the method that looks at most queries, which is another.
    const found = (await run([methodOf(knorm({ rows: 9 })), methodOf(each), methodOf(snapKv({ rows: 40, window: 32 }))], [item])).find((
      { method },
    ) => method === each.text);
    const alone = await orThrow(forced(answer)(await orThrow(prefill(model, each)(tokens))));
    assertEquals(found?.probes[0]?.nll, E.getOrElse(() => NaN)(nll(alone, answer)), each.text);
  }
});

Deno.test("bytes are those of the policy itself, whatever it shares a reading with", async () => {
  const bytes = async (methods: ReadonlyArray<Method>): Promise<unknown> =>
    (await run([...methods, methodOf(tova({ share: half }))], items("T10", 2).slice(0, 1))).filter(({ method }) =>
      /^(full|tova)/.test(method)
    )
      .map(({ bytes, held }) => [bytes, held]);
  assertEquals(await bytes([methodOf(rocketKv({ tokens: 16, length: 4096 }))]), await bytes([]));
});

Deno.test("rows read are counted: all that are held, fewer where a query selects, none without context", async () => {
  const [item] = items("T1");
  assert(item !== undefined);
  const selecting = quest({ rows: 64, dense: 0 });
  const records = await run([methodOf(knorm({ rows: 50 })), methodOf(selecting)], [item]);
  const read = (name: string): number | null | undefined => records.find(({ method }) => method === name)?.rowsRead;
  const { tokens, probes } = item.turns[0] ?? { tokens: [], probes: [] };
  // Four heads in all; the last answer token is predicted and never read.
  const after = (probes[0]?.answer.length ?? 0) - 1;
  assertEquals([read("full cache"), read("knorm(50)"), read(selecting.text), read("no context")], [
    4 * (tokens.length + after),
    4 * (50 + after),
    4 * 64,
    null,
  ]);
  assert(records.every(({ bytesStored }) => bytesStored === undefined));
});

const found = (records: ReadonlyArray<EvalRecord>, method: string): ReadonlyArray<EvalRecord> =>
  records.filter((record) => record.method === method);
const probesOf = (records: ReadonlyArray<EvalRecord>, method: string) => found(records, method).flatMap(({ probes }) => probes);

Deno.test("T5: a string that comes again is known to the full cache, and not where its rows are gone", async () => {
  const records = await run([methodOf(streamingLlm({ rows: 16 }))], items("T5"));
  // The model copies what followed the same two bytes; the first of the string has none before it.
  for (const { nll, hits } of probesOf(records, "full cache")) assert(nll < 0.5 && hits > 0.9, `${nll} ${hits}`);
  for (const { nll, nllFull } of probesOf(records, streamingLlm({ rows: 16 }).text)) assert(nll > nllFull + 1);
});

Deno.test("T9: facts of four turns are asked for at every age, and old ones are lost first where only the newest rows stay", async () => {
  const recent = streamingLlm({ rows: 130, sinks: 0 });
  const records = await run([methodOf(recent)], items("T9"));
  const ages = new Set(probesOf(records, "full cache").map(({ age }) => age));
  assertEquals([...ages].sort(), [0, 1, 2, 3]);
  const lost = (old: boolean): number => {
    const own = probesOf(records, recent.text).filter(({ age }) => (age > 0) === old);
    return own.reduce((sum, { nll, nllFull }) => sum + nll - nllFull, 0) / own.length;
  };
  assert(lost(true) > lost(false) + 1, `${lost(true)} after ${lost(false)}`);
});

Deno.test("T9: a policy that looks at the last queries finds them at the end of every turn", async () => {
  const looking = snapKv({ rows: 40, window: 8 });
  const records = await run([methodOf(looking)], items("T9", 1));
  const [own, full] = [looking.text, "full cache"].map((name) => found(records, name)[0]);
  assert(own !== undefined && full !== undefined && own.probes.length === full.probes.length);
  // After the last turn 40 rows a head are left, whatever earlier turns had.
  assertEquals(new Set(own.kept.flat()), new Set([40]));
});

Deno.test("T10: what acts at the end of a prompt holds its budget while the trace is decoded, and what selects does so at every token", async () => {
  const [item] = items("T10");
  assert(item !== undefined);
  const selecting = quest({ rows: 16, page: 4, dense: 0 });
  const evicting = knorm({ rows: 20 });
  const records = await run([methodOf(evicting), methodOf(selecting)], [item]);
  const [evicted, selected, full] = [evicting.text, selecting.text, "full cache"].map((name) => found(records, name)[0]);
  const tokens = (item.turns[0]?.tokens.length ?? 0) + item.trace;
  assertEquals([full?.probes[0]?.n, full?.rowsRead, selected?.rowsRead], [item.trace, 4 * tokens, 4 * 16]);
  // The last of sixteen steps chose anew: no row of the trace is more than the budget.
  assertEquals([item.trace, evicted?.kept.flat()], [16, [20, 20, 20, 20]]);
});

Deno.test("T10: a budget in shares refers to prompt and trace, a rule without one to the prompt that was read", () => {
  const [item] = items("T10");
  assert(item !== undefined);
  const prompt = item.turns[0]?.tokens.length ?? 0;
  const [shared, ruled] = [pyramidKv()(snapKv({ share: half, window: 4 })), diffKv({ window: 4 })];
  assertEquals([shared, ruled].map((of) => seenAfter(item, of, 0)), [prompt + item.trace, prompt]);
});

Deno.test("an interrupted evaluation goes on to the same records", async () => {
  const methods = [methodOf(knorm({ share: half })), ...controlsAt(half)];
  const whole = await run(methods, items("T2"));
  for (const limit of [0, 1, 4, 9]) {
    const broken = memory(limit);
    const failed = await evaluate(model, methods, broken, () => {})(items("T2"))();
    assert(E.isLeft(failed) && failed.left._tag === "Unavailable");
    assertEquals(timeless(await run(methods, items("T2"), memory(Infinity, broken.records))), timeless(whole));
  }
});

Deno.test("a policy that does not fit is refused before anything is read, and nothing stays allocated", async () => {
  const before = backend.liveBytes().buffers;
  const store = memory();
  const tooWide = evaluate(
    model,
    [methodOf(knorm({ share: half })), methodOf(snapKv({ rows: 9, window: 5 })), methodOf(snapKv({ rows: 4, window: 8 }))],
    store,
    () => {},
  );
  assert(E.isLeft(await tooWide(items("T2"))()));
  // Wider than the prompt alone, not than prompt and trace together.
  const [story] = items("T10");
  const width = (story?.turns[0]?.tokens.length ?? 0) + 4;
  assert(E.isLeft(await evaluate(model, [methodOf(snapKv({ rows: width, window: width }))], store, () => {})(items("T10"))()));
  assertEquals([store.records.length, backend.liveBytes().buffers], [0, before]);
  await run([methodOf(knorm({ share: half })), ...controlsAt(half)], items("T7"));
  assertEquals(backend.liveBytes().buffers, before);
});
