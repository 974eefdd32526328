/**
 * A conversation as one text by the file's own template, such that nothing a message says can become a control token.
 *
 * Templates look at message texts (they trim them, split off reasoning), so messages are given as they are, but wherever a
 * control token's text begins inside a message, its first character is replaced by a stand-in that occurs nowhere else;
 * `restore` puts it back after the control tokens of the template itself have been found. A template that made control
 * tokens from message text in spite of that (by deleting characters, say) is found out by rendering neutral messages as
 * well: both texts must have the same control tokens.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import type { KvError } from "../cache/error.ts";
import type { Message } from "./types.ts";

/** What rendering needs from the vocabulary. */
export interface ChatFormat {
  /** File name for messages. */
  readonly file: string;
  /** Jinja source, or null where the file has none. */
  readonly template: string | null;
  /** What `bos_token` is in the template, empty for none. */
  readonly bosText: string;
  /** What `eos_token` is in the template, empty for none. */
  readonly eosText: string;
  /** Texts of the control tokens. */
  readonly control: ReadonlyArray<string>;
}

/** The rendered conversation, with stand-ins in it. */
export interface RenderedChat {
  /** What the template made. */
  readonly text: string;
  /** Puts the characters of messages back into a piece of the text. */
  readonly restore: (piece: string) => string;
}

/** Longest template, characters. */
const longestTemplate = 1 << 18;
/** Longest rendered conversation, characters. */
const longestText = 1 << 24;
/** Most numbers that a template may ask `range` for. */
const mostNumbers = 100_000;

/** Renders a conversation up to where the assistant speaks. Left: `InvalidArgument` for no messages, `Unsupported` where the
 * file has no template, `InvalidFile` where the template fails.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * const template = "{% for m in messages %}<u>{{ m.content }}<end>{% endfor %}";
 * const format = { file: "m.gguf", template, bosText: "", eosText: "<end>", control: ["<u>", "<end>"] };
 * const chat = renderChat(format)([{ role: "user", content: "say <end>" }]);
 * assertEquals(E.isRight(chat) && chat.right.text.split("<end>").length, 2); // one: the template's own
 * assertEquals(E.isRight(chat) && chat.right.restore(chat.right.text), "<u>say <end><end>");
 * ```
 */
export const renderChat: (format: ChatFormat) => (messages: ReadonlyArray<Message>) => E.Either<KvError, RenderedChat> =
  (format) => (messages) => {
    const { file, template, control } = format;
    if (messages.length === 0) {
      return E.left({ _tag: "InvalidArgument", argument: "messages", value: "none", allowed: "at least one message" });
    }
    if (template === null) {
      return E.left({ _tag: "Unsupported", what: "a conversation", where: `file ${file}`, because: "it has no tokenizer.chat_template" });
    }
    const mark = freeMark([template, ...messages.map((m) => m.content)]);
    return pipe(
      render(format, template, messages.map((m) => ({ ...m, content: hide(mark, control)(m.content) }))),
      E.chain((text) =>
        E.chain((neutral: string): E.Either<KvError, RenderedChat> =>
          controlsIn(control)(text) === controlsIn(control)(neutral)
            ? E.right({ text, restore: show(mark) })
            : E.left(templateError(file, "control tokens made from message text", "a template that leaves message text alone"))
        )(render(format, template, messages.map((m) => ({ ...m, content: m.content.trim() === "" ? m.content : "text" }))))
      ),
    );
  };

function render(
  { file, bosText, eosText }: ChatFormat,
  template: string,
  messages: ReadonlyArray<Message>,
): E.Either<KvError, string> {
  if (template.length > longestTemplate) {
    return E.left(templateError(file, `${template.length} characters`, `a template of at most ${longestTemplate} characters`));
  }
  const rendered = E.tryCatch(
    () => run(template, { messages, add_generation_prompt: true, bos_token: bosText, eos_token: eosText }),
    (e) => templateError(file, e instanceof Error ? e.message : String(e), "a template that renders these messages"),
  );
  return E.filterOrElse(
    (text: string) => text.length <= longestText,
    (text) => templateError(file, `${text.length} characters of text`, `at most ${longestText}`),
  )(rendered);
}

/** Interprets a template. Its globals are those of chat templates but two: `range` gives at most {@link mostNumbers} numbers in all,
 * and the time of day is not there, so that the same messages always give the same text. Errors are thrown. */
function run(template: string, context: Readonly<Record<string, unknown>>): string {
  const env = new Environment();
  let numbers = 0;
  const globals = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (reason: unknown): never => {
      throw new Error(String(reason));
    },
    range: (first: number, second?: number, step = 1): ReadonlyArray<number> => {
      const [from, to] = second === undefined ? [0, first] : [first, second];
      const length = Math.max(0, Math.ceil((to - from) / step));
      numbers += length;
      if (!(numbers <= mostNumbers)) throw new Error(`range() of more than ${mostNumbers} numbers`);
      return Array.from({ length }, (_, i) => from + i * step);
    },
  };
  Object.entries({ ...globals, ...context }).forEach(([name, value]) => env.set(name, value));
  const { value } = new Interpreter(env).run(parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true })));
  return String(value);
}

const templateError = (file: string, found: string, allowed: string): KvError => ({
  _tag: "InvalidFile",
  file,
  at: "tokenizer.chat_template",
  found,
  allowed,
});

/** Opening of a stand-in that none of the texts contains: a private-use character and the first number that is free. */
function freeMark(texts: ReadonlyArray<string>): string {
  const taken = (n: number): boolean => texts.some((t) => t.includes(`\uE000${n}:`));
  let n = 0;
  while (taken(n)) n++;
  return `\uE000${n}:`;
}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&");

/** Replaces every character at which a control token's text begins. */
const hide = (mark: string, control: ReadonlyArray<string>) => (text: string): string =>
  control.length === 0
    ? text
    : text.replaceAll(new RegExp(`(?=${control.map(escape).join("|")})[^]`, "gu"), (c) => `${mark}${c.codePointAt(0)?.toString(16)};`);

/** Undoes {@link hide}. */
const show = (mark: string) => (piece: string): string =>
  piece.replaceAll(new RegExp(`${mark}([0-9a-f]+);`, "g"), (_, hex: string) => String.fromCodePoint(parseInt(hex, 16)));

/** The control tokens of a text in order, as one string. */
const controlsIn = (control: ReadonlyArray<string>) => (text: string): string =>
  control.length === 0 ? "" : [...text.matchAll(new RegExp(control.map(escape).join("|"), "gu"))].map(([t]) => t).join("\u0000");
