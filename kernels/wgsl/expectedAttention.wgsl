// with stored as keys, vectors as mapped, segments, sums
// Attention expected of later queries. `prepare`, one invocation per number of q, turns and scales the queries. For each query head of a group in turn,
// `measure`, one invocation per slot, finds mean and spread of a row's products, and `share`, one workgroup per KV head, adds their softmax to the column.
struct Params {
  queries: u32, heads: u32, kvHeads: u32, keyDim: u32, keyCodec: u32, dims: u32, scale: f32, sinks: u32, spread: u32, slots: u32, member: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read> segments: array<u32>;
@group(0) @binding(6) var<storage, read> table: array<f32>;
@group(0) @binding(7) var<storage, read_write> result: array<f32>;
@group(0) @binding(8) var<storage, read_write> logits: array<f32>;
@group(0) @binding(9) var<storage, read_write> mapped: array<f32>;

@compute @workgroup_size(64)
fn prepare(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || i >= p.queries * p.heads * p.keyDim) { return; }
  let c = i % p.keyDim;
  let half = p.dims / 2u;
  let row = i / (p.heads * p.keyDim) * p.dims;
  var x = q[i];
  if (c < half) { x = x * table[row + c] - q[i + half] * table[row + half + c]; }
  else if (c < p.dims) { x = x * table[row + c - half] + q[i - half] * table[row + c]; }
  mapped[i] = p.scale * x;
}

fn isSeen(i: u32) -> bool { return queryPosition[i] != 0xFFFFFFFFu && queryPosition[i] >= p.sinks; }

@compute @workgroup_size(64)
fn measure(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.kvHeads);
  if (h == p.kvHeads) { return; }
  let step = p.heads * p.keyDim;
  let first = (h * (p.heads / p.kvHeads) + p.member) * p.keyDim;
  // Mean and sum of squared distances from it, number by number, so that nothing large cancels.
  var seen = 0.0;
  var mean = 0.0;
  var squares = 0.0;
  for (var i = 0u; i < p.queries; i += 4u) {
    let products = mappedProducts(slot, first + i * step, step, p.queries - i, p.keyDim);
    for (var j = 0u; j < min(4u, p.queries - i); j++) {
      if (!isSeen(i + j)) { continue; }
      let distance = products[j] - mean;
      seen += 1.0;
      mean += distance / seen;
      squares += distance * (products[j] - mean);
    }
  }
  logits[slot] = mean + select(0.0, 0.5 * squares / max(1.0, seen), p.spread != 0u);
}

@compute @workgroup_size(64)
fn share(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.kvHeads) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  var top = -3.0e38;
  for (var t = lane; t < length; t += 64u) { top = max(top, logits[start + t]); }
  let highest = maxOf64(top, lane);
  var mass = 0.0;
  for (var t = lane; t < length; t += 64u) { mass += exp(logits[start + t] - highest); }
  let total = sumOf64(mass, lane) * f32(p.heads / p.kvHeads);
  for (var t = lane; t < length; t += 64u) {
    let own = exp(logits[start + t] - highest) / total;
    if (p.member == 0u) { result[start + t] = own; } else { result[start + t] += own; }
  }
}
