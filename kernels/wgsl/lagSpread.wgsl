// with stored as rows, sums
// Spread over channels on the scale of the block after, as a softmax over the block. A workgroup takes block after block of a head; of each, 64 rows
// at a time, an invocation to a row, over 64 channels at a time, whose ranges the invocations find first.
struct Params { heads: u32, dim: u32, codec: u32, sinks: u32, lag: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;
var<workgroup> low: array<f32, 64>;
var<workgroup> width: array<f32, 64>;

// The range of channel `from + lane` over the block of rows from slot `next` on.
fn findRange(next: u32, base: u32, lane: u32) {
  workgroupBarrier();
  if (base + lane < p.dim) {
    var least = rowsAt(next, base + lane, p.dim);
    var most = least;
    for (var slot = next + 1u; slot < next + p.lag; slot++) {
      let x = rowsAt(slot, base + lane, p.dim);
      least = min(least, x);
      most = max(most, x);
    }
    low[lane] = least;
    width[lane] = most - least;
  }
  workgroupBarrier();
}

fn scaled(slot: u32, c: u32, i: u32) -> f32 {
  if (!(width[i] > 0.0)) { return 0.0; }
  return (rowsAt(slot, c, p.dim) - low[i]) / width[i];
}

// Sample standard deviation of the scaled channels of a row, whose block is followed by that from slot `next` on.
fn deviation(slot: u32, isRow: bool, next: u32, lane: u32) -> f32 {
  var sum = 0.0;
  for (var base = 0u; base < p.dim; base += 64u) {
    findRange(next, base, lane);
    let end = select(0u, min(64u, p.dim - base), isRow);
    for (var i = 0u; i < end; i++) { sum += scaled(slot, base + i, i); }
  }
  let mean = sum / f32(p.dim);
  var squares = 0.0;
  for (var base = 0u; base < p.dim; base += 64u) {
    findRange(next, base, lane);
    let end = select(0u, min(64u, p.dim - base), isRow);
    for (var i = 0u; i < end; i++) {
      let d = scaled(slot, base + i, i) - mean;
      squares += d * d;
    }
  }
  return sqrt(squares / f32(max(2u, p.dim) - 1u));
}

fn weighBlock(first: u32, lane: u32) {
  var mine = 0.0;
  for (var base = 0u; base < p.lag; base += 64u) {
    let isRow = base + lane < p.lag;
    let weight = exp(deviation(first + base + lane, isRow, first + p.lag, lane));
    if (isRow) {
      result[first + base + lane] = weight;
      mine += weight;
    }
  }
  let total = sumOf64(mine, lane);
  for (var i = lane; i < p.lag; i += 64u) { result[first + i] /= total; }
}

@compute @workgroup_size(64)
fn lagSpread(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.y];
  let length = segments[3u * group.y + 1u];
  let whole = (length - min(length, p.sinks)) / p.lag;
  let blocks = max(1u, whole) - 1u;
  for (var b = group.x; b < blocks; b += groups.x) { weighBlock(start + p.sinks + b * p.lag, lane); }
  for (var t = group.x * 64u + lane; t < length; t += groups.x * 64u) {
    if (t >= p.sinks && t - p.sinks < blocks * p.lag) { continue; }
    result[start + t] = select(1.0, f32(t) / f32(length), blocks == 0u);
  }
}
