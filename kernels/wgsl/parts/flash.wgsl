// Flash-decoding over ragged heads. `partial`: one workgroup per work item, a part of a KV head's rows, and 8 of the queries of its group, so that
// rows are read once for all of them. Parts are as long as it takes for all heads together to have at most `items` of them, so a long head has many.
// `merge`: one workgroup per query head puts its parts together, in order. The shader says which rows there are: `rowsIn(h)`, `slotAt(h, t)`, and
// where queries stand: `queryAt(i)`. `q`, `position`, `result`, `lse` and `parts` are bindings; in `parts` lie bits of numbers.
const lowest = -3.0e38;
var<workgroup> queries: array<vec4f, 512>;
var<workgroup> weights: array<f32, 256>;
// KV head, first row, and the row after the last.
var<workgroup> itemRows: vec3u;

// Rows per part: a multiple of 32, at least 64.
fn partRows() -> u32 {
  var total = 0u;
  for (var h = 0u; h < p.kvHeads; h++) { total += rowsIn(h); }
  return max(64u, (total / (p.items - p.kvHeads) + 32u) / 32u * 32u);
}

fn partsOf(h: u32, rows: u32) -> u32 { return (rowsIn(h) + rows - 1u) / rows; }

fn findItem(item: u32) -> vec3u {
  let rows = partRows();
  var part = item;
  for (var h = 0u; h < p.kvHeads; h++) {
    let own = partsOf(h, rows);
    if (part < own) { return vec3u(h, part * rows, min(rowsIn(h), (part + 1u) * rows)); }
    part -= own;
  }
  return vec3u(p.kvHeads, 0u, 0u);
}

// Query i and head of row r of a group's queries.
fn queryRow(r: u32, kvHead: u32) -> u32 {
  let group = p.heads / p.kvHeads;
  return r / group * p.heads + kvHead * group + r % group;
}

// Four numbers of a query, zeros beyond its end.
fn queryFour(row: u32, c: u32) -> vec4f {
  let at = row * p.keyDim + c;
  if (c + 3u < p.keyDim) { return vec4f(q[at], q[at + 1u], q[at + 2u], q[at + 3u]); }
  var four = vec4f(q[at], 0.0, 0.0, 0.0);
  if (c + 1u < p.keyDim) { four.y = q[at + 1u]; }
  if (c + 2u < p.keyDim) { four.z = q[at + 2u]; }
  return four;
}

fn product(slot: u32, r: u32, quads: u32) -> f32 {
  var sum = vec4f(0.0);
  for (var c = 0u; c < quads; c++) { sum += queries[r * quads + c] * keysFour(slot, 4u * c, p.keyDim); }
  return sum.x + sum.y + sum.z + sum.w;
}

@compute @workgroup_size(128)
fn partial(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  if (status[0] != 0u) { return; }
  if (thread == 0u) { itemRows = findItem(group.x); }
  let item = workgroupUniformLoad(&itemRows);
  let kvHead = item.x;
  if (kvHead >= p.kvHeads) { return; }
  let perHead = p.m * (p.heads / p.kvHeads);
  let quads = (p.keyDim + 3u) / 4u;
  let r = thread / 16u;
  let lane = thread & 15u;
  let row = group.y * 8u + r;
  let isQuery = row < perHead;
  for (var c = thread; c < 8u * quads; c += 128u) {
    let own = group.y * 8u + c / quads;
    queries[c] = vec4f(0.0);
    if (own < perHead) { queries[c] = queryFour(queryRow(own, kvHead), c % quads * 4u); }
  }
  var query = 0xFFFFFFFFu;
  if (isQuery) { query = queryAt(row / (p.heads / p.kvHeads)); }
  var most = lowest;
  var mass = 0.0;
  var sums: array<vec4f, 4>;
  workgroupBarrier();
  for (var base = item.y; base < item.z; base += 32u) {
    for (var t = lane; t < 32u; t += 16u) {
      var score = lowest;
      if (base + t < item.z) {
        let slot = slotAt(kvHead, base + t);
        if (isVisible(position[slot], query, p.window)) { score = capped(p.scale * product(slot, r, quads), p.softcap); }
      }
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
    for (var j = 0u; j < 4u; j++) { sums[j] *= shrink; }
    for (var t = 0u; t < min(32u, item.z - base); t++) {
      let weight = weights[r * 32u + t];
      mass += weight;
      if (weight == 0.0) { continue; }
      let slot = slotAt(kvHead, base + t);
      for (var j = 0u; j * 64u + lane * 4u < p.valueDim; j++) { sums[j] += weight * valuesFour(slot, j * 64u + lane * 4u, p.valueDim); }
    }
    workgroupBarrier();
  }
  if (!isQuery) { return; }
  let at = (group.x * perHead + row) * (p.valueDim + 2u);
  for (var j = 0u; j * 64u + lane * 4u < p.valueDim; j++) {
    let c = j * 64u + lane * 4u;
    for (var i = 0u; i < min(4u, p.valueDim - c); i++) { parts[at + c + i] = bitcast<u32>(sums[j][i]); }
  }
  if (lane == 0u) {
    parts[at + p.valueDim] = bitcast<u32>(most);
    parts[at + p.valueDim + 1u] = bitcast<u32>(mass);
  }
}

fn partAt(i: u32) -> f32 { return bitcast<f32>(parts[i]); }

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
  for (var j = first; j < end; j++) { most = max(most, partAt((j * perHead + local) * (p.valueDim + 2u) + p.valueDim)); }
  var mass = 0.0;
  for (var j = first; j < end; j++) {
    let at = (j * perHead + local) * (p.valueDim + 2u) + p.valueDim;
    if (partAt(at) != lowest) { mass += partAt(at + 1u) * exp(partAt(at) - most); }
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
      let peak = partAt(at + p.valueDim);
      if (peak != lowest) { sum += partAt(at + c) * exp(peak - most); }
    }
    var merged = share * sum;
    if (oldShare > 0.0) { merged += oldShare * result[row * p.valueDim + c]; }
    result[row * p.valueDim + c] = merged;
  }
  if (lane == 0u) { lse[row] = all; }
}
