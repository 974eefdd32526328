// with stored as keys, product, score
// The share of attention norm that is lost with a row and all before it. One workgroup: query head by query head it walks from the newest row
// down, and adds the norms of what remains to the column of the longest head, from which in the end every head reads.
struct Params { heads: u32, kvHeads: u32, keyDim: u32, keyCodec: u32, scale: f32, window: u32, sinks: u32, scope: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> position: array<u32>;
@group(0) @binding(5) var<storage, read> segments: array<u32>;
@group(0) @binding(6) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(7) var<storage, read> lse: array<f32>;
@group(0) @binding(8) var<storage, read_write> result: array<f32>;
var<workgroup> scan: array<f32, 64>;

// Square of what query head `head` pays to the row.
fn squared(slot: u32, head: u32) -> f32 {
  if (!isVisible(position[slot], queryPosition[0], p.window) || lse[head] == -1e30) { return 0.0; }
  return exp(2.0 * (p.scale * product(slot, head * p.keyDim) - lse[head]));
}

// Sum over the lanes above this one.
fn above(value: f32, lane: u32) -> f32 {
  scan[lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var l = lane + 1u; l < 64u; l++) { sum += scan[l]; }
  return sum;
}

fn sumOfAll() -> f32 {
  var sum = 0.0;
  for (var l = 0u; l < 64u; l++) { sum += scan[l]; }
  workgroupBarrier();
  return sum;
}

// What a head pays to its sinks.
fn sinkShare(head: u32, start: u32, length: u32, lane: u32) -> f32 {
  var mine = 0.0;
  for (var t = lane; t < length; t += 64u) {
    if (position[start + t] < p.sinks) { mine += squared(start + t, head); }
  }
  scan[lane] = mine;
  workgroupBarrier();
  return sumOfAll();
}

@compute @workgroup_size(64)
fn tailLoss(@builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  var longest = 0u;
  for (var h = 1u; h < p.kvHeads; h++) {
    if (segments[3u * h + 1u] > segments[3u * longest + 1u]) { longest = h; }
  }
  let home = segments[3u * longest];
  let most = segments[3u * longest + 1u];
  for (var t = lane; t < most; t += 64u) { result[home + t] = 0.0; }
  var whole = 0.0;
  for (var head = 0u; head < p.heads; head++) {
    let kvHead = head / (p.heads / p.kvHeads);
    let start = segments[3u * kvHead];
    let length = segments[3u * kvHead + 1u];
    var sum = 0.0;
    if (p.scope == 1u) { sum = sinkShare(head, start, length, lane); }
    for (var back = 0u; back < length; back += 64u) {
      // The lane's row counts from the newest: lane 63 is the newest of this step, so that steps go down and lanes within a step up.
      let below = length - min(length, back + 64u);
      let t = below + lane;
      let isRow = t < length - back;
      var paid = 0.0;
      if (isRow && position[start + t] >= p.sinks) { paid = squared(start + t, head); }
      let behind = above(paid, lane);
      if (isRow) { result[home + t] += sqrt(sum + behind); }
      sum += sumOfAll();
    }
    whole += sqrt(sum);
  }
  storageBarrier();
  for (var h = 0u; h < p.kvHeads; h++) {
    if (h == longest) { continue; }
    share(segments[3u * h], segments[3u * h + 1u], home, whole, lane);
  }
  storageBarrier();
  share(home, most, home, whole, lane);
}

fn share(start: u32, length: u32, home: u32, whole: f32, lane: u32) {
  for (var t = lane; t < length; t += 64u) {
    var lost = 1.0;
    if (whole > 0.0) { lost = 1.0 - result[home + t] / whole; }
    result[start + t] = select(lost, 0.0, position[start + t] < p.sinks);
  }
}
