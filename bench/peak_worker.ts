/**
 * One of several threads that measure peaks at the same time: takes the name of a build as a message and gives its peaks.
 * @module
 */
import type { Build } from "../backends/wasm/instance.ts";
import { median } from "../eval/speeds.ts";
import { measureBuild } from "./peaks.ts";

/** The scope of a worker, which the types of a whole program do not know beside that of a window. */
declare const self: { onmessage: (event: MessageEvent<Build>) => Promise<void>; readonly postMessage: (found: unknown) => void };

self.onmessage = async ({ data }) => self.postMessage(await measureBuild(data, median));
