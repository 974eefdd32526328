/** Devices that are lost, memory that is not there, buffers of the caller's: one clear error each, and nothing of the caller's destroyed. */
import { assert, assertEquals } from "@std/assert";
import * as E from "fp-ts/Either.js";
import { openReference } from "../../backends/reference/mod.ts";
import { openWebGpu } from "../../backends/webgpu/mod.ts";
import { disposeSession, inductionModel, openModel, prefill, step } from "../../model/mod.ts";
import { keepAll } from "../../papers/mod.ts";
import { orThrow } from "../../run/mod.ts";
import { startedScript } from "../support/command_line.ts";
import { withoutAdapter } from "../support/webgpu.ts";
import type { Cycles } from "../support/webgpu_cycles.ts";

const tagOf = <A>(result: E.Either<{ readonly _tag: string }, A>): string => E.isLeft(result) ? result.left._tag : "Right";

/** A device as a host application would have it. */
async function hostDevice(): Promise<GPUDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  assert(adapter !== null);
  return await adapter.requestDevice();
}

const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

Deno.test({
  name: "webgpu: a device destroyed in mid-run is DeviceLost, and the text goes on elsewhere from its tokens",
  ignore: withoutAdapter,
  fn: async () => {
    const device = await hostDevice();
    const tokens = Array.from({ length: 20 }, (_, i) => 40 + i);
    await using webgpu = await orThrow(openWebGpu({ device }));
    await using model = await orThrow(openModel(webgpu, inductionModel()));
    const session = await orThrow(prefill(model, keepAll)(tokens));
    const next = session.logits.indexOf(Math.max(...session.logits));
    device.destroy();
    assertEquals(tagOf(await step(next)(session)()), "DeviceLost");
    assertEquals(tagOf(webgpu.alloc(16, "after")()), "DeviceLost");
    await using reference = await orThrow(openReference());
    await using again = await orThrow(openModel(reference, inductionModel()));
    const resumed = await orThrow(prefill(again, keepAll)([...tokens, next]));
    assertEquals(resumed.cache.nextPosition, 21);
    await orThrow(disposeSession(resumed));
  },
});

Deno.test({
  name: "webgpu: buffers of the caller's are used and left alone; wrong ones are refused by name",
  ignore: withoutAdapter,
  fn: async () => {
    const [device, other] = [await hostDevice(), await hostDevice()];
    const mine = device.createBuffer({ size: 256, usage });
    {
      await using backend = await orThrow(openWebGpu({ device }));
      const adopted = await orThrow(backend.adopt(mine, "mine"));
      await orThrow(backend.write(adopted, 3, Uint8Array.of(1, 2, 3, 4, 5, 6)));
      assertEquals([...await orThrow(backend.read(adopted, 0, 10))], [0, 0, 0, 1, 2, 3, 4, 5, 6, 0]);
      assertEquals(backend.liveBytes().buffers, 0);
      const dead = device.createBuffer({ size: 256, usage });
      dead.destroy();
      const wrong = {
        "of no usage but copying": device.createBuffer({ size: 256, usage: GPUBufferUsage.COPY_SRC }),
        "of an odd size": device.createBuffer({ size: 6, usage }),
        "of another device": other.createBuffer({ size: 256, usage }),
        "that is destroyed": dead,
      };
      for (const [what, buffer] of Object.entries(wrong)) {
        assertEquals([what, tagOf(await backend.adopt(buffer, what)())], [what, "ShapeMismatch"]);
      }
    }
    // Still the caller's after the backend is closed: the device takes work on it.
    device.pushErrorScope("validation");
    device.queue.writeBuffer(mine, 0, new Uint32Array(4));
    assertEquals(await device.popErrorScope(), null);
    device.destroy();
    other.destroy();
  },
});

Deno.test({
  name: "webgpu: too much memory is refused before it is tried, and limits an adapter lacks are named",
  ignore: withoutAdapter,
  fn: async () => {
    await using backend = await orThrow(openWebGpu({ maxBytes: 1 << 20 }));
    assertEquals(tagOf(backend.alloc(1 << 21, "large")()), "OutOfMemory");
    assertEquals(backend.liveBytes(), { buffers: 0, weights: 0, scratch: 0, programs: 0 });
    const greedy = await openWebGpu({ bufferBytes: 2 ** 50 })();
    assert(E.isLeft(greedy) && greedy.left._tag === "NoDevice" && greedy.left.because.includes("maxBufferSize"));
    assertEquals(tagOf(await openWebGpu({ maxBytes: -1 })()), "InvalidArgument");
    assertEquals(tagOf(await openWebGpu({ bufferBytes: "all" as "most" })()), "InvalidArgument");
  },
});

Deno.test({
  name: "webgpu: a buffer beyond one binding is refused by name before it is tried, and as much as the adapter has can be asked for",
  ignore: withoutAdapter,
  fn: async () => {
    await using standard = await orThrow(openWebGpu());
    const [kept, beyond] = [standard.caps.maxBufferBytes, standard.alloc(standard.caps.maxBufferBytes + 1, "keys")()];
    assert(E.isLeft(beyond) && beyond.left._tag === "OverLimit" && beyond.left.available === kept, JSON.stringify(beyond));
    assert(beyond.left.limit.includes("bufferBytes"));
    assertEquals(standard.liveBytes().buffers, 0);
    await using most = await orThrow(openWebGpu({ bufferBytes: "most" }));
    const { limits } = await navigator.gpu.requestAdapter() ?? most.device;
    const whole = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize, 2 ** 32);
    assertEquals(most.caps.maxBufferBytes, whole - whole % most.caps.alignment);
  },
});

Deno.test({
  name: "webgpu: a freed buffer and a closed backend are stale for ever",
  ignore: withoutAdapter,
  fn: async () => {
    const backend = await orThrow(openWebGpu());
    const buffer = await orThrow(backend.alloc(10, "rows"));
    await orThrow(backend.free(buffer));
    assertEquals([tagOf(backend.free(buffer)()), tagOf(await backend.read(buffer, 0, 1)())], ["StaleHandle", "StaleHandle"]);
    await backend.close();
    assertEquals(tagOf(backend.alloc(1, "late")()), "StaleHandle");
  },
});

Deno.test({
  name: "webgpu: 200 cycles of open, generate and close leave live bytes and resident memory where they began",
  ignore: withoutAdapter,
  fn: async () => {
    const { out, err } = await startedScript("tests/support/webgpu_cycles.ts");
    assert(out.startsWith("{"), err);
    const { resident, steps, returned }: Cycles = JSON.parse(out);
    assertEquals([steps, returned], [["Token Token Done"], true]);
    // The first cycles compile shaders and warm the garbage collector; what is held after them is what is held at the end. 160 cycles that each
    // kept the model's 4.3 MB of weights would add 685 MB; collections come when they like, so a tenth of that is allowed.
    const [settled, end] = [Math.max(...resident.slice(20, 40)), Math.min(...resident.slice(-10))];
    assert(end - settled < 68e6, `resident memory grew by ${Math.round((end - settled) / 1e6)} MB in 160 cycles`);
  },
});
