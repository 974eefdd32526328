// with order
// At most one row per head passes on or leaves. `judge`, one workgroup per head, finds the victims of both tiers and what becomes of them; `first` and
// `second` write what stays, one workgroup per head. In `fates`: per head the index that leaves the first tier, 1 if it passes on, and the index that
// leaves the second.
struct Params { heads: u32, high: f32, low: f32, recent: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> firstScore: array<u32>;
@group(0) @binding(3) var<storage, read> firstPosition: array<u32>;
@group(0) @binding(4) var<storage, read> firstLayout: array<u32>;
@group(0) @binding(5) var<storage, read> secondScore: array<u32>;
@group(0) @binding(6) var<storage, read> secondLayout: array<u32>;
@group(0) @binding(7) var<storage, read> newest: array<u32>;
@group(0) @binding(8) var<storage, read_write> firstKeep: array<u32>;
@group(0) @binding(9) var<storage, read_write> firstCounts: array<u32>;
@group(0) @binding(10) var<storage, read_write> firstLeave: array<u32>;
@group(0) @binding(11) var<storage, read_write> firstLeaving: array<u32>;
@group(0) @binding(12) var<storage, read_write> secondKeep: array<u32>;
@group(0) @binding(13) var<storage, read_write> secondCounts: array<u32>;
@group(0) @binding(14) var<storage, read_write> fates: array<u32>;
const none = 0xFFFFFFFFu;
var<workgroup> least: atomic<u32>;
var<workgroup> index: atomic<u32>;

// NaN scores as minus infinity does.
fn keyOf(bits: u32) -> u32 { return max(orderKey(bits), 0x007FFFFFu); }

// The key of a row's score, that of infinity if it may not go.
fn firstKey(slot: u32) -> u32 {
  let at = firstPosition[slot];
  return select(0xFF800000u, keyOf(firstScore[slot]), at <= newest[0] && newest[0] - at >= p.recent);
}

// Index and key of the row that scores least, the first of equal ones; none whose score is infinite.
fn victim(isSecond: bool, start: u32, length: u32, lane: u32) -> vec2u {
  workgroupBarrier();
  if (lane == 0u) {
    atomicStore(&least, 0xFF800000u);
    atomicStore(&index, none);
  }
  workgroupBarrier();
  var best = 0xFF800000u;
  var found = none;
  for (var t = lane; t < length; t += 256u) {
    var key = 0u;
    if (isSecond) { key = keyOf(secondScore[start + t]); } else { key = firstKey(start + t); }
    if (key < best) {
      best = key;
      found = t;
    }
  }
  atomicMin(&least, best);
  workgroupBarrier();
  if (found != none && best == atomicLoad(&least)) { atomicMin(&index, found); }
  workgroupBarrier();
  return vec2u(atomicLoad(&index), atomicLoad(&least));
}

@compute @workgroup_size(256)
fn judge(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let fine = victim(false, firstLayout[3u * group.x], firstLayout[3u * group.x + 1u], lane);
  let coarse = victim(true, secondLayout[3u * group.x], secondLayout[3u * group.x + 1u], lane);
  if (lane != 0u) { return; }
  let low = keyOf(bitcast<u32>(p.low));
  let leaves = fine.y < low && fine.y < coarse.y;
  let passes = !leaves && fine.y < keyOf(bitcast<u32>(p.high));
  fates[3u * group.x] = select(none, fine.x, leaves || passes);
  fates[3u * group.x + 1u] = u32(passes);
  fates[3u * group.x + 2u] = select(none, coarse.x, passes && coarse.y < low);
}

@compute @workgroup_size(64)
fn first(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = firstLayout[3u * group.x];
  let length = firstLayout[3u * group.x + 1u];
  let gone = fates[3u * group.x];
  for (var t = lane; t < length; t += 64u) {
    if (t != gone) { firstKeep[start + t - u32(t > gone)] = t; }
  }
  if (lane != 0u) { return; }
  firstCounts[group.x] = length - u32(gone != none);
  let passes = fates[3u * group.x + 1u];
  firstLeaving[group.x] = passes;
  if (passes == 1u) { firstLeave[start] = gone; }
}

@compute @workgroup_size(64)
fn second(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = secondLayout[3u * group.x];
  let length = secondLayout[3u * group.x + 1u];
  let gone = fates[3u * group.x + 2u];
  for (var t = lane; t < length; t += 64u) {
    if (t != gone) { secondKeep[start + t - u32(t > gone)] = t; }
  }
  if (lane == 0u) { secondCounts[group.x] = length - u32(gone != none); }
}
