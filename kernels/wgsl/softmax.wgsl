// with sums
// e^a over the sum of e^a, per head over all rows but the last dropLast, which get 0. One workgroup per head. The override says that the
// result replaces a.
override isOnA: bool = false;
struct Params { heads: u32, dropLast: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

fn element(i: u32) -> f32 {
  if (isOnA) { return result[i]; }
  return a[i];
}

@compute @workgroup_size(64)
fn softmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let taken = length - min(length, p.dropLast);
  var top = -3.0e38;
  for (var t = lane; t < taken; t += 64u) { top = max(top, element(start + t)); }
  top = maxOf64(top, lane);
  var sum = 0.0;
  for (var t = lane; t < taken; t += 64u) { sum += exp(element(start + t) - top); }
  let total = sumOf64(sum, lane);
  for (var t = lane; t < length; t += 64u) {
    if (t < taken) { result[start + t] = exp(element(start + t) - top) / total; } else { result[start + t] = 0.0; }
  }
}
