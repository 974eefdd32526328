import { assert, assertEquals } from "@std/assert";
import type { TextDocument } from "./corpus.ts";
import { LENGTHS, promptsOf } from "./prompts.ts";

/** One token is one letter. */
const letters = {
  encode: (text: string) => [...new TextEncoder().encode(text)],
  decode: (ids: ReadonlyArray<number>) => new TextDecoder().decode(Uint8Array.from(ids)),
};
const text = (length: number): string => "One more sentence. ".repeat(Math.ceil(length / 19)).slice(0, length);
const documents = (count: number, length: number): ReadonlyArray<TextDocument> =>
  Array.from({ length: count }, (_, i) => ({ id: `a/${i}`, split: "train", text: text(length) }));
const sources = [{ name: "a", share: 1 }];
const drawn = (count: number, from: ReadonlyArray<TextDocument>, seed = 1) =>
  promptsOf(letters, from, { split: "train", count, seed, sources });

Deno.test("prompts have 751 to 1249 tokens; more of them begin with the same ones; another seed gives others", () => {
  const from = documents(6, 40_000);
  const [few, many] = [drawn(4, from), drawn(20, from)];
  assertEquals(many.length, 20);
  assert(many.every(({ tokens }) => tokens.length > LENGTHS.above && tokens.length < LENGTHS.below));
  assertEquals(many.slice(0, 4), few);
  assert(drawn(4, from, 2).some(({ id }, i) => id !== few[i]?.id));
});

Deno.test("prompts apart from others are out of other documents, and in one as large as a corpus out of other places", () => {
  const from = [...documents(4, 40_000), { id: "a/large", split: "train", text: text(1_200_000) } as const];
  const first = drawn(4, from);
  const rest = promptsOf(letters, from, { split: "train", count: 6, seed: 1, sources, apartFrom: first });
  const placeOf = (id: string) => [id.split("@")[0] ?? "", Number(id.split("@")[1])] as const;
  assert(rest.length > 0);
  for (const { id } of rest) {
    const [document, at] = placeOf(id);
    for (const [other, there] of first.map((p) => placeOf(p.id))) {
      assert(document !== other || (document === "a/large" && Math.abs(at - there) >= 8000), `${id} next to ${other}@${there}`);
    }
  }
});

Deno.test("texts that are too short give no prompt, and no texts give none", () => {
  assertEquals(drawn(3, documents(3, 700)), []);
  assertEquals(drawn(3, []), []);
});
