// with stored as keys, sums
// What the bounds of a row's page promise a query. `most`: one invocation per page, the largest product of the group. `shares`: one workgroup per KV
// head, the mean over the group of the softmax over its rows.
// Where `isPartial`, only rows with a number above 0 in `within` take part.
override isPartial: bool = false;
struct Params { heads: u32, kvHeads: u32, dim: u32, codec: u32, page: u32, rowBytes: u32, by: u32, capacity: u32, pages: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;
@group(0) @binding(6) var<storage, read> bounds: array<u32>;
@group(0) @binding(7) var<storage, read> within: array<f32>;

fn isIn(slot: u32) -> bool { return !isPartial || within[slot] > 0.0; }

// Rows that take part, of the `count` from slot `first` on.
fn rowsIn(first: u32, count: u32) -> u32 {
  if (!isPartial) { return count; }
  var rows = 0u;
  for (var slot = first; slot < first + count; slot++) { rows += u32(isIn(slot)); }
  return rows;
}

fn boundAt(first: u32, i: u32) -> f32 {
  let words = first * (p.rowBytes / 4u);
  if (keysBits == 32u) { return bitcast<f32>(bounds[words + i]); }
  return unpack2x16float(bounds[words + i / 2u] >> (16u * (i & 1u))).x;
}

// Product of a query head's weights with the bounds of the `count` rows from slot `first` on.
fn product(head: u32, first: u32, count: u32) -> f32 {
  let base = 2u * head * p.dim;
  var sum = 0.0;
  for (var c = 0u; c < p.dim; c++) {
    var least = 0.0;
    var most = 0.0;
    if (p.page > 1u && count == p.page) {
      least = boundAt(first, c);
      most = boundAt(first, p.dim + c);
    } else {
      least = keysAt(first, c, p.dim);
      most = least;
      for (var slot = first + 1u; slot < first + count; slot++) {
        let x = keysAt(slot, c, p.dim);
        least = min(least, x);
        most = max(most, x);
      }
    }
    sum += weights[base + c] * least + weights[base + p.dim + c] * most;
  }
  return sum;
}

@compute @workgroup_size(64)
fn most(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let kvHead = i / max(1u, p.pages);
  if (status[0] != 0u || kvHead >= p.kvHeads) { return; }
  let length = segments[3u * kvHead + 1u];
  let t = i % p.pages * p.page;
  if (t >= length) { return; }
  let first = segments[3u * kvHead] + t;
  let count = min(p.page, length - t);
  let size = p.heads / p.kvHeads;
  var best = -1e30;
  if (rowsIn(first, count) > 0u) {
    best = product(kvHead * size, first, count);
    for (var g = 1u; g < size; g++) { best = max(best, product(kvHead * size + g, first, count)); }
  }
  for (var slot = first; slot < first + count; slot++) { result[slot] = select(-1e30, best, isIn(slot)); }
}

@compute @workgroup_size(64)
fn shares(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let size = p.heads / p.kvHeads;
  let stride = 64u * p.page;
  for (var g = 0u; g < size; g++) {
    let head = group.x * size + g;
    var top = -3.0e38;
    var mass = 0.0;
    for (var t = lane * p.page; t < length; t += stride) {
      let count = min(p.page, length - t);
      let rows = rowsIn(start + t, count);
      if (rows == 0u) { continue; }
      let u = product(head, start + t, count);
      let higher = max(top, u);
      mass = mass * exp(top - higher) + f32(rows) * exp(u - higher);
      top = higher;
    }
    let highest = maxOf64(top, lane);
    let total = sumOf64(mass * exp(top - highest), lane);
    for (var t = lane * p.page; t < length; t += stride) {
      let count = min(p.page, length - t);
      var share = 0.0;
      if (rowsIn(start + t, count) > 0u) { share = exp(product(head, start + t, count) - highest) / total / f32(size); }
      for (var slot = start + t; slot < start + t + count; slot++) {
        result[slot] = select(-1e30, select(result[slot], 0.0, g == 0u) + share, isIn(slot));
      }
    }
  }
}
