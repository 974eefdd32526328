// with scan
// Which of the kept rows of a woven list are one tier's, in the order in which they are kept. One workgroup per head; once for each tier, whose
// operands are bound where the first's are.
override tier: u32 = 0u;
struct Params { heads: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> keep: array<u32>;
@group(0) @binding(3) var<storage, read> counts: array<u32>;
@group(0) @binding(4) var<storage, read> order: array<u32>;
@group(0) @binding(5) var<storage, read> wovenLayout: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(8) var<storage, read_write> tierKeep: array<u32>;
@group(0) @binding(9) var<storage, read_write> tierCounts: array<u32>;

@compute @workgroup_size(256)
fn unweave(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u || group.x >= p.heads) { return; }
  let start = wovenLayout[3u * group.x];
  let rows = segments[3u * group.x + 1u];
  let count = counts[group.x];
  var found = 0u;
  for (var base = 0u; base < count; base += 256u) {
    var code = 0u;
    var isOwn = false;
    if (base + lane < count) {
      code = order[start + keep[start + base + lane]];
      isOwn = (code & 1u) == tier;
    }
    let place = ranked(u32(isOwn), lane);
    if (isOwn && found + place.x < rows) { tierKeep[segments[3u * group.x] + found + place.x] = code >> 1u; }
    found += place.y;
    workgroupBarrier();
  }
  if (lane == 0u) { tierCounts[group.x] = min(found, rows); }
}
