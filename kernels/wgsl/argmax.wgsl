// with order
// Index of the largest number per row, one workgroup per row.
struct Params { m: u32, n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<u32>;
var<workgroup> keys: array<u32, 64>;
var<workgroup> indices: array<u32, 64>;

@compute @workgroup_size(64)
fn argmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  var best = 0u;
  var index = 0u;
  for (var c = lane; c < p.n; c += 64u) {
    let key = orderKey(x[group.x * p.n + c]);
    if (key > best) { best = key; index = c; }
  }
  keys[lane] = best;
  indices[lane] = index;
  workgroupBarrier();
  if (lane != 0u) { return; }
  for (var l = 1u; l < 64u; l++) {
    if (keys[l] > best || (keys[l] == best && best > 0u && indices[l] < index)) { best = keys[l]; index = indices[l]; }
  }
  result[group.x] = index;
}
