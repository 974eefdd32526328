/**
 * Sessions as files: a cache with what it takes to go on from it, in another process, as if it had never been away.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { codecName } from "../cache/codec.ts";
import { packFile, unpackFile } from "../cache/container.ts";
import { encodeRows } from "../cache/encode.ts";
import type { KvError } from "../cache/error.ts";
import type { ModelShape } from "../cache/shape.ts";
import type { Codec } from "../cache/types.ts";
import type { PolicyPlan } from "../plan/types.ts";
import { type Decoder, flag, number, string, struct, tagged, word } from "../policy/decode.ts";
import { policyFromJson, policyToJson } from "../policy/json.ts";
import type { Policy } from "../policy/types.ts";
import { type CacheTable, cacheTable, checkTable, type LayerTable } from "../run/cache_table.ts";
import { bytesIn } from "../run/scratch.ts";
import { putIn, type SavedCache, takeOut } from "../run/save.ts";
import { withLogits } from "./answer.ts";
import { type Fingerprint, fingerprintOf } from "./cache_identity.ts";
import type { Model } from "./model.ts";
import { planFor, type Session } from "./session.ts";
import { codeCache, coderFor, decodeCache, sizeOf } from "./transform_code.ts";
import type { Coding } from "./transform_split.ts";

/** What a file says beside its parts. */
interface Content {
  readonly kind: "session";
  readonly fingerprint: Fingerprint;
  readonly policy: Policy;
  readonly promptTokens: number;
  readonly chunk: number;
  readonly rows: "f16" | "f32";
  readonly steps: number;
  readonly reread: boolean;
  readonly cache: CacheTable;
  readonly form: Form;
}

/** How rows lie in the file. */
type Form =
  | { readonly _tag: "Plain" }
  | ({ readonly _tag: "Kvtc"; readonly transforms: string } & Coding);

/** How a session is saved. */
export interface SaveOptions {
  /** Rows as coefficients of the model's transforms; without it every row is stored as it is. */
  readonly kvtc?: Coding;
}

/** The bytes of a file that {@link loadSession} reads. The session stays as it is; its cache must be settled, which it is between steps. */
export const saveSession = (session: Session, { kvtc }: SaveOptions = {}): TE.TaskEither<KvError, Uint8Array<ArrayBuffer>> => {
  const { model, plan, cache, logits, steps, chunk, tokens, reread } = session;
  const { policy, promptTokens, codec } = plan.source;
  return pipe(
    TE.fromEither(withLogits(session)),
    TE.chain(() => takeOut(model.memory)(cache)),
    TE.chain(({ table, parts }) => async () => {
      const coder = kvtc === undefined ? null : coderFor(model, kvtc);
      if (coder !== null && E.isLeft(coder)) return coder;
      const stored = coder === null ? E.right(parts) : await codeCache(coder.right)({ table, parts })();
      if (E.isLeft(stored)) return stored;
      const content: Omit<Content, "policy"> & { readonly policy: unknown } = {
        kind: "session",
        fingerprint: await fingerprintOf(model, plan),
        policy: policyToJson(policy),
        promptTokens,
        chunk,
        rows: codecName(codec) === "f32" ? "f32" : "f16",
        steps,
        reread,
        cache: table,
        form: kvtc === undefined ? { _tag: "Plain" } : { _tag: "Kvtc", transforms: model.transforms?.digest ?? "", ...kvtc },
      };
      return E.right(
        await packFile({
          content,
          parts: [encodeRows({ _tag: "Plain", dtype: "f32" }, logits), bytesIn(Uint32Array.from(tokens)), ...stored.right],
        }),
      );
    }),
  );
};

/** What a file is expected to be. */
export interface LoadOptions {
  /** What errors call it. */
  readonly file: string;
  /** Refused unless the cache was made under this policy; default any. */
  readonly policy?: Policy;
}

/** The session of a file that {@link saveSession} made, in a model that is the same to the bit. Left: a file that is cut, changed, of another
 * kind or version, of another model, rotation, row format or policy, named by what differs; then nothing is allocated.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { openReference } from "../backends/reference/mod.ts";
 * import { knorm } from "../papers/mod.ts";
 * import { orThrow } from "../run/mod.ts";
 * import { continueFrom } from "./generate.ts";
 * import { inductionModel } from "./induction.ts";
 * import { openModel } from "./model.ts";
 * import { prefill } from "./session.ts";
 * await using backend = await orThrow(openReference());
 * await using model = await orThrow(openModel(backend, inductionModel()));
 * const read = await orThrow(prefill(model, knorm({ rows: 24 }))([256, ...new TextEncoder().encode("one fish, two fish, one")]));
 * const file = await orThrow(saveSession(read));
 * let text = "";
 * for (const session of [read, await orThrow(loadSession(model, { file: "fish.kv" })(file))]) {
 *   for await (const step of continueFrom(session, { maxNewTokens: 5 })) text += step.text;
 * }
 * assertEquals(text, " fish fish");
 * ```
 */
export const loadSession =
  (model: Model, { file, policy }: LoadOptions): (bytes: Uint8Array) => TE.TaskEither<KvError, Session> => (bytes) =>
    pipe(
      unpackFile(file, bytes),
      TE.chainEitherK(({ content, parts }) => E.map((read: Content) => ({ content: read, parts }))(inFile(file)(contentOf(content, "")))),
      TE.chain(({ content, parts }) => async () => {
        const plan = inFile(file)(planFor(model, content.policy, content.promptTokens, { chunk: content.chunk, codec: content.rows }));
        if (E.isLeft(plan)) return plan;
        const same = sameFingerprint(file, content.fingerprint, await fingerprintOf(model, plan.right), policy);
        if (E.isLeft(same)) return same;
        const fits = checkPlanned(file, content.cache, plan.right);
        if (E.isLeft(fits)) return fits;
        const logits = logitsOf(file, parts[0], model.spec.shape.vocab);
        if (E.isLeft(logits)) return logits;
        const tokens = tokensOf(file, parts[1], model.spec.shape);
        if (E.isLeft(tokens)) return tokens;
        const saved = await rowsOf(model, file, content, parts.slice(2));
        if (E.isLeft(saved)) return saved;
        const cache = putIn(model.memory, model.spec.shape, file)(saved.right);
        const { steps, chunk } = content;
        return E.map((held: Session["cache"]): Session => ({
          _tag: "Session",
          model,
          plan: plan.right,
          cache: held,
          logits: logits.right,
          likeliest: null,
          rowsRead: 0,
          tokens: tokens.right,
          reread: content.reread,
          steps,
          chunk,
          storedBytes: content.form._tag === "Kvtc" ? sizeOf(parts.slice(2)) : null,
        }))(cache);
      }),
    );

/** The rows, decoded where they are coefficients. */
async function rowsOf(
  model: Model,
  file: string,
  { cache: table, form }: Content,
  parts: ReadonlyArray<Uint8Array>,
): Promise<E.Either<KvError, SavedCache>> {
  const { shape } = model.spec;
  const wrong = (at: string, found: string, allowed: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at, found, allowed });
  if (table.nextPosition > shape.context) {
    return wrong("tokens of the cache", String(table.nextPosition), `at most the model's ${shape.context}`);
  }
  if (form._tag === "Plain") return E.right({ table, parts });
  const sound = checkTable(file, table, shape);
  if (E.isLeft(sound)) return sound;
  const coder = inFile(file)(coderFor(model, form));
  if (E.isLeft(coder)) return coder;
  if (model.transforms?.digest !== form.transforms) {
    return wrong("the transforms of kvtc (SHA-256)", form.transforms, `${model.transforms?.digest}, as here`);
  }
  return await decodeCache(coder.right, file)(table, parts)();
}

const text = string(100_000);
const wholeFrom = (from: number): Decoder<number> => (value, path) =>
  E.chain((n: number): E.Either<KvError, number> =>
    Number.isSafeInteger(n) && n >= from
      ? E.right(n)
      : E.left({ _tag: "InvalidPolicy", path, value: String(n), allowed: `a whole number from ${from}` })
  )(number(value, path));

const contentOf: Decoder<Content> = struct<Content>({
  kind: word("session"),
  fingerprint: struct<Fingerprint>({ model: text, weights: text, shape: text, rope: text, rows: text, policy: text, networks: text }),
  policy: (value) => policyFromJson(value),
  promptTokens: wholeFrom(1),
  chunk: wholeFrom(1),
  rows: word("f16", "f32"),
  steps: wholeFrom(0),
  reread: flag,
  cache: cacheTable,
  form: tagged<Form>({
    Plain: struct({ _tag: word("Plain") }),
    Kvtc: struct({ _tag: word("Kvtc"), transforms: text, ratio: number, sinks: wholeFrom(0), recent: wholeFrom(0) }),
  }),
});

/** What a decoder or the planner found wrong, as a fault of the file. */
const inFile = (file: string) => <A>(read: E.Either<KvError, A>): E.Either<KvError, A> =>
  E.mapLeft((error: KvError): KvError =>
    error._tag === "InvalidPolicy"
      ? { _tag: "InvalidFile", file, at: `table, ${error.path}`, found: error.value, allowed: error.allowed }
      : error._tag === "InvalidArgument"
      ? { _tag: "InvalidFile", file, at: `table, ${error.argument}`, found: error.value, allowed: error.allowed }
      : error
  )(read);

/** What a person calls the parts of a fingerprint. */
const NAMES: Readonly<Record<keyof Fingerprint, string>> = {
  model: "the model",
  weights: "the model's weights (SHA-256)",
  shape: "the model's shape",
  rope: "the rotation of keys",
  rows: "the row format",
  policy: "the policy",
  networks: "the networks that the policy scores with (SHA-256)",
};

function sameFingerprint(file: string, found: Fingerprint, here: Fingerprint, policy: Policy | undefined): E.Either<KvError, void> {
  const keys: ReadonlyArray<keyof Fingerprint> = ["model", "shape", "rope", "weights", "rows", "networks", "policy"];
  const odd = keys.find((key) => found[key] !== here[key]);
  const asked = policy === undefined || policy.text === here.policy;
  if (odd === undefined && asked) return E.right(undefined);
  const [at, allowed] = odd === undefined ? [NAMES.policy, policy?.text ?? ""] : [NAMES[odd], here[odd]];
  return E.left({ _tag: "InvalidFile", file, at, found: odd === undefined ? found.policy : found[odd], allowed: `${allowed}, as here` });
}

/** Right if this plan could have made such a cache: the same shares, and in every layer the same columns, pages, ring and codecs. */
function checkPlanned(file: string, { layers }: CacheTable, plan: PolicyPlan): E.Either<KvError, void> {
  const wrong = layers.findIndex((layer, l) => !madeBy(layer, plan.layers[l], l));
  return wrong < 0 ? E.right(undefined) : E.left({
    _tag: "InvalidFile",
    file,
    at: `layer ${wrong} of the cache`,
    found: "tiers that its policy does not make",
    allowed: `what ${plan.text} stores`,
  });
}

function madeBy(layer: LayerTable, plan: PolicyPlan["layers"][number] | undefined, l: number): boolean {
  if (plan === undefined) return false;
  if (layer._tag === "Alias") return plan.readsFrom === layer.layer && layer.layer !== l;
  const open = layer.tiers.filter(({ frozen }) => !frozen);
  const [tail, store] = [open[open.length - 1], open.length > 1 ? open[0] : undefined];
  const is = (tier: typeof tail, codecs: { readonly keyCodec: Codec; readonly valueCodec: Codec }): boolean =>
    tier !== undefined && tier.keys === codecName(codecs.keyCodec) && tier.values === codecName(codecs.valueCodec);
  // A ring that nothing looks at after the prompt has been given back.
  const ring = layer.recent === plan.recentQueries || (layer.recent === 0 && !plan.ringLasts);
  const judged = plan.store?.judged === true ? plan.columns.map(({ name }) => name) : [];
  return plan.readsFrom === l && ring && is(tail, plan) &&
    (plan.store === null ? store === undefined : is(store, plan.store) && store?.columns.join("\n") === judged.join("\n")) &&
    tail?.columns.join("\n") === plan.columns.map(({ name }) => name).join("\n") &&
    tail?.pages === (plan.pages?.rows ?? 0) && tail.labels === (plan.pages?.labels ?? null);
}

function logitsOf(file: string, bytes: Uint8Array | undefined, vocab: number): E.Either<KvError, Float32Array> {
  const wrong = (found: string): E.Either<KvError, never> =>
    E.left({ _tag: "InvalidFile", file, at: "the logits", found, allowed: `${vocab} finite numbers` });
  if (bytes?.length !== vocab * 4) return wrong(`${bytes?.length ?? 0} bytes`);
  const logits = new Float32Array(Uint8Array.from(bytes).buffer);
  return logits.every(Number.isFinite) ? E.right(logits) : wrong("a number that is not finite");
}

/** The ids that were read and decoded. */
function tokensOf(file: string, bytes: Uint8Array | undefined, { vocab, context }: ModelShape): E.Either<KvError, ReadonlyArray<number>> {
  const tokens = bytes === undefined || bytes.length % 4 !== 0 ? null : Array.from(new Uint32Array(Uint8Array.from(bytes).buffer));
  return tokens !== null && tokens.length <= context && tokens.every((id) => id < vocab)
    ? E.right(tokens)
    : E.left({ _tag: "InvalidFile", file, at: "the tokens", found: "other numbers", allowed: `at most ${context} ids below ${vocab}` });
}
