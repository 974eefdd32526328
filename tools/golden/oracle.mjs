// Runs llama.cpp (npm package node-llama-cpp, prebuilt for the CPU) over a list of jobs: `node oracle.mjs jobs.json results.json`.
// Started by tools/golden.ts in a temporary folder that has the package. Results are numbers only.
import { readFile, writeFile } from "node:fs/promises";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

/** Little-endian f32 as base64. */
const base64 = (values) => Buffer.from(Float32Array.from(values).buffer).toString("base64");

/** Logits at the wanted positions of one text: all of them, or those of `ids`, with moments over all. */
async function logits(model, { tokens, at, ids, exact }) {
  const context = await model.createContext({
    contextSize: 512,
    batchSize: 512,
    threads: 1,
    flashAttention: false,
    // The exact runs prove the graph, so nothing is rounded on its way through the cache.
    ...exact ? { experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" } : {},
  });
  const wanted = new Set(at);
  const input = tokens.map((t, i) => wanted.has(i) ? [t, { generateNext: { logits: true } }] : t);
  const output = await context.getSequence().controlledEvaluate(input);
  const rows = at.map((i) => {
    const map = output[i].next.logits;
    const row = Float64Array.from({ length: map.size }, (_, id) => map.get(id));
    const mean = row.reduce((a, x) => a + x, 0) / row.length;
    const variance = row.reduce((a, x) => a + (x - mean) ** 2, 0) / row.length;
    const top = row.reduce((best, x, id) => x > row[best] ? id : best, 0);
    return { top, mean, variance, logits: base64(ids === null ? row : ids.map((id) => row[id])) };
  });
  await context.dispose();
  return rows;
}

/** Ids of each text, as one string of numbers. */
const tokenIds = (model, { texts }) => texts.map(({ text, special }) => model.tokenize(text, special).join(" "));

const [jobsPath, resultsPath] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.error });
const results = [];
for (const job of JSON.parse(await readFile(jobsPath, "utf8"))) {
  const model = await llama.loadModel({ modelPath: job.model, vocabOnly: job.kind === "tokens" });
  results.push(job.kind === "tokens" ? tokenIds(model, job) : await logits(model, job));
  await model.dispose();
}
await writeFile(resultsPath, JSON.stringify(results));
process.exit(0);
