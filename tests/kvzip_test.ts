/**
 * KVzip as a policy: the rows that stay are the best by the scores that `reconstruct` gives, and where there is no model there is no score.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { showError } from "../cache/mod.ts";
import { chatParts } from "../model/chat_parts.ts";
import { columnOf } from "../model/fill_reconstructions.ts";
import { endPrompt, forkSession, type Model, observePrompt, planFor, prefill, rereadPrompt, type Session } from "../model/mod.ts";
import { disposeSession, extend } from "../model/mod.ts";
import { reconstruct } from "../model/reconstruct.ts";
import { keepAll, kvzip, kvzipHeads, type KvzipOptions, parsePolicy } from "../papers/mod.ts";
import { compress, orThrow, read } from "../run/mod.ts";
import { begin, onEveryModel } from "./model_support.ts";
import { cacheOf, onEveryBackend, sampleOf } from "./support.ts";

const prompt = begin("one fish, two fish, red fish, blue fish");

const keptBy = async ({ model, cache }: Session): Promise<ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>> =>
  (await orThrow(read(model.memory)(cache))).layers.map((of) => of.map(({ positions }) => [...positions]));

/** Scores per layer and head by the function that scores, of a cache that holds everything. */
async function scoresOf(model: Model, options: Pick<KvzipOptions, "plus" | "denominators" | "chunk">) {
  const whole = await orThrow(observePrompt(model, keepAll)(prompt));
  const parts = chatParts(await orThrow(model.tokenizer()));
  const layers = await orThrow(reconstruct(whole, { ...options, parts, prefix: 1 })(prompt));
  await orThrow(disposeSession(whole));
  const n = prompt.length;
  return layers.map((layer) => Array.from({ length: (layer?.length ?? 0) / n }, (_, h) => [...layer?.subarray(h * n, (h + 1) * n) ?? []]));
}

/** The best `count` rows of some heads, the prefix and the sinks first, ties by place. */
function best(heads: ReadonlyArray<ReadonlyArray<number>>, count: number, sinks: number): ReadonlyArray<ReadonlyArray<number>> {
  const all = heads.flatMap((scores, head) => scores.map((score, at) => ({ head, at, score: at < Math.max(1, sinks) ? Infinity : score })));
  const chosen = new Set(all.toSorted((a, b) => a.score === b.score ? 0 : b.score - a.score).slice(0, count));
  return heads.map((_, head) => all.filter((row) => row.head === head && chosen.has(row)).map(({ at }) => at));
}

for (const plus of [false, true]) {
  onEveryModel(`kvzip(${plus ? "plus" : ""}) keeps the best rows of the model, of a layer, of a head`, async (model) => {
    const how = { plus, denominators: "inference", chunk: 16, sinks: 2 } as const;
    const scores = await scoresOf(model, how);
    const heads = scores.flat().length;
    for (const cut of ["model", "layer", "head"] as const) {
      const session = await orThrow(prefill(model, kvzip({ ...how, cut, rows: 12 }))(prompt));
      const kept = await keptBy(session);
      const expected = cut === "model"
        ? best(scores.flat(), heads * 12, 2)
        : cut === "layer"
        ? scores.flatMap((of) => best(of, of.length * 12, 2))
        : scores.flat().flatMap((of) => best([of], 12, 2));
      assertEquals(kept.flat(), expected);
      if (cut === "model") assert(new Set(kept.flat().map(({ length }) => length)).size > 1, "heads differ in how much they keep");
      await orThrow(disposeSession(session));
    }
    assertEquals(model.backend.liveBytes().buffers, 0);
  });
}

onEveryModel("forks of a prompt that was read again once are pruned as prompts that were read for themselves", async (model) => {
  const plans = await Promise.all(
    [8, 14].map((rows) => orThrow(TE.fromEither(planFor(model, kvzip({ rows, denominators: "training" }), prompt.length)))),
  );
  const [first] = plans;
  if (first === undefined) throw new Error("no plan");
  const policy = kvzip({ rows: 8, denominators: "training" });
  const reading = await orThrow(pipe(observePrompt(model, policy)(prompt), TE.chain(rereadPrompt(first))));
  for (const [i, plan] of plans.entries()) {
    const forked = await orThrow(pipe(forkSession(reading), TE.chain(endPrompt(plan))));
    const own = await orThrow(prefill(model, kvzip({ rows: [8, 14][i] ?? 8, denominators: "training" }))(prompt));
    assertEquals(await keptBy(forked), await keptBy(own));
    for (const each of [forked, own]) await orThrow(disposeSession(each));
  }
  await orThrow(disposeSession(reading));
  assertEquals(model.backend.liveBytes().buffers, 0);
});

onEveryModel("kvzipheads keeps whole heads; of the others the first and the newest rows", async (model) => {
  const scores = await scoresOf(model, { plus: false, denominators: "inference", chunk: 2000 });
  const top = scores.flat().map((head) => Math.max(...head.slice(1)));
  const [n, heads] = [prompt.length, top.length];
  // Room for half of the heads, and for sinks and recent of the others, on average.
  const rows = Math.ceil((heads / 2 * n + heads / 2 * 5) / heads);
  const session = await orThrow(prefill(model, kvzipHeads({ rows, sinks: 2, recent: 3 }))(prompt));
  const kept = (await keptBy(session)).flat();
  const order = top.map((score, head) => ({ score, head })).toSorted((a, b) => b.score - a.score || a.head - b.head);
  for (const { head } of order.slice(0, heads / 2)) assertEquals(kept[head]?.length, n);
  for (const { head } of order.slice(heads / 2 + 1)) assertEquals(kept[head], [0, 1, n - 3, n - 2, n - 1]);
  assertEquals(kept.flat().length, heads * rows);
  await orThrow(disposeSession(session));
});

Deno.test("head scores are the largest of their rows: [[.1, .9, .2], [.3, .4, .35]] gives [.9, .4]; the prefix cannot leave", () => {
  const scores = Float32Array.of(0.1, 0.9, 0.2, 0.3, 0.4, 0.35);
  assertEquals([...columnOf(scores, 3, 0, "head")], [...Float32Array.of(0.9, 0.9, 0.9, 0.4, 0.4, 0.4)]);
  assertEquals([...columnOf(scores, 3, 1, "row")], [Infinity, ...Float32Array.of(0.9, 0.2), Infinity, ...Float32Array.of(0.4, 0.35)]);
  assertEquals([...scores], [...Float32Array.of(0.1, 0.9, 0.2, 0.3, 0.4, 0.35)]);
});

onEveryModel("a prompt of which rows have left cannot be read again: one sentence, and nothing stays allocated", async (model) => {
  const session = await orThrow(pipe(prefill(model, kvzip({ rows: 8 }))(prompt), TE.chain(extend([7, 8]))));
  const again = await endPrompt(session.plan)(session)();
  assertEquals(
    E.isLeft(again) && showError(again.left),
    "a reconstruction score is not supported by this cache: it needs every row of the context, in one tier",
  );
  assertEquals(model.backend.liveBytes().buffers, 0);
});

onEveryModel("one token, and a budget below the prefix, are prompts like any other", async (model) => {
  for (const tokens of [[256], [256, 7], prompt]) {
    const session = await orThrow(prefill(model, kvzip({ rows: 1, sinks: 0 }))(tokens));
    assertEquals(await keptBy(session), [[[0], [0]], [[0], [0]]]);
    await orThrow(disposeSession(session));
  }
});

onEveryBackend("a host without a model is told what it does not supply", async (memory) => {
  const cache = await cacheOf(memory, sampleOf(2, 2, 1, 4, 8, 1));
  const refused = await compress(memory, kvzip({ rows: 4 }))(cache)();
  assertEquals(
    E.isLeft(refused) && showError(refused.left),
    'kvzip(4) observes the port "reconstruction", which this host does not supply',
  );
});

Deno.test("a reconstruction is refused while streaming or decoding, in words", () => {
  for (
    const [text, allowed] of [
      ["kvzip(50%)|streaming", "PrefillEnd, when there is a whole prompt to repeat"],
      ["kvzip(50%)|decoding", "PrefillEnd, when there is a whole prompt to repeat"],
    ] as const
  ) {
    const parsed = parsePolicy(text);
    assert(E.isLeft(parsed) && showError(parsed.left).includes(allowed), text);
  }
});
