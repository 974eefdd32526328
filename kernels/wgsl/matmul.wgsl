// with blocks, tile
// out[M, N] = x[M, K] * W[N, K]^T + bias (+ out). The weight's tile holds rows [firstRow, firstRow + tileRows) of N.
override isBiased: bool = false;
struct Params { m: u32, n: u32, k: u32, accumulate: u32, firstRow: u32, tileRows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
// The same by fours: whole rows of k numbers, k a multiple of 4.
@group(0) @binding(2) var<storage, read> x4: array<vec4f>;
@group(0) @binding(3) var<storage, read> weight: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;
var<workgroup> left: array<f32, 1024>;
var<workgroup> left4: array<vec4f, 320>;
var<workgroup> right4: array<vec4<TileNumber>, 320>;

fn store(i: u32, j: u32, value: f32) {
  let row = p.firstRow + j;
  var sum = value;
  if (isBiased) { sum += bias[row]; }
  if (p.accumulate != 0u) { sum += result[i * p.n + row]; }
  result[i * p.n + row] = sum;
}

// Numbers c to c + 3 of a token, zeros beyond its end.
fn quadAt(i: u32, c: u32) -> vec4f { return select(vec4f(0.0), x4[min(i * p.k + c, p.m * p.k - 4u) / 4u], c < p.k); }

fn inputFour(i: u32, c: u32) -> vec4f {
  let at = i * p.k + c;
  if (c + 3u < p.k) { return vec4f(x[at], x[at + 1u], x[at + 2u], x[at + 3u]); }
  var four = vec4f(0.0);
  if (c < p.k) { four.x = x[at]; }
  if (c + 1u < p.k) { four.y = x[at + 1u]; }
  if (c + 2u < p.k) { four.z = x[at + 2u]; }
  return four;
}

// What four tokens give with numbers c to c + 3 and c + 16 to c + 19 of a row, two quads that share what they are decoded from.
fn shares(j: u32, c: u32, low: mat4x4f, high: mat4x4f) -> vec4f {
  let w = weightPair(min(j, p.tileRows - 1u), c, p.k);
  return w[0] * low + w[1] * high;
}

fn share(j: u32, c: u32, low: vec4f, high: vec4f) -> f32 {
  let w = weightPair(min(j, p.tileRows - 1u), c, p.k);
  return dot(w[0], low) + dot(w[1], high);
}

// Quad c of four tokens, of which those beyond the last repeat it.
fn inputs(i: u32, c: u32) -> mat4x4f {
  let last = p.m - 1u;
  return mat4x4f(inputFour(i, c), inputFour(min(i + 1u, last), c), inputFour(min(i + 2u, last), c), inputFour(min(i + 3u, last), c));
}

// One token: a workgroup makes 32 outputs; 8 invocations share four of them and walk their rows in strides of 8 pairs of quads. Numbers of the
// token are read once for four rows: where memory is slow to reach, that is what counts.
@compute @workgroup_size(64)
fn one(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let j = (group.y * groups.x + group.x) * 32u + lane / 8u * 4u;
  if (status[0] != 0u) { return; }
  var sums = vec4f(0.0);
  if (j < p.tileRows) {
    let pairs = (p.k + 31u) / 32u * 4u;
    for (var pair = lane & 7u; pair < pairs; pair += 8u) {
      let c = pair / 4u * 32u + pair % 4u * 4u;
      let low = quadAt(0u, c);
      let high = quadAt(0u, c + 16u);
      sums += vec4f(share(j, c, low, high), share(j + 1u, c, low, high), share(j + 2u, c, low, high), share(j + 3u, c, low, high));
    }
  }
  for (var t = 0u; t < 4u; t++) { left[lane * 4u + t] = sums[t]; }
  workgroupBarrier();
  let row = lane & 7u;
  if (row < 4u && j + row < p.tileRows) {
    var sum = 0.0;
    for (var part = 0u; part < 8u; part++) { sum += left[(lane / 8u * 8u + part) * 4u + row]; }
    store(0u, j + row, sum);
  }
}

// Few tokens: the same with two outputs of four tokens per invocation.
@compute @workgroup_size(64)
fn few(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let j = (group.y * groups.x + group.x) * 16u + lane / 8u * 2u;
  let i = group.z * 4u;
  if (status[0] != 0u) { return; }
  var first = vec4f(0.0);
  var second = vec4f(0.0);
  if (j < p.tileRows) {
    let pairs = (p.k + 31u) / 32u * 4u;
    for (var pair = lane & 7u; pair < pairs; pair += 8u) {
      let c = pair / 4u * 32u + pair % 4u * 4u;
      let low = inputs(i, c);
      let high = inputs(i, c + 16u);
      first += shares(j, c, low, high);
      second += shares(j + 1u, c, low, high);
    }
  }
  for (var t = 0u; t < 4u; t++) {
    left[lane * 8u + t] = first[t];
    left[lane * 8u + 4u + t] = second[t];
  }
  workgroupBarrier();
  let token = lane & 3u;
  let row = j + ((lane >> 2u) & 1u);
  if (i + token < p.m && row < p.tileRows) {
    var sum = 0.0;
    for (var part = 0u; part < 8u; part++) { sum += left[(lane / 8u * 8u + part) * 8u + (lane & 7u)]; }
    store(i + token, row, sum);
  }
}

// Many tokens: tiles of 64 tokens by 64 outputs by 16 inputs, decoded to workgroup memory; an invocation makes 8 by 8 results, rows and outputs
// 8 apart. They have a name each, because an array that is indexed in a loop may end up in memory.
@compute @workgroup_size(64)
fn many(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let i0 = group.y * 64u;
  let j0 = group.x * 64u;
  let row = min(i0 + lane, p.m - 1u);
  let output = min(j0 + lane, p.tileRows - 1u);
  let l = lane / 8u * 5u;
  let r = lane % 8u * 5u;
  var low0 = vec4f(0.0);
  var high0 = vec4f(0.0);
  var low1 = vec4f(0.0);
  var high1 = vec4f(0.0);
  var low2 = vec4f(0.0);
  var high2 = vec4f(0.0);
  var low3 = vec4f(0.0);
  var high3 = vec4f(0.0);
  var low4 = vec4f(0.0);
  var high4 = vec4f(0.0);
  var low5 = vec4f(0.0);
  var high5 = vec4f(0.0);
  var low6 = vec4f(0.0);
  var high6 = vec4f(0.0);
  var low7 = vec4f(0.0);
  var high7 = vec4f(0.0);
  for (var c = 0u; c < p.k; c += 16u) {
    for (var quad = 0u; quad < 4u; quad++) {
      left4[lane * 5u + quad] = quadAt(row, c + quad * 4u);
      right4[lane * 5u + quad] = vec4<TileNumber>(weightFour(output, c + quad * 4u, p.k));
    }
    workgroupBarrier();
    for (var quad = 0u; quad < 4u; quad++) {
      let w0 = vec4f(right4[r + quad + 0u]);
      let w1 = vec4f(right4[r + quad + 40u]);
      let w2 = vec4f(right4[r + quad + 80u]);
      let w3 = vec4f(right4[r + quad + 120u]);
      let w4 = vec4f(right4[r + quad + 160u]);
      let w5 = vec4f(right4[r + quad + 200u]);
      let w6 = vec4f(right4[r + quad + 240u]);
      let w7 = vec4f(right4[r + quad + 280u]);
      let x0 = left4[l + quad + 0u];
      low0 += vec4f(dot(x0, w0), dot(x0, w1), dot(x0, w2), dot(x0, w3));
      high0 += vec4f(dot(x0, w4), dot(x0, w5), dot(x0, w6), dot(x0, w7));
      let x1 = left4[l + quad + 40u];
      low1 += vec4f(dot(x1, w0), dot(x1, w1), dot(x1, w2), dot(x1, w3));
      high1 += vec4f(dot(x1, w4), dot(x1, w5), dot(x1, w6), dot(x1, w7));
      let x2 = left4[l + quad + 80u];
      low2 += vec4f(dot(x2, w0), dot(x2, w1), dot(x2, w2), dot(x2, w3));
      high2 += vec4f(dot(x2, w4), dot(x2, w5), dot(x2, w6), dot(x2, w7));
      let x3 = left4[l + quad + 120u];
      low3 += vec4f(dot(x3, w0), dot(x3, w1), dot(x3, w2), dot(x3, w3));
      high3 += vec4f(dot(x3, w4), dot(x3, w5), dot(x3, w6), dot(x3, w7));
      let x4 = left4[l + quad + 160u];
      low4 += vec4f(dot(x4, w0), dot(x4, w1), dot(x4, w2), dot(x4, w3));
      high4 += vec4f(dot(x4, w4), dot(x4, w5), dot(x4, w6), dot(x4, w7));
      let x5 = left4[l + quad + 200u];
      low5 += vec4f(dot(x5, w0), dot(x5, w1), dot(x5, w2), dot(x5, w3));
      high5 += vec4f(dot(x5, w4), dot(x5, w5), dot(x5, w6), dot(x5, w7));
      let x6 = left4[l + quad + 240u];
      low6 += vec4f(dot(x6, w0), dot(x6, w1), dot(x6, w2), dot(x6, w3));
      high6 += vec4f(dot(x6, w4), dot(x6, w5), dot(x6, w6), dot(x6, w7));
      let x7 = left4[l + quad + 280u];
      low7 += vec4f(dot(x7, w0), dot(x7, w1), dot(x7, w2), dot(x7, w3));
      high7 += vec4f(dot(x7, w4), dot(x7, w5), dot(x7, w6), dot(x7, w7));
    }
    workgroupBarrier();
  }
  storeEight(i0 + lane / 8u + 0u, j0 + lane % 8u, low0, high0);
  storeEight(i0 + lane / 8u + 8u, j0 + lane % 8u, low1, high1);
  storeEight(i0 + lane / 8u + 16u, j0 + lane % 8u, low2, high2);
  storeEight(i0 + lane / 8u + 24u, j0 + lane % 8u, low3, high3);
  storeEight(i0 + lane / 8u + 32u, j0 + lane % 8u, low4, high4);
  storeEight(i0 + lane / 8u + 40u, j0 + lane % 8u, low5, high5);
  storeEight(i0 + lane / 8u + 48u, j0 + lane % 8u, low6, high6);
  storeEight(i0 + lane / 8u + 56u, j0 + lane % 8u, low7, high7);
}

// Outputs j, j + 8, and so on, of a token.
fn storeEight(i: u32, j: u32, low: vec4f, high: vec4f) {
  if (i >= p.m) { return; }
  if (j + 0u < p.tileRows) { store(i, j + 0u, low.x); }
  if (j + 8u < p.tileRows) { store(i, j + 8u, low.y); }
  if (j + 16u < p.tileRows) { store(i, j + 16u, low.z); }
  if (j + 24u < p.tileRows) { store(i, j + 24u, low.w); }
  if (j + 32u < p.tileRows) { store(i, j + 32u, high.x); }
  if (j + 40u < p.tileRows) { store(i, j + 40u, high.y); }
  if (j + 48u < p.tileRows) { store(i, j + 48u, high.z); }
  if (j + 56u < p.tileRows) { store(i, j + 56u, high.w); }
}
