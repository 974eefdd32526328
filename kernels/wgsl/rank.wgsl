// with order, protect, scan, select
// Which rows stay, by count (`rank`) or by value (`threshold`). First every row gets a flag in `keep`, 1 if it stays: `secure` or `passing` per
// head, then for a shared budget `share` over all heads. `collect` turns flags into ascending indices. Rows of a head ascend by position.
struct Params { heads: u32, mode: u32, count: u32, least: u32, sinks: u32, recent: u32, value: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> score: array<u32>;
@group(0) @binding(3) var<storage, read> position: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read> newest: array<u32>;
@group(0) @binding(6) var<storage, read_write> keep: array<u32>;
@group(0) @binding(7) var<storage, read_write> counts: array<u32>;

fn keyOf(slot: u32, stage: u32) -> u32 { return orderKey(score[slot]); }

// In the first stage all rows that are not protected compete, in the second those without a flag.
fn competes(slot: u32, stage: u32) -> bool {
  if (stage == 0u) { return !isProtected(slot); }
  return keep[slot] == 0u;
}

// Flags the best `wanted` competitors of heads [first, end): those above the bar, and on it the first in order.
fn flag(first: u32, end: u32, stage: u32, wanted: u32, lane: u32) {
  var limit = vec2u(0xFFFFFFFFu, 0u);
  if (wanted > 0u) { limit = bar(first, end, stage, wanted, lane); }
  var taken = 0u;
  for (var h = first; h < end; h++) {
    let start = segments[3u * h];
    let length = segments[3u * h + 1u];
    for (var base = 0u; base < length; base += 256u) {
      let slot = start + base + lane;
      let isRow = base + lane < length;
      var mine = false;
      var key = 0u;
      if (isRow) {
        mine = competes(slot, stage);
        key = keyOf(slot, stage);
      }
      let isTie = isRow && mine && key == limit.x;
      let order = ranked(u32(isTie), lane);
      let isTaken = mine && (key > limit.x || (isTie && taken + order.x < limit.y));
      if (isRow && stage == 0u) { keep[slot] = u32(!mine || isTaken); }
      if (isRow && stage == 1u && isTaken) { keep[slot] = 1u; }
      taken += order.y;
      workgroupBarrier();
    }
  }
}

// Rows of heads [first, end) that compete.
fn competitors(first: u32, end: u32, stage: u32, lane: u32) -> u32 {
  var mine = 0u;
  for (var h = first; h < end; h++) {
    let start = segments[3u * h];
    for (var slot = start + lane; slot < start + segments[3u * h + 1u]; slot += 256u) { mine += u32(competes(slot, stage)); }
  }
  return sumOf(mine, lane);
}

fn secureHead(h: u32, budget: u32, lane: u32) {
  let length = segments[3u * h + 1u];
  let open = competitors(h, h + 1u, 0u, lane);
  let shielded = length - open;
  flag(h, h + 1u, 0u, min(open, budget - min(budget, shielded)), lane);
}

// One workgroup per head: protected rows, and the best up to the head's own budget.
@compute @workgroup_size(256)
fn secure(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  secureHead(group.x, select(p.least, p.count, p.mode == 0u), lane);
}

// One workgroup: what the layer's budget leaves goes to the best rows of all heads.
@compute @workgroup_size(256)
fn share(@builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  var rows = 0u;
  for (var h = 0u; h < p.heads; h++) { rows += segments[3u * h + 1u]; }
  let open = competitors(0u, p.heads, 1u, lane);
  let budget = select(p.heads * p.count, 0xFFFFFFFFu, p.count > 0xFFFFFFFFu / max(1u, p.heads));
  flag(0u, p.heads, 1u, min(open, budget - min(budget, rows - open)), lane);
}

// One workgroup per head: rows that score at least the value; if too few pass, the best.
@compute @workgroup_size(256)
fn passing(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let least = orderKey(bitcast<u32>(p.value));
  var mine = 0u;
  for (var slot = start + lane; slot < start + length; slot += 256u) {
    let stays = u32(isProtected(slot) || orderKey(score[slot]) >= least);
    keep[slot] = stays;
    mine += stays;
  }
  let found = sumOf(mine, lane);
  if (found < p.least) { secureHead(group.x, p.least, lane); }
}

// One workgroup per head: flags to indices. An index lies at or below its flag, and flags of later steps lie above.
@compute @workgroup_size(256)
fn collect(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  var found = 0u;
  for (var base = 0u; base < length; base += 256u) {
    var stays = 0u;
    if (base + lane < length) { stays = keep[start + base + lane]; }
    storageBarrier();
    let order = ranked(stays, lane);
    if (stays == 1u) { keep[start + found + order.x] = base + lane; }
    found += order.y;
    storageBarrier();
  }
  if (lane == 0u) { counts[group.x] = found; }
}
