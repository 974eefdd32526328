// with rows, score
// Flash-decoding over ragged heads. `partial`: one workgroup per work item, a part of a KV head's rows, and 8 of the queries of its group.
// Parts are as long as it takes for all heads together to have at most `items` of them, so a long head has many. `merge`: one workgroup per
// query head puts its parts together, in order.
struct Params {
  m: u32, heads: u32, kvHeads: u32, keyDim: u32, valueDim: u32, keyCodec: u32, valueCodec: u32,
  scale: f32, window: u32, softcap: f32, merge: u32, items: u32
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> values: array<u32>;
@group(0) @binding(5) var<storage, read> position: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(7) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(8) var<storage, read_write> result: array<f32>;
@group(0) @binding(9) var<storage, read_write> lse: array<f32>;
@group(0) @binding(10) var<storage, read_write> parts: array<f32>;
@group(0) @binding(11) var<storage, read> done: array<f32>;
const lowest = -3.0e38;
var<workgroup> queries: array<f32, 2048>;
var<workgroup> weights: array<f32, 256>;

// Rows per part: a multiple of 32, at least 64.
fn partRows() -> u32 {
  var total = 0u;
  for (var h = 0u; h < p.kvHeads; h++) { total += segments[3u * h + 1u]; }
  return max(64u, (total / (p.items - p.kvHeads) + 32u) / 32u * 32u);
}

fn partsOf(h: u32, rows: u32) -> u32 { return (segments[3u * h + 1u] + rows - 1u) / rows; }

// Query i and head of row r of a group's queries.
fn queryRow(r: u32, kvHead: u32) -> u32 {
  let group = p.heads / p.kvHeads;
  return r / group * p.heads + kvHead * group + r % group;
}

fn product(slot: u32, r: u32) -> f32 {
  var sum = 0.0;
  let base = slot * p.keyDim;
  if (p.keyCodec == 0u) {
    for (var c = 0u; c < p.keyDim; c++) { sum += queries[r * p.keyDim + c] * bitcast<f32>(keys[base + c]); }
    return sum;
  }
  for (var c = 0u; c < p.keyDim; c += 2u) {
    let pair = unpack2x16float(keys[(base + c) / 2u]);
    sum += queries[r * p.keyDim + c] * pair.x + queries[r * p.keyDim + c + 1u] * pair.y;
  }
  return sum;
}

fn valueAt(i: u32) -> f32 { return fromWord(values[i >> p.valueCodec], i, p.valueCodec); }

@compute @workgroup_size(128)
fn partial(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  if (status[0] != 0u) { return; }
  let rows = partRows();
  var kvHead = 0u;
  var part = group.x;
  while (kvHead < p.kvHeads && part >= partsOf(kvHead, rows)) {
    part -= partsOf(kvHead, rows);
    kvHead++;
  }
  if (kvHead >= p.kvHeads) { return; }
  let start = segments[3u * kvHead];
  let end = min(segments[3u * kvHead + 1u], (part + 1u) * rows);
  let perHead = p.m * (p.heads / p.kvHeads);
  let r = thread / 16u;
  let lane = thread & 15u;
  let row = group.y * 8u + r;
  let isQuery = row < perHead;
  for (var c = thread; c < 8u * p.keyDim; c += 128u) {
    let source = group.y * 8u + c / p.keyDim;
    queries[c] = 0.0;
    if (source < perHead) { queries[c] = q[queryRow(source, kvHead) * p.keyDim + c % p.keyDim]; }
  }
  var query = 0xFFFFFFFFu;
  if (isQuery) { query = queryPosition[row / (p.heads / p.kvHeads)]; }
  var most = lowest;
  var mass = 0.0;
  var sums: array<f32, 16>;
  workgroupBarrier();
  for (var base = part * rows; base < end; base += 32u) {
    for (var t = lane; t < 32u; t += 16u) {
      var score = lowest;
      let slot = start + base + t;
      if (base + t < end && isVisible(position[slot], query, p.window)) { score = capped(p.scale * product(slot, r), p.softcap); }
      weights[r * 32u + t] = score;
    }
    workgroupBarrier();
    var top = most;
    for (var t = 0u; t < 32u; t++) { top = max(top, weights[r * 32u + t]); }
    workgroupBarrier();
    for (var t = lane; t < 32u; t += 16u) {
      let score = weights[r * 32u + t];
      weights[r * 32u + t] = select(exp(score - top), 0.0, score == lowest);
    }
    workgroupBarrier();
    let shrink = select(exp(most - top), 0.0, most == lowest);
    most = top;
    mass *= shrink;
    for (var j = 0u; j < 16u; j++) { sums[j] *= shrink; }
    for (var t = 0u; t < min(32u, end - base); t++) {
      let weight = weights[r * 32u + t];
      mass += weight;
      if (weight == 0.0) { continue; }
      let at = (start + base + t) * p.valueDim;
      for (var j = 0u; j * 16u + lane < p.valueDim; j++) { sums[j] += weight * valueAt(at + j * 16u + lane); }
    }
    workgroupBarrier();
  }
  if (!isQuery) { return; }
  let at = (group.x * perHead + row) * (p.valueDim + 2u);
  for (var j = 0u; j * 16u + lane < p.valueDim; j++) { parts[at + j * 16u + lane] = sums[j]; }
  if (lane == 0u) {
    parts[at + p.valueDim] = most;
    parts[at + p.valueDim + 1u] = mass;
  }
}

@compute @workgroup_size(64)
fn merge(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * groups.x + group.x;
  if (status[0] != 0u || row >= p.m * p.heads) { return; }
  let size = p.heads / p.kvHeads;
  let kvHead = row % p.heads / size;
  let perHead = p.m * size;
  let local = row / p.heads * size + row % size;
  let rows = partRows();
  var first = 0u;
  for (var h = 0u; h < kvHead; h++) { first += partsOf(h, rows); }
  let end = first + partsOf(kvHead, rows);
  var most = lowest;
  for (var j = first; j < end; j++) { most = max(most, done[(j * perHead + local) * (p.valueDim + 2u) + p.valueDim]); }
  var mass = 0.0;
  for (var j = first; j < end; j++) {
    let at = (j * perHead + local) * (p.valueDim + 2u) + p.valueDim;
    if (done[at] != lowest) { mass += done[at + 1u] * exp(done[at] - most); }
  }
  var fresh = -1e30;
  if (mass > 0.0) { fresh = most + log(mass); }
  var before = lowest;
  if (p.merge != 0u) { before = lse[row]; }
  let top = max(before, fresh);
  var all = fresh;
  if (p.merge != 0u) { all = top + log(exp(before - top) + exp(fresh - top)); }
  let oldShare = select(0.0, exp(before - all), p.merge != 0u);
  let share = select(0.0, exp(fresh - all) / mass, mass > 0.0);
  workgroupBarrier();
  for (var c = lane; c < p.valueDim; c += 64u) {
    var sum = 0.0;
    for (var j = first; j < end; j++) {
      let at = (j * perHead + local) * (p.valueDim + 2u);
      let peak = done[at + p.valueDim];
      if (peak != lowest) { sum += done[at + c] * exp(peak - most); }
    }
    var merged = share * sum;
    if (oldShare > 0.0) { merged += oldShare * result[row * p.valueDim + c]; }
    result[row * p.valueDim + c] = merged;
  }
  if (lane == 0u) { lse[row] = all; }
}
