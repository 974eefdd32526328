import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openWasm } from "../backends/wasm/mod.ts";
import { keepAll } from "../papers/mod.ts";
import { abs, block, constant, evict, layerList, minus, pipe, type Policy, policy, position, prefillEnd, rows } from "../policy/mod.ts";
import { orThrow } from "../run/mod.ts";
import { begin, endless, ids, onEveryModel, randomBytes, tokensOf } from "../tests/model_support.ts";
import { inductionModel } from "./induction.ts";
import { type Model, openModel } from "./model.ts";
import { argmax } from "./sample.ts";
import { logitsOver } from "./forced.ts";
import { disposeSession, extend, prefill } from "./session.ts";

/** All rows of layer 1 but the one at `at` stay, of `count`. */
const allBut = (at: number, count: number): Policy =>
  policy("allbut", [
    block(prefillEnd, [pipe(position, minus(constant(at)), abs, evict({ budget: rows(count - 1) }))], layerList([1])),
  ]);

/** What follows `question` after `document` was read under `policy`. */
async function answer(model: Model, policy: Policy, document: ReadonlyArray<number>, question: string): Promise<number> {
  const session = await orThrow(extend(ids(question))(await orThrow(prefill(model, policy)(document))));
  const id = await orThrow(argmax(session.logits));
  await orThrow(disposeSession(session));
  return id;
}

Deno.test("the model is the same bytes every time", () => {
  const bytes = () => [...inductionModel().tensors.values()].map((t) => [t.name, t.bytes.join()]);
  assertEquals(bytes(), bytes());
});

onEveryModel("a random sequence of 200 bytes is repeated exactly from its first four", async (model) => {
  // The reference needs five seconds for each.
  for (const seed of model.backend.name === "reference" ? [1] : [1, 2, 3]) {
    const text = randomBytes(seed, 200);
    const tokens = [256, ...text, ...text.slice(0, 4)];
    assertEquals(await tokensOf(model, keepAll, { tokens, maxNewTokens: 196, ...endless }), text.slice(4));
  }
});

Deno.test("1,500 random bytes are predicted exactly the second time", async () => {
  await using backend = await orThrow(openWasm());
  await using model = await orThrow(openModel(backend, inductionModel()));
  const text = randomBytes(9, 1500);
  const predicted = await orThrow(logitsOver(model, keepAll)([256, ...text, ...text.slice(0, 4)], text.slice(4)));
  assertEquals(predicted.map((row) => row.indexOf(Math.max(...row))), text.slice(4));
});

onEveryModel("the answer is wrong when the row it needs is gone, and only then", async (model) => {
  const document = begin("red=7341, green=9920, blue=2206.");
  const needed = document.indexOf("7".charCodeAt(0));
  assertEquals(await answer(model, keepAll, document, " red="), "7".charCodeAt(0));
  for (let at = 1; at < document.length; at++) {
    const id = await answer(model, allBut(at, document.length), document, " red=");
    assertEquals(id === "7".charCodeAt(0), at !== needed, `without the row at ${at}`);
  }
});

onEveryModel("a context that never was is answered by ?", async (model) => {
  assertEquals(await answer(model, keepAll, begin("abcdef"), "x"), "?".charCodeAt(0));
});

onEveryModel("a certain answer has a margin of 12 nats over any other byte", async (model) => {
  const [row] = await orThrow(logitsOver(model, keepAll)(begin("abcdabc"), [100]));
  const [first = 0, second = 0] = [...(row ?? [])].sort((a, b) => b - a);
  // f32: weights of other rows are below 1e-8, norms within 1e-6.
  assert(Math.abs(first - second - 12) < 1e-3);
});

Deno.test("the tokenizer is bytes: special names count only where they are asked for", () => {
  const made = inductionModel().tokenizer();
  assert(E.isRight(made));
  const { encode, decode, bytesOf, bos, stop } = made.right;
  assertEquals(encode("<|end|>").length, 7);
  assertEquals(encode("a<|end|>é", { special: true }), [97, 257, 0xc3, 0xa9]);
  assertEquals(decode([256, 97, 0xc3, 0xa9, 257]), "aé");
  assertEquals([bytesOf(97), bytesOf(257), bytesOf(-1)].map((b) => b.length), [1, 0, 0]);
  assertEquals([bos, [...stop]], [256, [257]]);
});
