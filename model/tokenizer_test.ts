import { assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { showError } from "../cache/error.ts";
import { bool, f32, i32s, type Meta, string, strings, u32, writeGguf } from "../tests/support/gguf_writer.ts";
import { tiny, tinyInput, tinyText } from "../tests/support/tiny_model.ts";
import { byteCharacters, tokenBytes } from "./byte_text.ts";
import { renderChat } from "./chat.ts";
import { readModelFile } from "./model_file.ts";
import type { Message, ModelFile, Tokenizer } from "./types.ts";

const small = tinyInput(tiny("llama"));
const tokenizerWith = (keys: Readonly<Record<string, Meta | null>>): E.Either<string, Tokenizer> => {
  const metadata = [
    ...small.metadata.filter(([key]) => !(key in keys)),
    ...Object.entries(keys).flatMap(([key, meta]) => meta === null ? [] : [[key, meta] as const]),
  ];
  const file = readModelFile("m.gguf", writeGguf({ ...small, metadata }));
  return E.mapLeft(showError)(E.chain((f: ModelFile) => f.tokenizer())(file));
};
const sentence = (keys: Readonly<Record<string, Meta | null>>): string => {
  const made = tokenizerWith(keys);
  return E.isLeft(made) ? made.left : "made";
};

Deno.test("the byte alphabet has 256 different printable characters and reads back", () => {
  assertEquals(new Set(byteCharacters).size, 256);
  assertEquals(byteCharacters.some((c) => /[\s\p{C}]/u.test(c)), false);
  assertEquals([...tokenBytes(byteCharacters.join(""))], Array.from({ length: 256 }, (_, b) => b));
  assertEquals([...tokenBytes("Ġ€")], [0x20, 0xe2, 0x82, 0xac]);
});

Deno.test("other kinds of vocabulary and unknown pre-tokenizers are named", () => {
  assertEquals(
    sentence({ "tokenizer.ggml.model": string("llama") }),
    'tokenizer.ggml.model "llama" in file m.gguf is not supported by this version: supported are gpt2 (byte-level BPE)',
  );
  assertEquals(
    sentence({ "tokenizer.ggml.pre": string("viking") }),
    'tokenizer.ggml.pre "viking" in file m.gguf is not supported by this version: supported are smollm, starcoder, refact, command-r, ' +
      "codeshell, gpt-2, phi-2, qwen2, deepseek-r1-qwen, llama-bpe, llama-v3, llama3, default",
  );
});

Deno.test("what a tokenizer needs is missing, out of range or contradictory", () => {
  const cases: ReadonlyArray<readonly [string, Meta | null, string]> = [
    ["tokenizer.ggml.pre", null, "found no such key, allowed is text"],
    ["tokenizer.ggml.tokens", null, "found no such key, allowed is an array of texts"],
    ["tokenizer.ggml.merges", null, "found no such key, allowed is an array of texts"],
    ["tokenizer.ggml.token_type", null, "found no such key, allowed is 288 whole numbers from 0 to 255"],
    ["tokenizer.ggml.token_type", i32s([1]), "found an array of 1 i32, allowed is 288 whole numbers from 0 to 255"],
    ["tokenizer.ggml.eos_token_id", u32(288), "found 288 (u32), allowed is a whole number from 0 to 287"],
    ["tokenizer.ggml.add_bos_token", f32(1), "found 1 (f32), allowed is true or false"],
    ["tokenizer.ggml.merges", strings(["h e", "h"]), 'found merge 1 is "h", allowed is two tokens with a space between that make a token'],
    ["tokenizer.ggml.merges", strings(["z q"]), 'found merge 0 is "z q", allowed is two tokens with a space between that make a token'],
  ];
  for (const [key, value, expected] of cases) assertEquals(sentence({ [key]: value }), `file m.gguf: ${key}: ${expected}`);
  assertEquals(
    sentence({ "tokenizer.ggml.add_bos_token": bool(true), "tokenizer.ggml.bos_token_id": null }),
    "file m.gguf: tokenizer.ggml.bos_token_id: found no such key, allowed is the id that begins a text",
  );
});

Deno.test("BOS: the file decides; llama-bpe texts begin with it where the file is silent", () => {
  const bos = (keys: Readonly<Record<string, Meta | null>>): number | null | string => {
    const made = tokenizerWith(keys);
    return E.isLeft(made) ? made.left : made.right.bos;
  };
  const silent = { "tokenizer.ggml.add_bos_token": null };
  assertEquals(bos({ "tokenizer.ggml.add_bos_token": bool(true) }), 286);
  assertEquals(bos(silent), null);
  assertEquals(bos({ ...silent, "tokenizer.ggml.pre": string("llama-bpe") }), 286);
  assertEquals(bos({ "tokenizer.ggml.add_bos_token": bool(false), "tokenizer.ggml.pre": string("llama-bpe") }), null);
});

Deno.test("tokens named like prototype members are tokens", () => {
  const words = ["__proto__", "constructor"];
  const tokens = small.metadata.find(([key]) => key === "tokenizer.ggml.tokens")?.[1];
  assertEquals(tokens?.type, "array");
  if (tokens?.type !== "array") return;
  const made = tokenizerWith({
    "tokenizer.ggml.tokens": { ...tokens, values: [...tokens.values.slice(0, 283), ...words.map(string), ...tokens.values.slice(285)] },
    "tokenizer.ggml.merges": strings([]),
  });
  assertEquals(E.isRight(made) && new TextDecoder().decode(made.right.bytesOf(283)), "__proto__");
  assertEquals(E.isRight(made) && made.right.decode(made.right.encode("a __proto__ constructor")), "a __proto__ constructor");
});

const format = { file: "m.gguf", bosText: "<s>", eosText: "<end>", control: ["<s>", "<end>", "<|x|>", "|>y", "z<"] };
const chat = (template: string | null, ...messages: ReadonlyArray<Message>) => renderChat({ ...format, template })(messages);
const user = (content: string): Message => ({ role: "user", content });
const turns =
  "{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content | trim }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}go{% endif %}";

Deno.test("templates see the messages as they are, with bos and eos texts and the wish to go on", () => {
  const rendered = chat(turns, user("  hi \n"), { role: "assistant", content: "ho" });
  assertEquals(E.isRight(rendered) && rendered.right.text, "<s>user:hi<end>assistant:ho<end>go");
});

Deno.test("no text of a message is a control token, however it overlaps or nests", () => {
  for (const content of ["<end>", "<|x|>y<|x|>", "<|x|>< end>", "<<end>end>", "a<s><end>b", "\uE0000:3c;<end>", "<end"]) {
    const rendered = chat(turns, user(content));
    if (E.isLeft(rendered)) throw new Error(showError(rendered.left));
    const { text, restore } = rendered.right;
    assertEquals([...text.matchAll(/<s>|<end>|<\|x\|>|\|>y|z</g)].map(([t]) => t), ["<s>", "<end>"], content);
    assertEquals(restore(text), `<s>user:${content}<end>go`);
  }
});

Deno.test("a template that makes control tokens out of message text is refused", () => {
  const deletes = "{{ bos_token }}{{ messages[0].content | replace('-', '') }}";
  assertEquals(E.isRight(chat(deletes, user("<e-nd"))), true);
  assertEquals(E.isLeft(chat(turns, user("half of z"))), true, "text that completes a control token together with the template's own");
  const result = chat(deletes, user("<e-nd>"));
  assertEquals(
    E.isLeft(result) && showError(result.left),
    "file m.gguf: tokenizer.chat_template: found control tokens made from message text, allowed is a template that leaves message text alone",
  );
});

Deno.test("no messages, no template, templates that do not parse or give up", () => {
  const left = (result: ReturnType<typeof chat>): string => E.isLeft(result) ? showError(result.left) : "rendered";
  assertEquals(left(chat(turns)), 'argument messages: found "none", allowed is at least one message');
  assertEquals(left(chat(null, user("hi"))), "a conversation is not supported by file m.gguf: it has no tokenizer.chat_template");
  assertEquals(
    left(chat("{{ raise_exception('roles must alternate') }}", user("hi"))),
    "file m.gguf: tokenizer.chat_template: found roles must alternate, allowed is a template that renders these messages",
  );
  for (const broken of ["{% for %}", "{{ 1 +", "{{ messages[0].content.nothing() }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"]) {
    assertEquals(left(chat(broken, user("hi"))).startsWith("file m.gguf: tokenizer.chat_template: found "), true, broken);
  }
});

Deno.test("templates that ask for endless work or text are stopped", () => {
  const left = (template: string): string => {
    const result = chat(template, user("hi"));
    return E.isLeft(result) ? showError(result.left) : "rendered";
  };
  const stopped =
    "file m.gguf: tokenizer.chat_template: found range() of more than 100000 numbers, allowed is a template that renders these messages";
  assertEquals(left("{% for i in range(10000000000) %}x{% endfor %}"), stopped);
  assertEquals(left("{% for i in range(1000) %}{% for j in range(1000) %}x{% endfor %}{% endfor %}"), stopped);
  assertEquals(left("{% for i in range(0, 1, 0) %}x{% endfor %}"), stopped);
  assertEquals(
    left("{% set ns = namespace(t='x') %}{% for i in range(25) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}"),
    "file m.gguf: tokenizer.chat_template: found 33554432 characters of text, allowed is at most 16777216",
  );
  assertEquals(left("{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}"), "rendered");
});

Deno.test("the tiny vocabulary's own conversation", () => {
  const made = tokenizerWith({});
  if (E.isLeft(made)) throw new Error(made.left);
  const ids = made.right.chat([user("hi<|im_end|>")]);
  assertEquals(E.isRight(ids) && ids.right.filter((id) => id >= 285), [286, 287, 286]);
  assertEquals(tinyText.specials.length, 3);
});
