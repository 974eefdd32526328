/**
 * Stand-in for `@std/cli/parse-args` where JSR cannot be reached: the same name, and of its options those that take a
 * declared set of names, built on `node:util`.
 * @module
 */
import { parseArgs as tokenize } from "node:util";

/** What `@std/cli` gives: positionals in `_`, what follows `--` in `"--"`, and one property per option that is known. */
export interface Args {
  _: (string | number)[];
  "--"?: string[];
  [option: string]: unknown;
}

/** The part of the options of `@std/cli` that the stand-in has. */
export interface ParseOptions {
  /** Keep what follows `--` apart, in the property `"--"`. */
  "--"?: boolean;
  /** Option name to its other name or names. */
  alias?: Record<string, string | readonly string[]>;
  /** Options that take no value. */
  boolean?: readonly string[] | string;
  /** Options that take a value. */
  string?: readonly string[] | string;
  /** Options that may be repeated: their value is a list. */
  collect?: readonly string[] | string;
  /** Boolean options that `--no-name` turns off. */
  negatable?: readonly string[] | string;
  /** Values of options that are not given. */
  default?: Record<string, unknown>;
  /** Called for every argument that no option declares; `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

const listOf = (names: readonly string[] | string | undefined): readonly string[] =>
  names === undefined ? [] : typeof names === "string" ? [names] : names;

/** A copy of `args` with `value` under every spelling of `key`. */
function assign(args: Args, options: ParseOptions, spellings: readonly string[], value: unknown): Args {
  const collected = listOf(options.collect).some((name) => spellings.includes(name));
  const next = (spelling: string): unknown => {
    const before = args[spelling];
    return collected ? [...(Array.isArray(before) ? before : []), value] : value;
  };
  return { ...args, ...Object.fromEntries(spellings.map((spelling) => [spelling, next(spelling)])) };
}

const isNumber = (text: string): boolean => /^0x[0-9a-f]+$/i.test(text) || /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text);

/** Value of an option: text where it was declared `string`, else as `@std/cli` reads it. */
function valueOf(raw: string | undefined, isString: boolean, isBoolean: boolean): unknown {
  if (isString) return raw ?? "";
  if (isBoolean) return raw !== "false";
  return raw === undefined ? true : isNumber(raw) ? Number(raw) : raw;
}

/** Which options are declared, under any of their spellings. */
interface Declared {
  readonly spell: (key: string) => readonly string[];
  readonly has: (names: readonly string[] | string | undefined, key: string) => boolean;
}

function declaredBy(options: ParseOptions): Declared {
  const groups = Object.entries(options.alias ?? {}).map(([name, other]) => [name, ...listOf(other)]);
  const bySpelling = new Map(groups.flatMap((group) => group.map((spelling) => [spelling, group] as const)));
  const spell = (key: string): readonly string[] => bySpelling.get(key) ?? [key];
  return { spell, has: (names, key) => listOf(names).some((name) => spell(name).includes(key)) };
}

type Token = NonNullable<ReturnType<typeof tokenize>["tokens"]>[number];

function tokensOf(argv: readonly string[], options: ParseOptions, { spell }: Declared): readonly Token[] {
  const strings = listOf(options.string).flatMap(spell).filter((name) => name.length > 0);
  const config = strings.map((name) => [name, { type: "string" as const, ...(name.length === 1 ? { short: name } : {}) }] as const);
  return tokenize({ args: [...argv], options: Object.fromEntries(config), strict: false, allowPositionals: true, tokens: true }).tokens ??
    [];
}

/** `args` with one positional more; `past` says that it stands behind `--`. */
function withPositional(args: Args, text: string, past: boolean, options: ParseOptions): Args {
  if (past && options["--"] === true) return { ...args, "--": [...(args["--"] ?? []), text] };
  if (options.unknown !== undefined && options.unknown(text) === false) return args;
  const asNumber = !past && isNumber(text) && !listOf(options.string).includes("_");
  return { ...args, _: [...args._, asNumber ? Number(text) : text] };
}

/** `args` with one option more. */
function withOption(args: Args, token: Token & { kind: "option" }, options: ParseOptions, { spell, has }: Declared): Args {
  const off = token.name.startsWith("no-") && has(options.negatable, token.name.slice(3));
  const key = off ? token.name.slice(3) : token.name;
  const [isString, isBoolean] = [has(options.string, key), has(options.boolean, key)];
  const value = off ? false : valueOf(token.value, isString, isBoolean);
  const known = isString || isBoolean || spell(key).length > 1 || has(options.collect, key);
  if (!known && options.unknown !== undefined && options.unknown(token.rawName, key, value) === false) return args;
  return assign(args, options, spell(key), value);
}

/** Reads command-line arguments.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const args = parseArgs(["compare", "--policy", "knorm(8)", "--json", "a.txt"], { string: ["policy"], boolean: ["json"] });
 * assertEquals(args, { _: ["compare", "a.txt"], policy: "knorm(8)", json: true });
 * ```
 */
export function parseArgs(argv: readonly string[], options: ParseOptions = {}): Args {
  const declared = declaredBy(options);
  const tokens = tokensOf(argv, options, declared);
  const end = tokens.find((token) => token.kind === "option-terminator")?.index ?? Infinity;
  const read = (args: Args, token: Token): Args =>
    token.kind === "option"
      ? withOption(args, token, options, declared)
      : token.kind === "positional"
      ? withPositional(args, token.value, token.index > end, options)
      : args;
  const fill = (names: readonly string[] | string | undefined, value: unknown) =>
    Object.fromEntries(listOf(names).flatMap(declared.spell).map((name) => [name, value]));
  const given = tokens.reduce(read, { _: [] });
  const defaults = Object.entries(options.default ?? {}).flatMap(([name, value]) =>
    declared.spell(name).map((spelling) => [spelling, value])
  );
  return { ...fill(options.boolean, false), ...fill(options.collect, []), ...Object.fromEntries(defaults), ...given };
}
