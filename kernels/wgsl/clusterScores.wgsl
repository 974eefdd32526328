// with labels
// What the centroid of a row's label promises the group of query heads; rows without a label come first, the newest of them before the others. One
// workgroup per KV head.
struct Params { heads: u32, kvHeads: u32, dim: u32, stride: u32, rowBytes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> index: array<f32>;
@group(0) @binding(4) var<storage, read> labels: array<f32>;
@group(0) @binding(5) var<storage, read> segments: array<u32>;
@group(0) @binding(6) var<storage, read_write> promises: array<f32>;
@group(0) @binding(7) var<storage, read_write> result: array<f32>;
// 2^100.
const unlabelled = 1.2676506e30;

// Product of query head `head` with the centroid that begins at index[at].
fn product(head: u32, at: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < p.dim; c++) { sum += q[head * p.dim + c] * index[at + c]; }
  return sum;
}

@compute @workgroup_size(256)
fn clusterScores(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.kvHeads) { return; }
  let start = segments[3u * group.x];
  let room = segments[3u * group.x + 2u] / p.stride;
  let used = labelsIn(group.x, room, lane);
  let size = p.heads / p.kvHeads;
  for (var label = lane; label < used; label += 256u) {
    let at = (start + label * p.stride) * (p.rowBytes / 4u);
    var most = product(group.x * size, at);
    for (var g = 1u; g < size; g++) { most = max(most, product(group.x * size + g, at)); }
    promises[start + label] = most;
  }
  storageBarrier();
  for (var t = lane; t < segments[3u * group.x + 1u]; t += 256u) {
    let label = labelAt(start + t, room);
    if (label == noLabel) { result[start + t] = f32(t + 1u) * unlabelled; } else { result[start + t] = promises[start + label]; }
  }
}
