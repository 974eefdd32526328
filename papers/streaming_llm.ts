/**
 * StreamingLLM: attention sinks and a window of recent rows.
 * @module
 */
import { afterPrefill, type Budgeted, type Card, constructs, type Entry, evict, makes, param, pipe, type Policy } from "../policy/mod.ts";
import { position, rows, showTerm, type Sized, type Term } from "../policy/mod.ts";

/** Options of {@link streamingLlm} beside its size, which counts the sinks. */
export interface StreamingLlmOptions {
  /** First positions that always stay. */
  readonly sinks: number;
  /** Also slide while decoding. */
  readonly decode: boolean;
}

const term: Term<Budgeted<StreamingLlmOptions>> = {
  name: "streamingllm",
  about: "keeps the first rows (attention sinks) and the newest; for endless text where only the recent past matters",
  params: { budget: param.size, sinks: param.count("sinks", 0, param.maxRows), decode: param.flag("decode") },
  defaults: { budget: rows(2004), sinks: 4, decode: true },
};

const make = (o: Budgeted<StreamingLlmOptions>): Policy =>
  pipe(position, evict({ budget: o.budget, protect: { sinks: o.sinks, recent: 0 } }), afterPrefill(showTerm(term)(o), o.decode));

/** StreamingLLM (arXiv 2309.17453, section 3.2): with a budget of B, the first `sinks` rows and the last B - sinks stay.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(streamingLlm({ rows: 512, sinks: 1 }).text, "streamingllm(512, sinks=1)");
 * ```
 */
export const streamingLlm: (options?: Sized<StreamingLlmOptions>) => Policy = constructs(term, make);

/** `streamingllm(rows, sinks=, decode=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "Efficient Streaming Language Models with Attention Sinks",
  arxiv: "2309.17453",
  venue: "ICLR 2024; authors' code MIT",
  defaults: "4 sinks and 2000 recent rows: the authors' run_streaming_llama.py",
  departures: [
    "rows keep their true positions, where the authors rotate keys by their slot in the cache",
    "the window slides once after prefill and then after every token; under |streaming after every chunk too",
  ],
  example: "streamingllm(1024)|streaming",
};
