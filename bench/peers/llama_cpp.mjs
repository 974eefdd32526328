// Times native llama.cpp (npm node-llama-cpp, CPU) on one model file: node llama_cpp.mjs MODEL TOKENS DECODE THREADS
// Run by bench/end_to_end.ts in a folder where node-llama-cpp is installed. Prints one JSON line.
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const [modelPath, tokens, decode, threads] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error, maxThreads: threads });
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: tokens + decode + 8,
  batchSize: 512,
  threads,
  flashAttention: false,
  experimentalKvCacheKeyType: "F16",
  experimentalKvCacheValueType: "F16",
});
const sequence = context.getSequence();
const ids = JSON.parse(await new Promise((resolve) => {
  let text = "";
  process.stdin.on("data", (part) => text += part).on("end", () => resolve(text));
}));
const start = performance.now();
await sequence.evaluateWithoutGeneratingNewTokens(ids.slice(0, tokens - 1));
const prefilled = performance.now();
let count = 0;
for await (const _ of sequence.evaluate([ids[tokens - 1]], { temperature: 0 })) {
  if (++count === decode) break;
}
const decoded = performance.now();
console.log(JSON.stringify({
  prefillTokensPerSecond: (tokens - 1) / (prefilled - start) * 1000,
  decodeTokensPerSecond: count / (decoded - prefilled) * 1000,
}));
process.exit(0);
