import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { byteCharacters } from "../model/byte_text.ts";
import { readModelFile } from "../model/model_file.ts";
import { preTokenizers } from "../model/pre_tokenize.ts";
import type { Tokenizer } from "../model/types.ts";
import { awkwardStrings } from "./support/awkward_strings.ts";
import type { TokenizerGolden } from "./support/golden.ts";
import { boundaryText, chatCases, readGolden, sha256 } from "./support/golden.ts";
import { realModel } from "./support/real_model.ts";
import type { TinyText } from "./support/tiny_model.ts";
import { tiny, tinyFile, tinyText } from "./support/tiny_model.ts";

const golden = await readGolden<TokenizerGolden>("tokenizer");

const orFail = <A>(result: E.Either<Parameters<typeof showError>[0], A>): A => {
  if (E.isRight(result)) return result.right;
  throw new Error(showError(result.left));
};
const tokenizerOf = (bytes: Uint8Array): Tokenizer => orFail(orFail(readModelFile("m.gguf", bytes)).tokenizer());
const withText = (text: TinyText): Tokenizer => tokenizerOf(tinyFile(tiny("llama", { text })));

/** Strings whose ids differ, with both lists of ids. */
const differences = (encode: (text: string) => ReadonlyArray<number>, expected: ReadonlyArray<string>): ReadonlyArray<unknown> =>
  awkwardStrings.map((text, i) => ({ text, found: encode(text).join(" "), expected: expected[i] }))
    .filter(({ found, expected }) => found !== expected);

Deno.test("the stored ids belong to these strings, more than 200", async () => {
  assertEquals(await sha256(new TextEncoder().encode(JSON.stringify(awkwardStrings))), golden.strings);
  assertEquals(awkwardStrings.length > 200, true);
});

for (const pre of preTokenizers.keys()) {
  Deno.test(`pre-tokenizer ${pre}: llama.cpp gives the same ids`, () => {
    const tokenizer = withText(boundaryText(pre, byteCharacters));
    assertEquals(differences((text) => tokenizer.encode(text), golden.tiny[pre] ?? []), []);
  });
}

Deno.test("any text that a vocabulary has bytes for comes back from its ids", () => {
  const tokenizer = withText({ ...boundaryText("qwen2", byteCharacters), specials: tinyText.specials });
  const lost = awkwardStrings.filter((text) => tokenizer.decode(tokenizer.encode(text)) !== text);
  assertEquals(lost, []);
});

Deno.test("control tokens are text unless they are asked for, and are silent in what is decoded", () => {
  const tokenizer = withText(tinyText);
  const text = "a<|im_end|>b";
  assertEquals(tokenizer.encode(text).some((id) => id >= 285), false);
  assertEquals(
    tokenizer.encode(text, { special: true }),
    [97, 287, 98],
  );
  assertEquals(tokenizer.decode(tokenizer.encode(text, { special: true })), "ab");
  assertEquals([...tokenizer.stop].sort(), [285, 287]);
});

Deno.test("one token may be half a character: bytes join, then decode", () => {
  const tokenizer = withText(tinyText);
  const ids = tokenizer.encode("é");
  assertEquals(ids.map((id) => [...tokenizer.bytesOf(id)]), [[0xc3], [0xa9]]);
  assertEquals(tokenizer.decode(ids), "é");
});

Deno.test("long runs take time in proportion", () => {
  const tokenizer = withText(tinyText);
  for (const text of ["a", " ", "\n", "1", "😀", "'s"]) {
    const from = performance.now();
    const many = tokenizer.encode(text.repeat(100_000));
    // Quadratic work on 100,000 characters would take minutes.
    assertEquals(tokenizer.decode(many).length, 100_000 * text.length);
    assertEquals(performance.now() - from < 20_000, true);
  }
});

const model = await realModel();

Deno.test({
  name: "SmolLM2: llama.cpp gives the same ids for the awkward strings, with specials and without",
  ignore: model === null,
  fn: () => {
    const tokenizer = tokenizerOf(model ?? new Uint8Array());
    assertEquals(differences((s) => tokenizer.encode(s), golden.smollm2.plain), []);
    assertEquals(differences((s) => tokenizer.encode(s, { special: true }), golden.smollm2.special), []);
  },
});

Deno.test({
  name: "SmolLM2: conversations are the ids that llama.cpp gives for their pieces; look-alikes in messages stay text",
  ignore: model === null,
  fn: () => {
    const tokenizer = tokenizerOf(model ?? new Uint8Array());
    assertEquals(chatCases.map(({ messages }) => orFail(tokenizer.chat(messages)).join(" ")), [...golden.chats]);
    assertEquals(tokenizer.bos, null);
    assertEquals([...tokenizer.stop].sort(), [0, 2]);
  },
});
