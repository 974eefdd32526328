/**
 * The page's side of `webgpu_test.ts`: it opens WebGPU as it is asked to and runs ops and papers on it. The test calls `kvfoldSide`.
 * @module
 */
import { type OpName, opNames } from "../../backends/ops.ts";
import { shaders } from "../../backends/webgpu/_shaders.ts";
import { openWebGpu, type WebGpuBackend } from "../../backends/webgpu/mod.ts";
import { shaderText } from "../../backends/webgpu/pipelines.ts";
import { type ConformanceReport, runConformance } from "../../conformance/mod.ts";
import { openMemory, orThrow } from "../../run/mod.ts";
import { type Finding, paperChecks } from "../papers_checks.ts";

/** A feature that is optional on every device. */
export type Feature = "shader-f16" | "subgroups";

/** What was opened. */
export interface Opened {
  readonly adapter: string;
  /** Optional features of the adapter, and those that the device was made with. */
  readonly offered: ReadonlyArray<Feature>;
  readonly enabled: ReadonlyArray<Feature>;
  /** Ops of the table that it does not have. */
  readonly missing: ReadonlyArray<OpName>;
}

/** A finding of a paper, or the sentence that says why there is none. */
export type PaperOutcome = Finding | { readonly refused: string };

/** What a test may ask of this page. Lanes are backends that work side by side, since building shaders in software is slow and takes one core. */
export interface PageSide {
  /** Opens a backend per lane on devices with exactly these features, or gives null where there is no adapter. */
  readonly open: (features: ReadonlyArray<Feature>, lanes: number) => Promise<Opened | null>;
  readonly conformance: (lane: number, op: OpName) => Promise<ConformanceReport>;
  /** What this browser's compiler says against the shaders, each with the features that are open; no pipeline is built. */
  readonly complaints: (lane: number) => Promise<ReadonlyArray<string>>;
  readonly papers: () => ReadonlyArray<string>;
  readonly paper: (lane: number, index: number) => Promise<PaperOutcome>;
  /** Closes every backend; bytes of everything that was still alive before. */
  readonly close: () => Promise<number>;
}

/** A backend on a device that the page made, as a host would. */
interface Lane {
  readonly backend: WebGpuBackend;
  readonly device: GPUDevice;
}

const optional: ReadonlyArray<Feature> = ["shader-f16", "subgroups"];
const has = (among: GPUSupportedFeatures): ReadonlyArray<Feature> => optional.filter((feature) => among.has(feature as GPUFeatureName));

async function openLane(features: ReadonlyArray<Feature>): Promise<Lane & { readonly adapter: GPUAdapter } | null> {
  const adapter = await navigator.gpu?.requestAdapter() ?? null;
  if (adapter === null) return null;
  const device = await adapter.requestDevice({ requiredFeatures: [...features] as GPUFeatureName[] });
  return { adapter, device, backend: await orThrow(openWebGpu({ device })) };
}

async function checkPaper(backend: WebGpuBackend, index: number): Promise<PaperOutcome> {
  using memory = openMemory(backend);
  try {
    return await paperChecks[index]?.run(memory) ?? { refused: `there is no check ${index}` };
  } catch (thrown) {
    return { refused: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

async function complaintsOf(lane: Lane | undefined): Promise<ReadonlyArray<string>> {
  if (lane === undefined) return ["nothing is open"];
  const { device, backend: { adapter: { features } } } = lane;
  const names = Object.keys(shaders) as ReadonlyArray<keyof typeof shaders>;
  const all = await Promise.all(names.map(async (name) => {
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ label: name, code: shaderText(name, features) }).getCompilationInfo();
    await device.popErrorScope();
    return messages.filter(({ type }) => type === "error").map(({ lineNum, message }) => `${name}, line ${lineNum}: ${message}`);
  }));
  return all.flat();
}

const bytesIn = ({ backend }: Lane): number => Object.values(backend.liveBytes()).reduce((sum, bytes) => sum + bytes, 0);

const side = (): PageSide => {
  let lanes: ReadonlyArray<Lane> = [];
  const backendOf = (lane: number): WebGpuBackend => {
    const found = lanes[lane];
    if (found === undefined) throw new Error(`lane ${lane} is not open`);
    return found.backend;
  };
  return {
    open: async (features, count) => {
      const opened = (await Promise.all(Array.from({ length: count }, () => openLane(features)))).flatMap((lane) => lane ?? []);
      const [first] = opened;
      if (first === undefined) return null;
      lanes = opened;
      const { adapter, backend, device } = first;
      return {
        adapter: backend.adapter.name,
        offered: has(adapter.features),
        enabled: has(device.features),
        missing: opNames.filter((op) => !backend.supports(op)),
      };
    },
    conformance: (lane, op) => orThrow(runConformance(backendOf(lane), { ops: [op] })),
    complaints: (lane) => complaintsOf(lanes[lane]),
    papers: () => paperChecks.map(({ name }) => name),
    paper: (lane, index) => checkPaper(backendOf(lane), index),
    close: async () => {
      const alive = lanes.reduce((sum, lane) => sum + bytesIn(lane), 0);
      for (const { backend, device } of lanes) {
        await backend.close();
        device.destroy();
      }
      lanes = [];
      return alive;
    },
  };
};

Object.assign(globalThis, { kvfoldSide: side() });
