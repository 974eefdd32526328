// with stored as keys, stored as values, score, flash
// Attention over all rows of one tier.
struct Params {
  m: u32, heads: u32, kvHeads: u32, keyDim: u32, valueDim: u32, keyCodec: u32, valueCodec: u32,
  scale: f32, window: u32, softcap: f32, merge: u32, items: u32
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<u32>;
@group(0) @binding(5) var<storage, read> position: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(7) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(8) var<storage, read_write> result: array<f32>;
@group(0) @binding(9) var<storage, read_write> lse: array<f32>;
@group(0) @binding(10) var<storage, read_write> parts: array<u32>;

fn rowsIn(h: u32) -> u32 { return segments[3u * h + 1u]; }

fn slotAt(h: u32, t: u32) -> u32 { return segments[3u * h] + t; }

fn queryAt(i: u32) -> u32 { return queryPosition[i]; }
