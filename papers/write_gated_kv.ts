/**
 * Write-Gated KV: a small gate decides from a token's key, when it is made, whether its row may outlive the window of the newest.
 * @module
 */
import {
  admit,
  append,
  block,
  type Card,
  column,
  type Entry,
  gate,
  makes,
  onExit,
  over,
  param,
  type Policy,
  policy,
} from "../policy/mod.ts";
import { remember, showTerm, type Term } from "../policy/mod.ts";

/** Options of {@link writeGatedKv}. */
export interface WriteGatedKvOptions {
  /** Rows with a larger gate go on when they leave the window. */
  readonly threshold: number;
  /** Newest positions that are always there. */
  readonly window: number;
  /** First positions that always go on; the paper has none, its gates learn to let them through. */
  readonly sinks: number;
}

const term: Term<WriteGatedKvOptions> = {
  name: "wgkv",
  about:
    "rows outlive the window only if their gate admits them when they are made; when memory must stay small while reading, and the model has gates",
  params: {
    threshold: param.real("threshold"),
    window: param.count("window", 1, 65536),
    sinks: param.count("sinks", 0, 65536),
  },
  defaults: { threshold: 0.1, window: 256, sinks: 0 },
};

const make = (o: WriteGatedKvOptions): Policy => {
  // Admission is strict, and gates are f32 and at most 1: larger than the threshold is from the next number on.
  const from = over(Math.min(o.threshold, 1), 0);
  const gates = block(append, [remember({ name: "gate", by: "set" })(gate("wgkv"))]);
  return policy(showTerm(term)(o), [
    gates,
    block(onExit(o.window), [admit(from.value, o.sinks)(column("gate"))]),
  ]);
};

/** Write-Gated KV (arXiv 2512.17452): visible are the newest `window` positions and, of the older, rows with a gate > threshold, per KV head.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(writeGatedKv({ threshold: 0.2 }).text, "wgkv(0.2)");
 * ```
 */
export const writeGatedKv = (options: Partial<WriteGatedKvOptions> = {}): Policy => make({ ...term.defaults, ...options });

/** `wgkv(threshold, window=, sinks=)` in text. */
export const entry: Entry = makes(term, make);

/** What this is. */
export const card: Card = {
  name: term.name,
  title: "KV Admission: Learning What to Write for Efficient Long-Context Inference",
  arxiv: "2512.17452",
  venue: "EMNLP 2026; followed through EMCLab-Sinica/WG-KV, nothing copied",
  defaults: "threshold 0.1, window 256, no sinks: the authors' code",
  departures: [
    "rows leave after each chunk of a prompt: within a chunk queries also see what leaves with it; chunks of one token are the paper's rule",
    "the gates for SmolLM2 are trained layer by layer, the authors' through the whole model (surrogates/wgkv.md)",
    "selection and eviction are policies of their own: wgkv+quest(1024), wgkv+snapkv(50%)",
  ],
  example: "wgkv(0.1)",
};
