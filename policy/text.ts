/**
 * The short text form of policies. Grammar (spaces are free between tokens):
 *
 * ```text
 * policy = chain *( "+" chain )                    a+b: first a, then b
 * chain  = first *( "|" call )                     a|r: the rewrite r of a; binds tighter than +
 * first  = call / "(" policy ")"
 * call   = name [ "(" [ arg *( "," arg ) ] ")" ]
 * arg    = [ name "=" ] value                      positional arguments before named ones
 * value  = atom / "[" [ atom *( "," atom ) ] "]"
 * name   = letter *( letter / digit / "_" )
 * atom   = 1*( letter / digit / "_" / "." / "%" / "/" / ":" / "-" )
 * ```
 *
 * `snapkv(256, window=16)|ada(20%)|streaming + h2o(25%)|layers(2..)` is two chains. Names and their arguments come from a registry.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { and } from "./policy.ts";
import { suggest } from "./suggest.ts";
import type { Argument, Entry, Made, Registry, TermError } from "./term.ts";
import type { Written } from "./param.ts";
import type { Policy } from "./types.ts";
import { maxText, validatePolicy } from "./validate.ts";

/** Brackets may nest this deep. */
const maxDepth = 16;

/** What was read, and where reading goes on. */
interface Step<A> {
  readonly value: A;
  readonly at: number;
}

type Parsed<A> = E.Either<TermError, Step<A>>;

/** What a parse works on: the source and the names it may use. */
interface Context {
  readonly source: string;
  readonly registry: Registry;
}

/** Reads the short text form. Every Left carries the source and the 1-based column where it went wrong (one past the end
 * for text that stops too early), and names the nearest known name for an unknown one.
 *
 * ```ts
 * import { assert, assertEquals } from "@std/assert";
 * import * as E from "fp-ts/Either.js";
 * import { registry } from "../papers/mod.ts";
 * const parsed = parsePolicyWith(registry)("snapkv(rows = 256) | ada(0.2) + knorm");
 * assert(E.isRight(parsed));
 * assertEquals(parsed.right.text, "snapkv(256)|ada(20%)+knorm(50%)");
 * const wrong = parsePolicyWith(registry)("knrm(256)");
 * assertEquals(E.isLeft(wrong) && wrong.left._tag === "InvalidPolicy" && wrong.left.column, 1);
 * ```
 */
export const parsePolicyWith = (registry: Registry): (source: string) => E.Either<KvError, Policy> => (source) => {
  if (source.length > maxText) {
    const kept = source.slice(0, maxText);
    return E.left(located(kept)({ path: "text", column: maxText, value: `${source.length} characters`, allowed: `at most ${maxText}` }));
  }
  const parsed = E.chain(({ value, at }: Step<Policy>) => {
    const end = skip(source, at);
    if (end !== source.length) return E.left(unexpected(source, end, '"+", "|" or the end'));
    return E.map((whole: Step<Policy>) => whole.value)(checked(value, source, 0, end));
  })(readSum({ source, registry }, 0, 0));
  return E.mapLeft(located(source))(parsed);
};

const located = (source: string) => ({ path, column, value, allowed }: TermError): KvError => ({
  _tag: "InvalidPolicy",
  path,
  value,
  allowed,
  column,
  source,
});

function readSum(context: Context, start: number, depth: number): Parsed<Policy> {
  let sum = readChain(context, start, depth);
  while (E.isRight(sum)) {
    const { value: first, at } = sum.right;
    const plus = skip(context.source, at);
    if (context.source[plus] !== "+") return sum;
    sum = E.map(({ value, at }: Step<Policy>) => ({ value: and(value)(first), at }))(
      readChain(context, plus + 1, depth),
    );
  }
  return sum;
}

function readChain(context: Context, start: number, depth: number): Parsed<Policy> {
  const begin = skip(context.source, start);
  let chain = readFirst(context, begin, depth);
  while (E.isRight(chain)) {
    const { value: of, at } = chain.right;
    const bar = skip(context.source, at);
    if (context.source[bar] !== "|") return chain;
    const from = skip(context.source, bar + 1);
    const call = readCall(context, from, "rewrite");
    if (E.isLeft(call)) return call;
    const { value: made, at: end } = call.right;
    chain = made._tag === "Rewrite" ? checked(made.rewrite(of), context.source, from, end) : chain;
  }
  return chain;
}

function readFirst(context: Context, at: number, depth: number): Parsed<Policy> {
  const { source } = context;
  if (source[at] !== "(") {
    const call = readCall(context, at, "policy");
    if (E.isLeft(call)) return call;
    const { value: made, at: end } = call.right;
    return made._tag === "Policy" ? checked(made.policy, source, at, end) : E.left(unexpected(source, at, "a policy"));
  }
  if (depth >= maxDepth) return E.left(unexpected(source, at, `at most ${maxDepth} brackets inside each other`));
  const inner = readSum(context, at + 1, depth + 1);
  if (E.isLeft(inner)) return inner;
  const close = skip(source, inner.right.at);
  return source[close] === ")"
    ? E.right({ value: inner.right.value, at: close + 1 })
    : E.left(unexpected(source, close, '"+", "|" or ")"'));
}

/** A policy that text can say but that means nothing is an error at the call that made it so. */
function checked(policy: Policy, source: string, from: number, end: number): Parsed<Policy> {
  const valid = validatePolicy(policy);
  if (E.isRight(valid)) return E.right({ value: policy, at: end });
  const { left } = valid;
  const why = left._tag === "InvalidPolicy"
    ? left
    : { path: "policy", value: source.slice(from, end), allowed: "a policy that means something" };
  // Text has calls where the data has blocks and verbs.
  const path = why.path.replace(/^blocks\[\d+\]\./, "").replace(/^verbs\[\d+\]\./, "");
  return E.left({ path, value: why.value, allowed: why.allowed, column: from + 1 });
}

function readCall(context: Context, at: number, kind: Entry["kind"]): Parsed<Made> {
  const { source, registry } = context;
  const name = /^[A-Za-z][A-Za-z0-9_]*/.exec(source.slice(at, at + 64))?.[0];
  if (name === undefined) {
    return E.left(unexpected(source, at, kind === "policy" ? 'the name of a policy or "("' : "the name of a rewrite"));
  }
  const entry = registry.find((e) => e.name === name && e.kind === kind);
  if (entry === undefined) {
    const other = registry.some((e) => e.name === name);
    const known = suggest(name, registry.filter((e) => e.kind === kind).map((e) => e.name));
    const allowed = !other
      ? known
      : kind === "policy"
      ? `${known} ("${name}" goes after a bar: knorm|${name})`
      : `${known} ("${name}" joins with +)`;
    return E.left({ path: kind === "policy" ? "term" : kind, column: at + 1, value: name, allowed });
  }
  const open = skip(source, at + name.length);
  const args: Parsed<ReadonlyArray<Argument>> = source[open] === "("
    ? readList(source, open + 1, ")", readArgument)
    : E.right({ value: [], at: at + name.length });
  return E.chain((list: Step<ReadonlyArray<Argument>>) => E.map((made: Made) => ({ value: made, at: list.at }))(entry.read(list.value)))(
    args,
  );
}

function readArgument(source: string, at: number): Parsed<Argument> {
  const named = /^([A-Za-z][A-Za-z0-9_]*)\s*=/.exec(source.slice(at, at + 128));
  const from = named === null ? at : skip(source, at + named[0].length);
  return E.map(({ value, at: end }: Step<Written>) => ({
    value: { name: named?.[1] ?? null, column: at + 1, value },
    at: end,
  }))(readValue(source, from));
}

function readValue(source: string, at: number): Parsed<Written> {
  if (source[at] !== "[") {
    return E.map(({ value, at: end }: Step<string>) => ({
      value: { text: value, items: null, column: at + 1 },
      at: end,
    }))(readAtom(source, at));
  }
  return E.map(({ value, at: end }: Step<ReadonlyArray<string>>) => ({
    value: { text: source.slice(at, end), items: value, column: at + 1 },
    at: end,
  }))(readList(source, at + 1, "]", readAtom));
}

function readAtom(source: string, at: number): Parsed<string> {
  const sticky = /[A-Za-z0-9_.%/:-]+/y;
  sticky.lastIndex = at;
  const text = sticky.exec(source)?.[0];
  return text === undefined
    ? E.left(unexpected(source, at, "a number, a share or a word"))
    : E.right({ value: text, at: at + text.length });
}

/** Items between commas up to the closing bracket; none is fine. */
function readList<A>(
  source: string,
  start: number,
  close: string,
  readItem: (source: string, at: number) => Parsed<A>,
): Parsed<ReadonlyArray<A>> {
  const items: A[] = [];
  let at = skip(source, start);
  if (source[at] === close) return E.right({ value: items, at: at + 1 });
  while (true) {
    const item = readItem(source, at);
    if (E.isLeft(item)) return item;
    items.push(item.right.value);
    at = skip(source, item.right.at);
    if (source[at] === close) return E.right({ value: items, at: at + 1 });
    if (source[at] !== ",") return E.left(unexpected(source, at, `"," or "${close}"`));
    at = skip(source, at + 1);
  }
}

/** Past spaces. */
function skip(source: string, at: number): number {
  let i = at;
  while (source[i] === " " || source[i] === "\t" || source[i] === "\n" || source[i] === "\r") i++;
  return i;
}

const unexpected = (source: string, at: number, allowed: string): TermError => ({
  path: "text",
  column: at + 1,
  value: source.codePointAt(at) === undefined ? "the end" : String.fromCodePoint(source.codePointAt(at) ?? 0),
  allowed,
});
