import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { type KvError, rowsPerHead } from "../cache/mod.ts";
import {
  continueFrom,
  disposeSession,
  extend,
  forced,
  forkSession,
  inductionModel,
  logitsOver,
  openModel,
  prefill,
  type Session,
  step,
} from "../model/mod.ts";
import { h2o, keepAll, snapKv, streamingLlm, tova } from "../papers/mod.ts";
import { block, decoding, every, evict, pipe, policy, position, rows, streaming } from "../policy/mod.ts";
import { orThrow, read } from "../run/mod.ts";
import { begin, ids, onEveryModel, randomBytes, textOf } from "./model_support.ts";
import { backends, seen } from "./support.ts";
import { tiny, tinyFile } from "./support/tiny_model.ts";

const facts = "red=7341, green=9920, blue=2206. ";

/** The answer to a question about a document, which stays as it is. */
async function ask(document: Session, question: string): Promise<string> {
  const asked = await orThrow(extend(ids(question))(await orThrow(forkSession(document))));
  return await textOf(continueFrom(asked, { maxNewTokens: 4 }));
}

onEveryModel("one prefilled document answers many questions, copies no rows for them, and stays as it is", async (model) => {
  const document = await orThrow(prefill(model, keepAll)(begin(facts)));
  const before = seen(await orThrow(read(model.memory)(document.cache)));
  const held = model.backend.liveBytes().buffers;
  assertEquals([await ask(document, "red="), await ask(document, "blue="), await ask(document, "red=")], ["7341", "2206", "7341"]);
  assertEquals(model.backend.liveBytes().buffers, held);
  assertEquals(seen(await orThrow(read(model.memory)(document.cache))), before);
  const twin = await orThrow(forkSession(document));
  assert(model.backend.liveBytes().buffers - held < held / 4, "a fork holds layouts, no rows");
  await orThrow(disposeSession(document));
  assertEquals(await textOf(continueFrom(await orThrow(extend(ids("green="))(twin)), { maxNewTokens: 4 })), "9920");
  assertEquals(model.backend.liveBytes().buffers, 0);
});

onEveryModel("a fork under a policy that evicts while decoding goes its own way", async (model) => {
  const how = pipe(streamingLlm({ rows: 16 }), streaming);
  const document = await orThrow(prefill(model, how)(begin(facts)));
  const before = seen(await orThrow(read(model.memory)(document.cache)));
  assertEquals(await ask(document, "red="), "2206");
  assertEquals(seen(await orThrow(read(model.memory)(document.cache))), before);
  await orThrow(disposeSession(document));
  assertEquals(model.backend.liveBytes().buffers, 0);
});

const everyThird = policy("third", [block(every(3), [pipe(position, evict({ budget: rows(12) }))])]);

onEveryModel("Every(3) acts after the third, sixth, … decoded token", async (model) => {
  let session = await orThrow(prefill(model, everyThird)(randomBytes(5, 20)));
  const held = [rowsPerHead(session.cache).flat()];
  for (let i = 0; i < 7; i++) {
    session = await orThrow(step(i)(session));
    held.push(rowsPerHead(session.cache).flat());
  }
  assertEquals(held.map((heads) => new Set(heads)), [20, 21, 22, 12, 13, 14, 12, 13].map((n) => new Set([n])));
  await orThrow(disposeSession(session));
});

for (
  const how of [
    everyThird,
    keepAll,
    snapKv({ rows: 20, window: 8 }),
    pipe(snapKv({ rows: 20, window: 8 }), decoding),
    h2o({ rows: 20 }),
    tova({ rows: 20 }),
  ]
) {
  onEveryModel(`scoring a continuation under ${how.text} gives the logits of decoding it`, async (model) => {
    const [prompt, rest] = [randomBytes(5, 40), randomBytes(6, 12)];
    const scored = await orThrow(logitsOver(model, how, { chunk: 16, codec: "f32" })(prompt, rest));
    let session = await orThrow(prefill(model, how, { chunk: 16, codec: "f32" })(prompt));
    const decoded = [session.logits];
    for (const token of rest.slice(0, -1)) {
      session = await orThrow(step(token)(session));
      decoded.push(session.logits);
    }
    await orThrow(disposeSession(session));
    assertEquals(scored.length, rest.length);
    const worst = Math.max(...scored.flatMap((row, i) => Array.from(row, (x, j) => Math.abs(x - (decoded[i]?.[j] ?? NaN)))));
    // Logits are of order 1; chunks sum in another order than single tokens.
    assert(worst < 1e-3, `worst ${worst}`);
    assertEquals(model.backend.liveBytes().buffers, 0);
  }, () => tinyFile(tiny("llama")));
}

onEveryModel("teacher forcing from a session consumes it; nothing to force gives no rows", async (model) => {
  const session = await orThrow(prefill(model, keepAll)(begin("abab")));
  assertEquals((await orThrow(forced([])(session))).length, 0);
  assertEquals(model.backend.liveBytes().buffers, 0);
});

onEveryModel("text read on after prefill is not evicted by what acts at its end", async (model) => {
  const session = await orThrow(prefill(model, snapKv({ rows: 10, window: 4 }))(begin(facts)));
  assertEquals(rowsPerHead(session.cache).flat().every((n) => n === 10), true);
  const longer = await orThrow(extend(ids("red="))(session));
  assertEquals(rowsPerHead(longer.cache).flat().every((n) => n === 14), true);
  await orThrow(disposeSession(longer));
});

onEveryModel("the last queries of the prompt choose, inside the forward pass, the row that answers them", async (model) => {
  const document = begin(`${"-".repeat(30)}red=7341, ${"+".repeat(30)} red=`);
  const needed = document.indexOf("7".charCodeAt(0));
  for (const chunk of [5, 256]) {
    const session = await orThrow(prefill(model, snapKv({ rows: 12, window: 4, kernel: 1 }), { chunk })(document));
    const { layers } = await orThrow(read(model.memory)(session.cache));
    assert(layers[1]?.every((head) => head.positions.includes(needed)), "the row that the last query attends to stays in both heads");
    await orThrow(disposeSession(session));
  }
});

onEveryModel("remembered attention sums to the number of queries in every head, whatever the chunk", async (model) => {
  for (const chunk of [1, 7, 64]) {
    let session = await orThrow(prefill(model, h2o({ rows: 100 }), { chunk })(randomBytes(5, 30)));
    session = await orThrow(step(1)(session));
    const { layers } = await orThrow(read(model.memory)(session.cache));
    for (const { columns } of layers.flat()) {
      const mass = (columns.mass ?? new Float32Array()).reduce((sum, x) => sum + x, 0);
      // Each query gives a head one unit, by the mean over its group; f32 sums of some hundred terms.
      assert(Math.abs(mass - 31) < 1e-3, `chunk ${chunk}: ${mass}`);
    }
    await orThrow(disposeSession(session));
  }
}, () => tinyFile(tiny("llama")));

for (const { name, open } of backends) {
  Deno.test(`a run that fails, at whatever point, leaves nothing behind (${name})`, async () => {
    await using opened = await open();
    const failure: KvError = { _tag: "DeviceLost", backend: name, because: "the test says so" };
    let left = 0;
    const backend: Backend = { ...opened, run: (program, bindings) => left-- > 0 ? opened.run(program, bindings) : () => E.left(failure) };
    await using model = await orThrow(openModel(backend, inductionModel()));
    const attempt = pipe(
      prefill(model, snapKv({ rows: 10, window: 4 }), { chunk: 16, room: 0 })(begin(facts)),
      TE.chain(step(97)),
      TE.chain(extend([98, 99])),
      TE.chain(forced([100, 101, 102])),
    );
    let runs = 0;
    for (;; runs++) {
      left = runs;
      const result = await attempt();
      assertEquals(opened.liveBytes().buffers, 0, `after ${runs} runs`);
      if (E.isRight(result)) break;
      assertEquals(result.left, failure);
    }
    assert(runs > 6, `${runs} runs: chunks, the end of prefill, copies, steps`);
  });
}
