/**
 * KVTC on a real cache: how fast 4,096 tokens of SmolLM2-135M are coded and decoded on one thread, and how small the file is. Speeds count
 * bytes of the whole cache in f16. The floor is the products at the peak of their kind, of f32 or of bytes; the products alone are what the
 * kernels make of them here.
 * @module
 */
import { cpuUsage } from "node:process";
import { openWasm } from "../backends/wasm/mod.ts";
import { NONE } from "../backends/program.ts";
import { reachOf } from "../cache/bit_plan.ts";
import { fullBytes } from "../cache/bytes.ts";
import { openModel, prefill, saveSession } from "../model/mod.ts";
import { shippedTransforms } from "../model/shipped.ts";
import { codeCache, type Coder, coderFor, decodeCache } from "../model/transform_code.ts";
import { componentRows, componentsOf } from "../model/transform_components.ts";
import { TILE } from "../model/transform_rows.ts";
import { withStage } from "../model/transform_stage.ts";
import { readModelFile } from "../model/model_file.ts";
import { keepAll } from "../papers/mod.ts";
import { bound, emit, emptyDraft, finish, weight } from "../plan/draft.ts";
import { orThrow } from "../run/mod.ts";
import { type SavedCache, takeOut } from "../run/save.ts";
import { measurePeaks } from "./peaks.ts";

/** One ratio. */
export interface KvtcSpeed {
  readonly ratio: number;
  readonly tokens: number;
  /** Bytes of the whole cache in f16, and of the saved file. */
  readonly bytesFull: number;
  readonly bytesFile: number;
  /** Megabytes of f16 a second, by the clock. */
  readonly encode: number;
  readonly decode: number;
  /** The same by the processor's time of the whole process, which counts what engines do on other threads. */
  readonly encodeCpu: number;
  readonly decodeCpu: number;
  /** The same if there were nothing but the products of coding. */
  readonly products: number;
  /** And these at the peak of their kind. */
  readonly floor: number;
}

/** Milliseconds by the clock and of the processor. */
interface Spent {
  readonly wall: number;
  readonly cpu: number;
}

async function timed<A>(work: () => Promise<A>): Promise<readonly [A, Spent]> {
  const [start, before] = [performance.now(), cpuUsage()];
  const result = await work();
  const { user, system } = cpuUsage(before);
  return [result, { wall: performance.now() - start, cpu: (user + system) / 1000 }];
}

const least = (spent: ReadonlyArray<Spent>): Spent => ({
  wall: Math.min(...spent.map(({ wall }) => wall)),
  cpu: Math.min(...spent.map(({ cpu }) => cpu)),
});

/** Milliseconds of the products of coding so many tokens, tile by tile as coding runs them. */
async function productsAlone({ memory, planned }: Coder, tokens: number): Promise<number> {
  let milliseconds = 0;
  for (const { transform, plan } of planned) {
    const [n, k] = [reachOf(plan.groups), transform.width];
    const [x, d1] = bound("x")(emptyDraft);
    const [w, d2] = weight("components")(d1);
    const [out, d3] = bound("out")(d2);
    const program = finish("products")(emit({ op: "matmul", args: [x, w, NONE, out], params: { m: TILE, n, k, accumulate: false } })(d3));
    const parts = {
      program,
      weights: [componentRows("components", componentsOf(transform, plan), { from: 0, to: k })],
      buffers: [{ label: "x", content: TILE * k * 4 }, { label: "out", content: TILE * n * 4 }],
    };
    await orThrow(withStage(memory, parts, (stage) => async () => {
      const start = performance.now();
      for (let first = 0; first < tokens; first += TILE) stage.run();
      milliseconds += performance.now() - start;
      return await Promise.resolve(stage.run());
    }));
  }
  return milliseconds;
}

/** Both ways, so many times; the best of each. */
async function bothWays(coder: Coder, saved: SavedCache, rounds: number): Promise<readonly [encode: Spent, decode: Spent]> {
  const [encode, decode]: [Spent[], Spent[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const [parts, coding] = await timed(() => orThrow(codeCache(coder)(saved)));
    const [, back] = await timed(() => orThrow(decodeCache(coder, "bench")(saved.table, parts)));
    encode.push(coding);
    decode.push(back);
  }
  return [least(encode), least(decode)];
}

/** The prompt's cache at each ratio; the best of `rounds`. */
export async function kvtcSpeeds(
  path: string,
  ids: ReadonlyArray<number>,
  ratios: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<KvtcSpeed>> {
  const peaks = await measurePeaks("fast", 1);
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const file = await orThrow(readModelFile(path, await Deno.readFile(path)));
  const transforms = await orThrow(shippedTransforms(file));
  await using model = await orThrow(openModel(backend, file, transforms));
  const session = await orThrow(prefill(model, keepAll)(ids));
  const saved = await orThrow(takeOut(model.memory)(session.cache));
  const bytesFull = fullBytes(model.spec.shape, ids.length);
  const speed = (milliseconds: number): number => bytesFull / 1e3 / milliseconds;
  const speeds: KvtcSpeed[] = [];
  for (const ratio of ratios) {
    const coding = { ratio, sinks: 4, recent: 128 };
    const coder = await orThrow(coderFor(model, coding));
    const [encode, decode] = await bothWays(coder, saved, rounds);
    const coded = ids.length - coding.sinks - coding.recent;
    let products = Infinity;
    for (let round = 0; round < rounds; round++) products = Math.min(products, await productsAlone(coder, coded));
    const atPeak = coder.planned.reduce((sum, { transform, plan }) => {
      const { type, reach } = componentsOf(transform, plan);
      return sum + 2 * transform.width * reach * coded / (peaks[type === "F32" ? "f32" : "int8"] * 1e6);
    }, 0);
    speeds.push({
      ratio,
      tokens: ids.length,
      bytesFull,
      bytesFile: (await orThrow(saveSession(session, { kvtc: coding }))).length,
      encode: speed(encode.wall),
      decode: speed(decode.wall),
      encodeCpu: speed(encode.cpu),
      decodeCpu: speed(decode.cpu),
      products: speed(products),
      floor: speed(atPeak),
    });
  }
  return speeds;
}
