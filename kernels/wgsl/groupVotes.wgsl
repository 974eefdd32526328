// with stored as keys, product
// Mean over queries of the softmax, over the rows of a head, of the group's largest logit. One workgroup per KV head; every invocation owns
// its rows and works out their logits twice rather than keep them.
struct Params { queries: u32, heads: u32, kvHeads: u32, keyDim: u32, keyCodec: u32, scale: f32, dropLast: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(6) var<storage, read_write> result: array<f32>;
var<workgroup> tops: array<f32, 256>;
var<workgroup> sums: array<f32, 256>;

fn logit(slot: u32, row: u32) -> f32 {
  return p.scale * product(slot, row * p.keyDim);
}

fn largest(slot: u32, i: u32, kvHead: u32) -> f32 {
  let group = p.heads / p.kvHeads;
  var most = logit(slot, i * p.heads + kvHead * group);
  for (var g = 1u; g < group; g++) { most = max(most, logit(slot, i * p.heads + kvHead * group + g)); }
  return most;
}

@compute @workgroup_size(256)
fn groupVotes(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let taken = length - min(length, p.dropLast);
  for (var t = lane; t < length; t += 256u) { result[start + t] = 0.0; }
  var real = 0.0;
  for (var i = 0u; i < p.queries; i++) { real += f32(queryPosition[i] != 0xFFFFFFFFu); }
  for (var i = 0u; i < p.queries; i++) {
    if (queryPosition[i] == 0xFFFFFFFFu) { continue; }
    var top = -3.0e38;
    var sum = 0.0;
    for (var t = lane; t < taken; t += 256u) {
      let score = largest(start + t, i, group.x);
      let higher = max(top, score);
      sum = sum * exp(top - higher) + exp(score - higher);
      top = higher;
    }
    tops[lane] = top;
    sums[lane] = sum;
    workgroupBarrier();
    for (var l = 0u; l < 256u; l++) { top = max(top, tops[l]); }
    var total = 0.0;
    for (var l = 0u; l < 256u; l++) { total += sums[l] * exp(tops[l] - top); }
    for (var t = lane; t < taken; t += 256u) { result[start + t] += exp(largest(start + t, i, group.x) - top) / total / real; }
    workgroupBarrier();
  }
}
