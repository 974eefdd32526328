/**
 * Greedy generation: the backend finds the likeliest token, and nothing but its id is read back.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { chosen } from "../model/answer.ts";
import { disposeSession, forced, greedy, inductionModel, openModel, prefill, saveSession } from "../model/mod.ts";
import { keepAll } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { onEveryBackend } from "./support.ts";
import { byLogits, prompt, readsTokensOnly } from "./support/greedy.ts";

onEveryBackend(
  "a greedy token takes four bytes from the backend, and is the one that the logits say",
  ({ backend }) => readsTokensOnly(backend),
);

Deno.test("no greedy token is chosen where the backend found none", () => {
  const found = chosen(greedy, 0)({ logits: new Float32Array(), likeliest: 0xFFFFFFFF });
  assert(E.isLeft(found) && found.left._tag === "Unavailable" && found.left.what === "a next token");
});

onEveryBackend("what needs logits refuses a session of which only a token was read", async ({ backend }) => {
  await using model = await orThrow(openModel(backend, inductionModel()));
  const session = await orThrow(prefill(model, keepAll, { answer: "token" })(prompt));
  assertEquals([session.logits.length, session.likeliest], [0, (await byLogits(model))[0] ?? null]);
  for (const refused of [await saveSession(session)(), await forced([1, 2])(session)()]) {
    assert(E.isLeft(refused) && refused.left._tag === "InvalidArgument" && refused.left.argument === "session");
  }
  await orThrow(disposeSession(session));
});
