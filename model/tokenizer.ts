/**
 * Byte-level BPE from the file's own metadata: merges by `@huggingface/tokenizers`; special tokens are found here, because
 * whether they count depends on who wrote the text.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import { Tokenizer as Merger } from "@huggingface/tokenizers";
import { invalidFile, type KvError } from "../cache/error.ts";
import { tokenBytes } from "./byte_text.ts";
import { renderChat } from "./chat.ts";
import type { GgufFile } from "./gguf.ts";
import { flag, optional, required, text, texts, wholeNumber, wholeNumbers } from "./metadata.ts";
import type { PreTokenizer } from "./pre_tokenize.ts";
import { preTokenizers } from "./pre_tokenize.ts";
import type { Message, Tokenizer } from "./types.ts";

/** Kinds of `tokenizer.ggml.token_type` that matter here. */
const kinds = { unknown: 2, control: 3, userDefined: 4 } as const;

/** Names under which model makers end a turn or a text; special tokens so named stop a generation beside `eos` and `eot`.
 * The list is that of llama.cpp. */
const endNames: ReadonlySet<string> = new Set([
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end|>",
  "<end_of_turn>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "</s>",
]);

/** A token with a text that is matched as a whole. */
interface Special {
  readonly id: number;
  readonly text: string;
}

/** What the metadata says about text. */
interface Vocabulary {
  readonly tokens: ReadonlyArray<string>;
  readonly merges: ReadonlyArray<readonly [string, string]>;
  readonly pre: PreTokenizer;
  /** Matched only where specials are asked for. */
  readonly control: ReadonlyArray<Special>;
  /** Matched in every text. */
  readonly userDefined: ReadonlyArray<Special>;
  readonly stop: ReadonlySet<number>;
  readonly bosText: string;
  readonly eosText: string;
  readonly bos: number | null;
  readonly template: string | null;
}

/** The tokenizer that the metadata describes, for `vocab` tokens. Left: `Unsupported` for other kinds than byte-level BPE and
 * for an unknown pre-tokenizer, `InvalidFile` for anything missing or contradictory. */
export const readTokenizer = (gguf: GgufFile, vocab: number): E.Either<KvError, Tokenizer> =>
  pipe(
    readVocabulary(gguf, vocab),
    E.chain((v) => E.map((merger: Merger) => tokenizerOf(gguf.file, v, merger))(makeMerger(gguf, v))),
  );

function readVocabulary(gguf: GgufFile, vocab: number): E.Either<KvError, Vocabulary> {
  const id = (name: string) => optional(wholeNumber(0, vocab - 1))(`tokenizer.ggml.${name}_token_id`)(gguf);
  return pipe(
    E.Do,
    E.bindW("model", () => required(text)("tokenizer.ggml.model")(gguf)),
    E.bindW("_", ({ model }) => model === "gpt2" ? E.right(null) : E.left(unsupported(gguf, "model", model, ["gpt2 (byte-level BPE)"]))),
    E.bindW("preName", () => required(text)("tokenizer.ggml.pre")(gguf)),
    E.bindW("pre", ({ preName }) => {
      const known = preTokenizers.get(preName);
      return known === undefined ? E.left(unsupported(gguf, "pre", preName, [...preTokenizers.keys()])) : E.right(known);
    }),
    E.bindW("tokens", () => readTokens(gguf, vocab)),
    E.bindW("types", () => required(wholeNumbers(vocab, 0, 255))("tokenizer.ggml.token_type")(gguf)),
    E.bindW("merges", ({ tokens }) => readMerges(gguf, tokens)),
    E.bindW("bosId", () => id("bos")),
    E.bindW("eosId", () => id("eos")),
    E.bindW("eotId", () => id("eot")),
    E.bindW("eomId", () => id("eom")),
    E.bindW("addBos", () => optional(flag)("tokenizer.ggml.add_bos_token")(gguf)),
    E.bindW("template", () => optional(text)("tokenizer.chat_template")(gguf)),
    E.chain(({ tokens, types, merges, pre, bosId, eosId, eotId, eomId, addBos, template }): E.Either<KvError, Vocabulary> => {
      const wantsBos = addBos ?? pre.addBos;
      if (wantsBos && bosId === null) {
        return E.left(invalidFile(gguf, "tokenizer.ggml.bos_token_id", "no such key", "the id that begins a text"));
      }
      const given = [eosId, eotId, eomId].filter((i) => i !== null);
      return E.right({
        ...specialsOf(tokens, types, given),
        tokens,
        merges,
        pre,
        bosText: bosId === null ? "" : tokens[bosId] ?? "",
        eosText: eosId === null ? "" : tokens[eosId] ?? "",
        bos: wantsBos ? bosId : null,
        template,
      });
    }),
  );
}

const unsupported = (gguf: GgufFile, key: string, found: string, supported: ReadonlyArray<string>): KvError => ({
  _tag: "Unsupported",
  what: `tokenizer.ggml.${key} ${JSON.stringify(found.slice(0, 60))} in file ${gguf.file}`,
  where: "this version",
  because: `supported are ${supported.join(", ")}`,
});

/** Tokens that are matched whole, and those that end a text. A token that ends a text is control, whatever its type says. */
function specialsOf(
  tokens: ReadonlyArray<string>,
  types: ReadonlyArray<number>,
  ends: ReadonlyArray<number>,
): Pick<Vocabulary, "control" | "userDefined" | "stop"> {
  const specials = tokens.flatMap((text, id) => {
    const type = types[id];
    return (type === kinds.control || type === kinds.unknown || type === kinds.userDefined) && text !== "" ? [{ id, text, type }] : [];
  });
  const stop = new Set([...ends, ...specials.filter((s) => endNames.has(s.text)).map((s) => s.id)]);
  // Longer ones first: where one contains another, the longer is meant.
  const sorted = specials.toSorted((a, b) => b.text.length - a.text.length);
  const user = (s: { readonly id: number; readonly type: number }): boolean => s.type === kinds.userDefined && !stop.has(s.id);
  return { control: sorted.filter((s) => !user(s)), userDefined: sorted.filter(user), stop };
}

/** Some vocabularies (SmolLM2's) have no token for bytes that no text should have; such bytes are dropped, as llama.cpp does. */
const readTokens = (gguf: GgufFile, vocab: number): E.Either<KvError, ReadonlyArray<string>> =>
  E.chain((tokens: ReadonlyArray<string>): E.Either<KvError, ReadonlyArray<string>> =>
    tokens.length === vocab
      ? E.right(tokens)
      : E.left(invalidFile(gguf, "tokenizer.ggml.tokens", `${tokens.length} texts`, `${vocab}, one per embedding row`))
  )(required(texts)("tokenizer.ggml.tokens")(gguf));

/** Each merge as its two halves; both and what they make must be tokens, else text would be lost. */
const readMerges = (gguf: GgufFile, tokens: ReadonlyArray<string>): E.Either<KvError, ReadonlyArray<readonly [string, string]>> =>
  E.chain((lines: ReadonlyArray<string>): E.Either<KvError, ReadonlyArray<readonly [string, string]>> => {
    const known = new Set(tokens);
    const merges: Array<readonly [string, string]> = [];
    for (const [i, line] of lines.entries()) {
      const [left = "", right = "", ...rest] = line.split(" ");
      if (rest.length > 0 || !known.has(left) || !known.has(right) || !known.has(left + right)) {
        const found = `merge ${i} is ${JSON.stringify(line.slice(0, 40))}`;
        return E.left(invalidFile(gguf, "tokenizer.ggml.merges", found, "two tokens with a space between that make a token"));
      }
      merges.push([left, right]);
    }
    return E.right(merges);
  })(required(texts)("tokenizer.ggml.merges")(gguf));

/** The library's tokenizer, without any special token: it sees plain text only. */
function makeMerger(gguf: GgufFile, { tokens, merges, pre, control }: Vocabulary): E.Either<KvError, Merger> {
  const hidden = new Set(control.map((s) => s.id));
  const vocab = Object.fromEntries(tokens.flatMap((t, id) => hidden.has(id) ? [] : [[t, id]]));
  const splits = pre.patterns.map((Regex) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }));
  const json = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [...splits, { type: "ByteLevel", add_prefix_space: false, use_regex: false }],
    },
    post_processor: null,
    decoder: null,
    model: { type: "BPE", vocab, merges, unk_token: null, ignore_merges: pre.ignoreMerges },
  };
  return E.tryCatch(
    () => new Merger(json, {}),
    (e) => invalidFile(gguf, "tokenizer", e instanceof Error ? e.message : String(e), "a vocabulary that loads"),
  );
}

function tokenizerOf(file: string, v: Vocabulary, merger: Merger): Tokenizer {
  const silent = new Set(v.control.map((s) => s.id));
  const literal = new Set(v.userDefined.map((s) => s.id));
  const utf8 = new TextEncoder();
  const plain = (piece: string): ReadonlyArray<number> => piece === "" ? [] : merger.encode(piece, { add_special_tokens: false }).ids;
  const encode = (piece: string): ReadonlyArray<number> => encodeWith(v.userDefined, plain)(piece);
  const bytesOf = (id: number): Uint8Array => {
    const token = silent.has(id) ? "" : v.tokens[id] ?? "";
    return literal.has(id) ? utf8.encode(token) : tokenBytes(token);
  };
  return {
    encode: (piece, options) => options?.special === true ? encodeWith(v.control, encode)(piece) : encode(piece),
    decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids.flatMap((id) => [...bytesOf(id)]))),
    bytesOf,
    special: new Set(v.control.map(({ id }) => id)),
    stop: v.stop,
    bos: v.bos,
    chat: (messages: ReadonlyArray<Message>) =>
      pipe(
        renderChat({ file, template: v.template, bosText: v.bosText, eosText: v.eosText, control: v.control.map((s) => s.text) })(messages),
        E.map(({ text, restore }) => encodeWith(v.control, (piece) => encode(restore(piece)))(text)),
      ),
  };
}

/** Cuts the text at every special, longer ones first everywhere (as llama.cpp does), and encodes what is between with `plain`. */
const encodeWith =
  (specials: ReadonlyArray<Special>, plain: (piece: string) => ReadonlyArray<number>) => (text: string): ReadonlyArray<number> =>
    specials
      .filter((s) => text.includes(s.text))
      .reduce<ReadonlyArray<number | string>>((pieces, s) => pieces.flatMap((p) => typeof p === "number" ? [p] : cut(p, s)), [text])
      .flatMap((p) => typeof p === "number" ? [p] : plain(p));

const cut = (piece: string, { id, text }: Special): ReadonlyArray<number | string> =>
  piece.split(text).flatMap((part, i): ReadonlyArray<number | string> => i === 0 ? [part] : [id, part]);
