/**
 * The benches (`deno task bench`): every op against the peaks of the machine, appends, and the whole model against native
 * llama.cpp and against wllama in Chromium. `--help` lists the options.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { openReference } from "../backends/reference/mod.ts";
import type { Build } from "../backends/wasm/instance.ts";
import { openWasm } from "../backends/wasm/mod.ts";
import { resolveModel } from "../cli/catalogue.ts";
import { fetchAddress } from "../cli/documents.ts";
import { median } from "../eval/speeds.ts";
import { readModelFile } from "../model/mod.ts";
import { orThrow } from "../run/mod.ts";
import { timeAppends } from "./appends.ts";
import { benchCases } from "./cases.ts";
import { type EndToEnd, endToEnd } from "./end_to_end.ts";
import { type KvtcSpeed, kvtcSpeeds } from "./kvtc.ts";
import { type KvzapCost, kvzapCosts } from "./kvzap.ts";
import { measurePeaks, openPeaks, type Peaks } from "./peaks.ts";
import type { Prompt } from "./peers/wllama_page.ts";
import { type RkvCost, rkvCosts, rkvTokens } from "./rkv.ts";
import { type OpTiming, runByRun, timeCase } from "./run_case.ts";
import type { Speed } from "./run_model.ts";
import { joined } from "./time.ts";
import { benchWebGpu } from "./webgpu.ts";

const quiet = { env: (name: string) => Deno.env.get(name), progress: () => {} };

/** An op with the share of the limit it runs into, and of another one where both are near. */
interface OpResult extends OpTiming {
  readonly threads: number;
  readonly limit: string;
  readonly share: number;
  readonly also: { readonly limit: string; readonly share: number } | null;
}

/** Threads that a table of ops is for, the parallel one with the attention alone: whether it keeps up with memory depends on how many read. */
const tables: ReadonlyArray<{ readonly build: Build; readonly threads: number }> = [
  { build: "fast", threads: 1 },
  { build: "simd128", threads: 1 },
  { build: "fast", threads: 2 },
];

/** Parts of the time that an op gets. A machine that others use too is fast in one second and slow in the next, so the peak of one thread is read
 * after each part, and the share is the median of what the parts give. */
const PARTS = 8;
/** Seconds that two threads run an op before it is timed: until the engine has compiled it well, and it is known whether one thread is faster. */
const WARM = 1;

async function ops(build: Build, threads: number, peaks: Peaks, seconds: number): Promise<ReadonlyArray<OpResult>> {
  await using backend = await orThrow(openWasm({ build, threads }));
  await using oracle = await orThrow(openReference());
  const results: OpResult[] = [];
  const readings = await openPeaks(build);
  for (const bench of benchCases().filter(({ name }) => threads === 1 || name.startsWith("attend 1 query"))) {
    const limits = bench.also === undefined ? [bench.limit] : [bench.limit, bench.also];
    const shares = limits.map((limit) => ({ limit, of: [] as number[] }));
    const timing = await timeCase(backend, oracle, bench, (open) => {
      runByRun(threads === 1 ? seconds : WARM)(open);
      const parts = Array.from({ length: PARTS }, () => {
        const part = runByRun(seconds / PARTS)(open);
        for (const { limit, of } of shares) {
          const work = (limit === "read" ? bench.bytes : bench.operations) / 1e9;
          of.push(work / part.median / (threads === 1 ? readings[limit]() : peaks[limit]));
        }
        return part;
      });
      return joined(parts);
    });
    const [first, also = null] = shares.map(({ limit, of }) => ({ limit, share: median(of) }));
    if (first !== undefined) results.push({ ...timing, threads, ...first, also });
  }
  return results;
}

/** So many tokens of a real text, and the model that they are for. `decode` is their text. */
async function promptOf(count: number): Promise<
  {
    readonly path: string;
    readonly ids: ReadonlyArray<number>;
    readonly decode: (ids: ReadonlyArray<number>) => string;
  } | null
> {
  const source = await orThrow(resolveModel("SmolLM2-135M-Instruct", quiet));
  if (source._tag !== "File") return null;
  const file = await orThrow(readModelFile(source.name, await Deno.readFile(source.path)));
  const { encode, decode } = await orThrow(file.tokenizer());
  const { text } = await orThrow(fetchAddress(quiet));
  const ids = encode(text);
  return { path: source.path, ids: Array.from({ length: count }, (_, i) => ids[i % ids.length] ?? 0), decode };
}

async function model(lengths: ReadonlyArray<number>, repeats: number, note: (line: string) => void): Promise<ReadonlyArray<EndToEnd>> {
  const prompt = await promptOf(Math.max(...lengths));
  if (prompt === null) return [];
  const firstOf = (tokens: number): Prompt => {
    const ids = prompt.ids.slice(0, tokens);
    return { ids, text: prompt.decode(ids) };
  };
  const policies = ["keepall", "snapkv(25%)", "streamingllm(1024)|streaming"];
  return await endToEnd({ path: prompt.path, promptOf: firstOf, lengths, policies, repeats, note });
}

const fixed = (n: number, digits: number, width: number): string => n.toFixed(digits).padStart(width);

function showOps(build: Build, threads: number, peaks: Peaks, results: ReadonlyArray<OpResult>): void {
  console.log(
    `\nwasm-${build}, ${threads === 1 ? "one thread" : `${threads} threads`}; peaks ${peaks.f32.toFixed(1)} GFLOP/s f32, ${
      peaks.int8.toFixed(1)
    } GOP/s int8, ${peaks.read.toFixed(1)} GB/s read`,
  );
  for (const r of results) {
    const rates = `${fixed(r.gigaopsPerSecond, 1, 7)} GOP/s ${fixed(r.gigabytesPerSecond, 2, 7)} GB/s`;
    const also = r.also === null ? "" : `, ${fixed(100 * r.also.share, 0, 0)} % of ${r.also.limit}`;
    console.log(`  ${r.name.padEnd(36)} ${fixed(r.median * 1e6, 1, 10)} us ${rates} ${fixed(100 * r.share, 0, 4)} % of ${r.limit}${also}`);
  }
}

/** Both speeds of a run, each as a multiple of a peer's where there is one. */
function speeds(ours: Speed, ratio: Speed | null): string {
  const one = (part: keyof Speed): string => `${fixed(ours[part], 1, 6)}${ratio === null ? "" : ` (${fixed(ratio[part], 2, 5)}x)`}`;
  return `prefill ${one("prefillTokensPerSecond")}  decode ${one("decodeTokensPerSecond")}`;
}

function showModel(results: ReadonlyArray<EndToEnd>): void {
  const label = ({ tokens, policy }: EndToEnd): string => `  ${String(tokens).padStart(5)} ${policy.padEnd(28)}`;
  console.log("\nSmolLM2-135M Q4_1, two threads: tokens/s, and as a multiple of native llama.cpp");
  for (const result of results) {
    console.log(`${label(result)} ${speeds(result.ours, result.ratio)}  cache ${fixed(result.cacheBytes / 1e6, 1, 6)} MB`);
  }
  const inPage = results.flatMap((result) => result.wllama === null ? [] : [{ result, ...result.wllama }]);
  if (inPage.length > 0) console.log("\nthe same in Chromium, and as a multiple of wllama");
  for (const { result, ours, ratio } of inPage) console.log(`${label(result)} ${speeds(ours, ratio)}`);
}

function showKvzap(costs: ReadonlyArray<KvzapCost>): void {
  console.log("\nKVzap's ops for a chunk of 256 tokens on 30 layers, one thread, as a share of the chunk");
  for (const { scorer, policyMilliseconds, chunkMilliseconds, share } of costs) {
    console.log(
      `  ${scorer.padEnd(8)} ${fixed(policyMilliseconds, 2, 7)} ms of ${fixed(chunkMilliseconds, 1, 7)} ms, ${fixed(100 * share, 2, 5)} %`,
    );
  }
}

function showRkv(costs: ReadonlyArray<RkvCost>): void {
  console.log("\nR-KV, 1,024 rows and a choice after every 128 decoded tokens: milliseconds of a plain step, and what a choice adds");
  for (const { threads, choices, plainMilliseconds, extraMilliseconds, share, firstMilliseconds } of costs) {
    console.log(
      `  ${threads} thread${threads === 1 ? " " : "s"} plain ${fixed(plainMilliseconds, 1, 5)}  choice ${
        fixed(extraMilliseconds, 1, 6)
      }, over 128 steps ${fixed(100 * share, 2, 5)} % (median of ${choices})  the first ${fixed(firstMilliseconds, 1, 6)}`,
    );
  }
}

function showKvtc(speeds: ReadonlyArray<KvtcSpeed>): void {
  console.log("\nKVTC of a real cache, one thread: MB/s of f16 (by processor time), and the file");
  for (const { ratio, tokens, bytesFull, bytesFile, encode, decode, encodeCpu, decodeCpu, products, floor } of speeds) {
    const both = (wall: number, cpu: number): string => `${fixed(wall, 0, 4)} (${fixed(cpu, 0, 3)})`;
    console.log(
      `  ${`kvtc(${ratio})`.padEnd(9)} ${tokens} tokens  encode ${both(encode, encodeCpu)}  decode ${
        both(decode, decodeCpu)
      }  products alone ${fixed(products, 0, 4)}, at their peak ${fixed(floor, 0, 4)}  file ${fixed(bytesFile / 1e6, 2, 6)} MB, ${
        fixed(bytesFull / bytesFile, 1, 4)
      }x smaller`,
    );
  }
}

const machine = { cores: navigator.hardwareConcurrency, deno: Deno.version.deno };

/** The table of ops on WebGPU; in JSON {machine, webgpu}. */
async function webGpu(seconds: number, asJson: boolean): Promise<void> {
  const webgpu = await benchWebGpu(seconds, asJson ? () => {} : console.log);
  if (asJson) console.log(JSON.stringify({ machine, webgpu }));
}

const usage = `deno task bench [OPTIONS]: speeds of this machine, some 20 minutes of them

  --ops --appends --model --kvzap --rkv --kvtc   only these parts
  --webgpu                                       the table of ops on WebGPU alone
  --lengths 512,2048,8160                        tokens that the model reads
  --quick                                        each op for 0.1 s, the model at 512 tokens
  --json                                         {machine, peaks, ops, appends, endToEnd, kvzap, rkv, kvtc} and nothing else

Policies are timed side by side by deno task kvfold bench.`;

/** The options, or null after a word on what is wrong or asked. */
function optionsOf(args: ReadonlyArray<string>) {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    boolean: ["help", "json", "quick", "ops", "appends", "model", "kvzap", "rkv", "kvtc", "webgpu"],
    string: ["lengths"],
    unknown: (arg) => unknown.push(arg) < 0,
  });
  const lengths = String(flags["lengths"] ?? (flags["quick"] === true ? "512" : "512,2048,8160")).split(",").map(Number);
  const wrong = unknown[0] !== undefined
    ? `${unknown[0]} is no option, see --help`
    : lengths.every((n) => Number.isInteger(n) && n > 0)
    ? null
    : `--lengths ${flags["lengths"]}: allowed are whole numbers from 1, with commas between`;
  if (flags["help"] !== true && wrong === null) return { flags, lengths };
  if (flags["help"] === true) console.log(usage);
  else console.error(wrong);
  Deno.exitCode = flags["help"] === true ? 0 : 1;
  return null;
}

async function main(): Promise<void> {
  const options = optionsOf(Deno.args);
  if (options === null) return;
  const { flags, lengths } = options;
  if (flags["webgpu"] === true) return await webGpu(flags["quick"] === true ? 0.1 : 0.4, flags["json"] === true);
  const parts = ["ops", "appends", "model", "kvzap", "rkv", "kvtc"] as const;
  const wants = (part: (typeof parts)[number]): boolean => flags[part] === true || !parts.some((one) => flags[one] === true);
  const show = flags["json"] === true ? () => {} : (print: () => void) => print();
  const note = (line: string): void => console.error(line);
  const report: {
    peaks: Record<string, Peaks>;
    ops: OpResult[];
    appends: Record<string, ReadonlyArray<number>>;
    endToEnd: ReadonlyArray<EndToEnd>;
    kvzap: ReadonlyArray<KvzapCost>;
    rkv: ReadonlyArray<RkvCost>;
    kvtc: ReadonlyArray<KvtcSpeed>;
  } = {
    peaks: {},
    ops: [],
    appends: {},
    endToEnd: [],
    kvzap: [],
    rkv: [],
    kvtc: [],
  };
  for (const { build, threads } of tables) {
    if (!wants("ops")) break;
    const peaks = await measurePeaks(build, threads);
    const results = await ops(build, threads, peaks, flags["quick"] === true ? 0.1 : 0.4);
    report.peaks[threads === 1 ? build : `${build} x ${threads}`] = peaks;
    report.ops.push(...results);
    show(() => showOps(build, threads, peaks, results));
  }
  if (wants("appends")) {
    await using backend = await orThrow(openWasm({ build: "simd128" }));
    const times = await timeAppends(backend);
    report.appends["wasm-simd128"] = times;
    show(() =>
      console.log(`\nappending 8,192 rows one by one, microseconds per row in eight parts: ${times.map((t) => t.toFixed(1)).join(" ")}`)
    );
  }
  if (wants("model")) {
    report.endToEnd = await model(lengths, flags["quick"] === true ? 1 : 3, note);
    show(() => showModel(report.endToEnd));
  }
  if (wants("kvzap")) {
    const prompt = await promptOf(2048);
    report.kvzap = prompt === null ? [] : await kvzapCosts(prompt.path, prompt.ids, flags["quick"] === true ? 0.2 : 2);
    show(() => showKvzap(report.kvzap));
  }
  if (wants("rkv")) {
    const choices = flags["quick"] === true ? 3 : 7;
    const prompt = await promptOf(rkvTokens(choices));
    report.rkv = prompt === null ? [] : await rkvCosts(prompt.path, prompt.ids, choices);
    show(() => showRkv(report.rkv));
  }
  if (wants("kvtc")) {
    const prompt = await promptOf(4096);
    report.kvtc = prompt === null
      ? []
      : await kvtcSpeeds(prompt.path, prompt.ids, flags["quick"] === true ? [10] : [8, 10, 12], flags["quick"] === true ? 4 : 6);
    show(() => showKvtc(report.kvtc));
  }
  if (flags["json"] === true) {
    console.log(JSON.stringify({ machine, ...report }));
  }
}

if (import.meta.main) await main();
