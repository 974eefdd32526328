/**
 * KVTC on a real cache: how fast 4,096 tokens of SmolLM2-135M are coded and decoded on one thread, and how small the file is. Speeds count
 * bytes of the whole cache in f16; the floor is the products at the peak of f32 and DEFLATE alone.
 * @module
 */
import { huffman } from "../cli/huffman.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { reachOf } from "../cache/bit_plan.ts";
import { fullBytes } from "../cache/bytes.ts";
import { openModel, prefill, saveSession } from "../model/mod.ts";
import { shippedTransforms } from "../model/shipped.ts";
import { codeCache, coderFor, decodeCache } from "../model/transform_code.ts";
import { readModelFile } from "../model/model_file.ts";
import { keepAll } from "../papers/mod.ts";
import { orThrow } from "../run/mod.ts";
import { takeOut } from "../run/save.ts";
import { measurePeaks } from "./peaks.ts";

/** One ratio. */
export interface KvtcSpeed {
  readonly ratio: number;
  readonly tokens: number;
  /** Bytes of the whole cache in f16, and of the saved file. */
  readonly bytesFull: number;
  readonly bytesFile: number;
  /** Megabytes of f16 a second. */
  readonly encode: number;
  readonly decode: number;
  /** What products at their peak and DEFLATE alone would allow when coding. */
  readonly floor: number;
}

/** The prompt's cache at each ratio; the best of `rounds`. */
export async function kvtcSpeeds(
  path: string,
  ids: ReadonlyArray<number>,
  ratios: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<KvtcSpeed>> {
  const { f32 } = await measurePeaks("fast", 1);
  await using backend = await orThrow(openWasm({ threads: 1 }));
  const file = await orThrow(readModelFile(path, await Deno.readFile(path)));
  const transforms = await orThrow(shippedTransforms(file));
  await using model = await orThrow(openModel(backend, file, transforms));
  const session = await orThrow(prefill(model, keepAll)(ids));
  const saved = await orThrow(takeOut(model.memory)(session.cache));
  const bytesFull = fullBytes(model.spec.shape, ids.length);
  const speeds: KvtcSpeed[] = [];
  for (const ratio of ratios) {
    const coding = { ratio, sinks: 4, recent: 128 };
    const coder = await orThrow(coderFor(model, coding));
    let [encode, decode, pack] = [Infinity, Infinity, 0];
    for (let round = 0; round < rounds; round++) {
      const start = performance.now();
      const counted = {
        ...coder,
        deflate: async (bytes: Uint8Array<ArrayBuffer>) => {
          const from = performance.now();
          const packed = await huffman(bytes);
          pack += performance.now() - from;
          return packed;
        },
      };
      pack = 0;
      const parts = await orThrow(codeCache(counted)(saved));
      const coded = performance.now();
      await orThrow(decodeCache(coder, "bench")(saved.table, parts));
      [encode, decode] = [Math.min(encode, coded - start), Math.min(decode, performance.now() - coded)];
    }
    const operations = coder.planned.reduce((sum, { transform, plan }) => sum + 2 * transform.width * reachOf(plan.groups) * ids.length, 0);
    const bytesFile = (await orThrow(saveSession(session, { kvtc: coding, deflate: huffman }))).length;
    const speed = (milliseconds: number): number => bytesFull / 1e3 / milliseconds;
    speeds.push({
      ratio,
      tokens: ids.length,
      bytesFull,
      bytesFile,
      encode: speed(encode),
      decode: speed(decode),
      floor: speed(operations / (f32 * 1e6) + pack),
    });
  }
  return speeds;
}
