// with blocks
// out[M, N] = x[M, K] * W[N, K]^T + bias (+ out). The weight's tile holds rows [firstRow, firstRow + tileRows) of N.
override isBiased: bool = false;
struct Params { m: u32, n: u32, k: u32, accumulate: u32, firstRow: u32, tileRows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;
var<workgroup> left: array<f32, 1024>;
var<workgroup> right: array<f32, 1024>;

fn store(i: u32, j: u32, value: f32) {
  let row = p.firstRow + j;
  var sum = value;
  if (isBiased) { sum += bias[row]; }
  if (p.accumulate != 0u) { sum += result[i * p.n + row]; }
  result[i * p.n + row] = sum;
}

fn inputFour(i: u32, c: u32) -> vec4f {
  let at = i * p.k + c;
  if (c + 3u < p.k) { return vec4f(x[at], x[at + 1u], x[at + 2u], x[at + 3u]); }
  var four = vec4f(0.0);
  if (c < p.k) { four.x = x[at]; }
  if (c + 1u < p.k) { four.y = x[at + 1u]; }
  if (c + 2u < p.k) { four.z = x[at + 2u]; }
  return four;
}

// Few tokens: a workgroup makes 8 outputs of up to 4 tokens; 8 invocations share an output and walk its row in strides of 32.
@compute @workgroup_size(64)
fn few(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let j = (group.y * groups.x + group.x) * 8u + lane / 8u;
  let i = group.z * 4u;
  if (status[0] != 0u) { return; }
  var sums = vec4f(0.0);
  if (j < p.tileRows) {
    for (var c = (lane & 7u) * 4u; c < p.k; c += 32u) {
      let w = weightFour(j, c, p.k);
      sums.x += dot(w, inputFour(i, c));
      if (i + 1u < p.m) { sums.y += dot(w, inputFour(i + 1u, c)); }
      if (i + 2u < p.m) { sums.z += dot(w, inputFour(i + 2u, c)); }
      if (i + 3u < p.m) { sums.w += dot(w, inputFour(i + 3u, c)); }
    }
  }
  for (var t = 0u; t < 4u; t++) { left[lane * 4u + t] = sums[t]; }
  workgroupBarrier();
  let token = lane & 7u;
  if (token < 4u && i + token < p.m && j < p.tileRows) {
    var sum = 0.0;
    for (var part = 0u; part < 8u; part++) { sum += left[(lane / 8u * 8u + part) * 4u + token]; }
    store(i + token, j, sum);
  }
}

// Many tokens: tiles of 64 tokens by 64 outputs by 16 inputs, decoded to workgroup memory; 4 by 4 results per invocation.
@compute @workgroup_size(256)
fn many(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let i0 = group.y * 64u;
  let j0 = group.x * 64u;
  let row = lane / 4u;
  let quad = lane & 3u;
  let at = vec2u(lane / 16u * 4u, lane % 16u * 4u);
  var sums: array<vec4f, 4>;
  for (var c = 0u; c < p.k; c += 16u) {
    var l = vec4f(0.0);
    var r = vec4f(0.0);
    if (i0 + row < p.m) { l = inputFour(i0 + row, c + quad * 4u); }
    if (j0 + row < p.tileRows) { r = weightFour(j0 + row, c + quad * 4u, p.k); }
    for (var t = 0u; t < 4u; t++) {
      left[(quad * 4u + t) * 64u + row] = l[t];
      right[(quad * 4u + t) * 64u + row] = r[t];
    }
    workgroupBarrier();
    for (var t = 0u; t < 16u; t++) {
      let li = t * 64u + at.x;
      let ri = t * 64u + at.y;
      let w = vec4f(right[ri], right[ri + 1u], right[ri + 2u], right[ri + 3u]);
      sums[0] += left[li] * w;
      sums[1] += left[li + 1u] * w;
      sums[2] += left[li + 2u] * w;
      sums[3] += left[li + 3u] * w;
    }
    workgroupBarrier();
  }
  for (var s = 0u; s < 4u; s++) {
    for (var t = 0u; t < 4u; t++) {
      if (i0 + at.x + s < p.m && j0 + at.y + t < p.tileRows) { store(i0 + at.x + s, j0 + at.y + t, sums[s][t]); }
    }
  }
}
