// with stored as keys, stored as values, score, flash
// Attention of one query over chosen rows of one tier. `prepare` puts where heads start, how many rows are chosen and the query's position behind
// the parts: eight bindings are all that every device has.
struct Params {
  m: u32, heads: u32, kvHeads: u32, keyDim: u32, valueDim: u32, keyCodec: u32, valueCodec: u32,
  scale: f32, window: u32, softcap: f32, merge: u32, items: u32, table: u32
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
@group(0) @binding(10) var<storage, read> keep: array<u32>;
@group(0) @binding(11) var<storage, read> counts: array<u32>;
@group(0) @binding(12) var<storage, read_write> parts: array<u32>;

fn rowsIn(h: u32) -> u32 { return parts[p.table + 1u + 2u * h]; }

fn slotAt(h: u32, t: u32) -> u32 {
  let start = parts[p.table + 2u + 2u * h];
  return start + keep[start + t];
}

fn queryAt(i: u32) -> u32 { return parts[p.table]; }

@compute @workgroup_size(64)
fn prepare(@builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  if (lane == 0u) { parts[p.table] = queryPosition[0]; }
  for (var h = lane; h < p.kvHeads; h += 64u) {
    parts[p.table + 1u + 2u * h] = counts[h];
    parts[p.table + 2u + 2u * h] = segments[3u * h];
  }
}
