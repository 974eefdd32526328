/**
 * The op that chooses which channels of keys stay. The words used are those of `ops.ts`.
 * @module
 */
import { choice, layout, read, u32, update, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

/** In code order, the end of the table. */
export const channelOps: Readonly<Record<Extract<OpName, "dropChannels">, OpSpec>> = {
  dropChannels: {
    summary:
      "per KV head, the energy of channel c is the sum of q_c^2 over the queries whose position is not 0xFFFFFFFF and the heads of the group, times the sum of k_c^2 over the head's rows; NaN is 0. The `drop` channels of least energy, of equal ones the higher, become 0 in rows leave[start_h + i], i < leaving[h]. dropped: 1 for those channels, else 0",
    operands: [
      read("q", "f32", "Q Hq keyDim"),
      read("queryPosition", "u32", "Q"),
      read("leave", "u32", "slots"),
      read("leaving", "u32", "Hkv"),
      layout,
      update("keys", "rows", "slots keyDim"),
      write("dropped", "u32", "Hkv keyDim"),
    ],
    params: [...u32("queries", "heads", "kvHeads", "keyDim"), choice("keyCodec", ["f32", "f16"]), ...u32("drop")],
    tolerance: {
      nmse: 0,
      reason:
        "f64 sums of exact products, f32 on WebGPU, which may part where energies are within 1e-6 of each other; then zeros are written",
    },
  },
};
