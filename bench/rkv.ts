/**
 * What R-KV costs while text is decoded: it chooses its 1,024 rows anew after every 128 tokens, and that step is compared with the plain
 * ones around it. SmolLM2-135M after 1,536 tokens of a prompt, so that the budget is full from the first token on.
 * @module
 */
import { openWasm } from "../backends/wasm/mod.ts";
import { median } from "../eval/speeds.ts";
import { disposeSession, openModel, prefill, type Session, step } from "../model/mod.ts";
import { rKv } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { THREADS } from "./run_model.ts";

/** Medians over rounds of {@link BUFFER} steps, the first of which, with its preparation of programs, is left out. */
export interface RkvCost {
  readonly threads: number;
  /** Choices that were measured. */
  readonly choices: number;
  /** A step that appends and attends alone: the median one of a round. */
  readonly plainMilliseconds: number;
  /** What the step that chooses and the one after it, which finds its rows moved, take above two plain ones. */
  readonly extraMilliseconds: number;
  /** The extra time over that of {@link BUFFER} plain steps. */
  readonly share: number;
  /** The extra time of the first choice, once for each text: it also prepares the program. */
  readonly firstMilliseconds: number;
}

/** Tokens between two choices, and before the first. */
export const BUFFER = 128;
const [BUDGET, PROMPT] = [1024, 1536];

/** Tokens that {@link rkvCosts} reads and decodes for so many choices: one round for the first choice, and a step after the last. */
export const rkvTokens = (choices: number): number => PROMPT + (choices + 1) * BUFFER + 1;

/** The model in the file `path`, with one thread and with {@link THREADS}, on the first {@link rkvTokens} of the ids. */
export async function rkvCosts(path: string, ids: ReadonlyArray<number>, choices: number): Promise<ReadonlyArray<RkvCost>> {
  const costs: RkvCost[] = [];
  for (const threads of [1, THREADS]) {
    const [first, ...rest] = await timeRounds(threads, path, ids.slice(0, rkvTokens(choices)));
    costs.push({
      threads,
      choices: rest.length,
      plainMilliseconds: median(rest.map(({ plain }) => plain)),
      extraMilliseconds: median(rest.map(({ extra }) => extra)),
      share: median(rest.map(({ plain, extra }) => extra / (BUFFER * plain))),
      firstMilliseconds: first?.extra ?? NaN,
    });
  }
  return costs;
}

/** Milliseconds of each round: plain steps of the round itself, because the speed of a machine changes. */
async function timeRounds(
  threads: number,
  path: string,
  ids: ReadonlyArray<number>,
): Promise<ReadonlyArray<{ readonly plain: number; readonly extra: number }>> {
  await using backend = await orThrow(openWasm({ threads }));
  await using model = await orThrow(openModel(backend, path));
  let session: Session = await orThrow(prefill(model, rKv({ rows: BUDGET, buffer: BUFFER }))(ids.slice(0, PROMPT)));
  const times: number[] = [];
  for (const token of ids.slice(PROMPT)) {
    const start = performance.now();
    session = await orThrow(step(token, "token")(session));
    times.push(performance.now() - start);
  }
  await orThrow(disposeSession(session));
  return Array.from({ length: Math.floor(times.length / BUFFER) }, (_, round) => {
    const plain = median(times.slice(round * BUFFER + 1, (round + 1) * BUFFER - 1));
    const [choosing = NaN, after = NaN] = times.slice((round + 1) * BUFFER - 1);
    return { plain, extra: choosing + after - 2 * plain };
  });
}
