/**
 * RocketKV: SnapKV once after the prompt, then every query reads what bounds over few channels promise.
 * @module
 */
import { attention, block, type Card, type Entry, evict, lastQueries, makes, pageBound, param, pipe, type Policy } from "../policy/mod.ts";
import { policy, pool, prefillEnd, type Ratio, rows, select, showTerm, step, type Term } from "../policy/mod.ts";

/** Options of {@link rocketKv}. */
export interface RocketKvOptions {
  /** Rows' worth of memory traffic per KV head and decoded token, half of it for finding the other half. */
  readonly tokens: number;
  /** Tokens of prompt and answer together, for which the split is made. */
  readonly length: number;
  /** Tokens of the answer. */
  readonly answer: number;
  /** Queries that vote at the end of the prompt; their own rows stay. */
  readonly window: number;
  /** Odd width of the max pooling of votes. */
  readonly kernel: number;
}

export const term: Term<RocketKvOptions> = {
  name: "rocketkv",
  about: "evicts once after the prompt, then reads few of the survivors per token; when prompts are long and memory traffic is what counts",
  params: {
    tokens: param.count("tokens", 16, 2 ** 20),
    length: param.count("length", 16, 2 ** 24),
    answer: param.count("answer", 0, 2 ** 20),
    window: param.count("window", 1, 4096),
    kernel: param.odd("kernel", 1023),
  },
  defaults: { tokens: 256, length: 4096, answer: 128, window: 32, kernel: 63 },
};

/** Rows that stay of the prompt, rows per page, rows that are read, share of channels that bounds are read of. */
export type RocketKvSplit = Readonly<Record<"survivors" | "page" | "read", number> & { channels: Ratio }>;

/** How compression is split between the stages (arXiv 2502.14051, section 3.6).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const { survivors, page, read } = split({ tokens: 512, length: 32768, answer: 128, window: 32, kernel: 63 });
 * assertEquals([survivors, page, read], [3063, 3, 256]);
 * ```
 */
export function split({ tokens, length, answer, window }: RocketKvOptions): RocketKvSplit {
  const compression = Math.max(1, length / tokens);
  const capacity = Math.floor(length / compression ** Math.min(0.2 + 0.06 * Math.log2(compression), 0.8));
  const second = Math.max(1, capacity / tokens);
  const page = Math.min(Math.floor(second), Math.ceil(Math.sqrt(second)));
  const channels = { numerator: Math.min(page * tokens, capacity), denominator: capacity };
  return { survivors: Math.max(window, capacity - answer), page, channels, read: Math.min(Math.round(tokens / 2), capacity) };
}

const make = (o: RocketKvOptions): Policy => {
  const { survivors, page, channels, read } = split(o);
  const votes = pipe(attention(lastQueries(o.window), "sum", "sum"), pool({ by: "max", size: o.kernel, dropLast: o.window }));
  return policy(showTerm(term)(o), [
    block(prefillEnd, [pipe(votes, evict({ budget: rows(survivors), protect: { sinks: 0, recent: o.window } }))]),
    block(step, [pipe(pageBound(page, "softmax", { channels }), select(rows(read)))]),
  ]);
};

/** RocketKV (arXiv 2502.14051 v3, sections 3.3 to 3.6): stage one evicts, stage two is hybrid sparse attention. */
export const rocketKv = (options: Partial<RocketKvOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `rocketkv(tokens, length=, answer=, window=, kernel=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "RocketKV: Accelerating Long-Context LLM Inference via Two-Stage KV Cache Compression",
  arxiv: "2502.14051",
  venue: "ICML 2025; authors' code in NVlabs/RocketKV, nothing copied",
  defaults: "window 32, kernel 63, traffic halved between search and attention: the paper; rounding as in its speed code",
  departures: ["the window ends with the prompt; in the authors' evaluation one token before"],
  example: "rocketkv(256)",
};
