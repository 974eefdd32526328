// with stored as keys, product, score, segments
// Column of attention mass per row. `prepare` makes a table of the queries, then one invocation per slot walks it.
override isDivided: bool = false;
override isGained: bool = false;
struct Params {
  queries: u32, heads: u32, kvHeads: u32, keyDim: u32, keyCodec: u32, scale: f32, window: u32, softcap: f32,
  overQueries: u32, overGroup: u32, accumulate: u32, slots: u32
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<u32>;
@group(0) @binding(4) var<storage, read> position: array<u32>;
@group(0) @binding(5) var<storage, read> segments: array<u32>;
@group(0) @binding(6) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(7) var<storage, read> lse: array<f32>;
@group(0) @binding(9) var<storage, read> divisor: array<f32>;
@group(0) @binding(10) var<storage, read> gain: array<f32>;
@group(0) @binding(8) var<storage, read_write> result: array<f32>;
@group(0) @binding(11) var<storage, read_write> queryTable: array<u32>;
@group(0) @binding(12) var<storage, read> prepared: array<u32>;

// Two words per query and head: its position, 0xFFFFFFFF if nothing is visible to it, and what to subtract from scores. The divisor goes
// into the exponent. The last word counts the queries that are there. This saves three bindings of the eight that every device has.
@compute @workgroup_size(64)
fn prepare(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (group.y * groups.x + group.x) * 64u + lane;
  let rows = p.queries * p.heads;
  if (status[0] != 0u || row > rows) { return; }
  if (row == rows) {
    var real = 0u;
    for (var i = 0u; i < p.queries; i++) { real += u32(queryPosition[i] != 0xFFFFFFFFu); }
    queryTable[2u * rows] = real;
    return;
  }
  let i = row / p.heads;
  queryTable[2u * row] = select(queryPosition[i], 0xFFFFFFFFu, lse[row] == -1e30);
  var less = lse[row];
  if (isDivided) { less += log(max(divisor[i], 1e-30)); }
  queryTable[2u * row + 1u] = bitcast<u32>(less);
}

fn score(slot: u32, row: u32) -> f32 {
  return capped(p.scale * product(slot, row * p.keyDim), p.softcap);
}

// Masses of one query head over all queries, folded.
fn overQueries(slot: u32, head: u32) -> f32 {
  var folded = 0.0;
  for (var i = 0u; i < p.queries; i++) {
    let row = i * p.heads + head;
    if (!isVisible(position[slot], prepared[2u * row], p.window)) { continue; }
    let mass = exp(score(slot, row) - bitcast<f32>(prepared[2u * row + 1u]));
    folded = select(folded + mass, max(folded, mass), p.overQueries == 2u);
  }
  let real = f32(max(1u, prepared[2u * p.queries * p.heads]));
  return select(folded, folded / real, p.overQueries == 1u);
}

fn mass(slot: u32, kvHead: u32) -> f32 {
  let group = p.heads / p.kvHeads;
  var folded = 0.0;
  for (var g = 0u; g < group; g++) {
    var one = overQueries(slot, kvHead * group + g);
    if (isGained) { one *= gain[slot * group + g]; }
    folded = select(folded + one, max(folded, one), p.overGroup == 2u);
  }
  return select(folded, folded / f32(group), p.overGroup == 1u);
}

@compute @workgroup_size(64)
fn attendReduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.kvHeads);
  if (h == p.kvHeads) { return; }
  var sum = mass(slot, h);
  if (p.accumulate != 0u) { sum += result[slot]; }
  result[slot] = sum;
}
