/**
 * `--save-cache` and `--load-cache`: caches that outlive the process.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import { fullBytes } from "../cache/bytes.ts";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import { loadSession, type SaveOptions, saveSession } from "../model/cache_file.ts";
import { type Prompt, promptTokens } from "../model/generate.ts";
import type { Model } from "../model/model.ts";
import { disposeSession, extend, prefill, type Session } from "../model/session.ts";
import { keepAll } from "../papers/mod.ts";
import type { Policy } from "../policy/types.ts";
import { writeWhole } from "./files.ts";
import type { Io } from "./io.ts";
import { readBytes } from "./models.ts";
import { type Given, invalid, type Option } from "./options.ts";
import { grouped, megabytes } from "./table.ts";

/** The options. */
export const CACHE_FILES: ReadonlyArray<Option> = [
  { name: "save-cache", kind: "text", value: "FILE", about: "write the cache to FILE once the prompt is read" },
  { name: "save-as", kind: "text", value: "FORM", about: "plain, or kvtc(RATIO) with --kvtc (plain)" },
  { name: "load-cache", kind: "text", value: "FILE", about: "go on from the cache in FILE; a prompt is read behind it" },
];

/** Positions that kvtc leaves exact: the first, and the newest (arXiv 2511.01815, section 4). */
const [SINKS, RECENT] = [4, 128];

/** A file that was written. */
export interface Saved {
  readonly file: string;
  readonly bytes: number;
  /** Bytes of the whole cache of as many tokens in f16. */
  readonly bytesFull: number;
}

/** What the other options say. */
export interface Asked {
  readonly prompt: Prompt | null;
  readonly policy: Policy | null;
  readonly codec: "f16" | "f32";
  readonly chunk: number;
  readonly progress: (tokens: number) => void;
}

/** The session to go on from: loaded or read, and saved if that is asked. */
export const sessionFor =
  (given: Given, io: Io, model: Model, asked: Asked): TaskEither<KvError, { readonly session: Session; readonly saved: Saved | null }> =>
  async () => {
    const [from, to] = [given.text("load-cache"), given.text("save-cache")];
    const form = to === null ? E.right<KvError, SaveOptions>({}) : formOf(given);
    if (E.isLeft(form)) return form;
    const ready = from === null ? await readPrompt(model, asked) : await loaded(given, model, from, asked);
    if (E.isLeft(ready)) return ready;
    if (to === null) return E.right({ session: ready.right, saved: null });
    const saved = await save(model, ready.right, to, form.right);
    if (E.isLeft(saved)) {
      disposeSession(ready.right)();
      return saved;
    }
    const { file, bytes, bytesFull } = saved.right;
    const tokens = grouped(ready.right.cache.nextPosition);
    io.note(`${file}: the cache of ${tokens} tokens in ${megabytes(bytes)} MB; the whole cache in f16 is ${megabytes(bytesFull)} MB`);
    return E.right({ session: ready.right, saved: saved.right });
  };

async function readPrompt(model: Model, { prompt, policy, codec, chunk, progress }: Asked): Promise<E.Either<KvError, Session>> {
  const tokens = prompt === null ? E.right([]) : promptTokens(model, prompt);
  return E.isLeft(tokens) ? tokens : await prefill(model, policy ?? keepAll, { codec, chunk, progress })(tokens.right)();
}

async function loaded(
  given: Given,
  model: Model,
  file: string,
  { prompt, policy, codec, progress }: Asked,
): Promise<E.Either<KvError, Session>> {
  if (given.flag("chat")) return invalid("--chat", "given with --load-cache", "a prompt of plain text behind a loaded cache");
  const bytes = await readBytes(file)();
  if (E.isLeft(bytes)) return bytes;
  const session = await loadSession(model, { file, ...(policy === null ? {} : { policy }) })(bytes.right)();
  if (E.isLeft(session)) return session;
  const stored = codecName(session.right.plan.source.codec);
  if (given.text("codec") !== null && codec !== stored) {
    disposeSession(session.right)();
    return invalid("--codec", codec, `${stored}, as the cache in ${file} is stored`);
  }
  if (prompt?.prompt === undefined) return session;
  const tokenizer = model.tokenizer();
  const read = E.isLeft(tokenizer) ? tokenizer : await extend(tokenizer.right.encode(prompt.prompt), { progress })(session.right)();
  if (E.isLeft(read)) disposeSession(session.right)();
  return read;
}

/** What `--save-as` says. */
function formOf(given: Given): E.Either<KvError, SaveOptions> {
  const text = given.text("save-as") ?? "plain";
  const ratio = Number(/^kvtc\((\d+(?:\.\d+)?)\)$/.exec(text)?.[1]);
  if (text === "plain") return E.right({});
  return ratio >= 1 && ratio <= 1024
    ? E.right({ kvtc: { ratio, sinks: SINKS, recent: RECENT } })
    : invalid("--save-as", text, "plain, or kvtc(RATIO) with a ratio from 1 to 1024");
}

async function save(model: Model, session: Session, file: string, form: SaveOptions): Promise<E.Either<KvError, Saved>> {
  const bytes = await saveSession(session, form)();
  if (E.isLeft(bytes)) return bytes;
  const written = await writeWhole(file, bytes.right)();
  const bytesFull = fullBytes(model.spec.shape, session.cache.nextPosition);
  return E.isLeft(written) ? written : E.right({ file, bytes: bytes.right.length, bytesFull });
}
