// with order, protect, scan, segments, ascending as leave
// Which rows pass on to another tier: those that are not protected and score no more than below the value, in whole groups. `choose` lists them,
// one workgroup per head; `rest` lists the others, one invocation per slot, which seeks its row among those that leave.
struct Params { heads: u32, value: f32, sinks: u32, recent: u32, size: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> score: array<u32>;
@group(0) @binding(3) var<storage, read> position: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read> newest: array<u32>;
@group(0) @binding(6) var<storage, read_write> keep: array<u32>;
@group(0) @binding(7) var<storage, read_write> counts: array<u32>;
@group(0) @binding(8) var<storage, read_write> leave: array<u32>;
@group(0) @binding(9) var<storage, read_write> leaving: array<u32>;

@compute @workgroup_size(256)
fn choose(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let least = orderKey(bitcast<u32>(p.value));
  var found = 0u;
  for (var base = 0u; base < length; base += 256u) {
    let slot = start + base + lane;
    var goes = 0u;
    if (base + lane < length) { goes = u32(!isProtected(slot) && orderKey(score[slot]) < least); }
    let order = ranked(goes, lane);
    if (goes == 1u) { leave[start + found + order.x] = base + lane; }
    found += order.y;
    workgroupBarrier();
  }
  if (lane != 0u) { return; }
  let gone = found - found % max(1u, p.size);
  leaving[group.x] = gone;
  counts[group.x] = length - gone;
}

@compute @workgroup_size(64)
fn rest(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads) { return; }
  let start = segments[3u * h];
  let t = slot - start;
  let before = leaveBelow(start, leaving[h], t);
  if (before >= leaving[h] || leave[start + before] != t) { keep[start + t - before] = t; }
}
