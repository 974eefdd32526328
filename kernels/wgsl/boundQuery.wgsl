// with sums
// Weights of page bounds from a query. One workgroup per query head; sums of |q| over the group wait where the weights of maxima will be.
struct Params { heads: u32, kvHeads: u32, dim: u32, channels: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

// Sum over the group whose first head is `first`: of magnitudes, or of numbers.
fn overGroup(first: u32, c: u32, isSize: bool) -> f32 {
  var sum = 0.0;
  for (var g = 0u; g < p.heads / p.kvHeads; g++) {
    let x = q[(first + g) * p.dim + c];
    sum += select(x, abs(x), isSize);
  }
  return sum;
}

// Whether channel c is among the largest.
fn isChosen(sizes: u32, c: u32) -> bool {
  let own = result[sizes + c];
  var before = 0u;
  for (var d = 0u; d < p.dim; d++) { before += u32(result[sizes + d] > own || (result[sizes + d] == own && d < c)); }
  return before < p.channels;
}

@compute @workgroup_size(64)
fn boundQuery(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let head = group.x;
  let minima = 2u * head * p.dim;
  let maxima = minima + p.dim;
  let first = head - head % (p.heads / p.kvHeads);
  var part = 0.0;
  var all = 0.0;
  if (p.channels > 0u) {
    for (var c = lane; c < p.dim; c += 64u) { result[maxima + c] = overGroup(first, c, true); }
    storageBarrier();
    for (var c = lane; c < p.dim; c += 64u) {
      let x = q[head * p.dim + c];
      let isIn = isChosen(maxima, c);
      result[minima + c] = select(0.0, x, isIn);
      part += select(0.0, abs(x), isIn);
      all += abs(x);
    }
    storageBarrier();
    part = sumOf64(part, lane);
    all = sumOf64(all, lane);
  }
  var factor = 0.0;
  if (part > 0.0) { factor = 1.0 / sqrt(f32(p.dim) * part / all); }
  for (var c = lane; c < p.dim; c += 64u) {
    var weight = q[head * p.dim + c];
    var isUpper = weight > 0.0;
    if (p.channels > 0u) {
      weight = result[minima + c] * factor;
      isUpper = overGroup(first, c, false) > 0.0;
    }
    result[minima + c] = select(weight, 0.0, isUpper);
    result[maxima + c] = select(0.0, weight, isUpper);
  }
}
