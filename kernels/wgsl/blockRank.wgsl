// with segments
// Ranks inside the blocks that lagSpread weighs; other rows are copied. One invocation per slot.
struct Params { heads: u32, sinks: u32, lag: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

fn rankOf(slot: u32, first: u32) -> f32 {
  let x = a[slot];
  var below = 0u;
  for (var other = first; other < first + p.lag; other++) {
    let y = a[other];
    below += u32(y < x || (y == x && other < slot));
  }
  return f32(below) / f32(p.lag);
}

@compute @workgroup_size(64)
fn blockRank(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads) { return; }
  let length = segments[3u * h + 1u];
  let t = slot - segments[3u * h];
  let blocks = (length - min(length, p.sinks)) / p.lag;
  if (t < p.sinks || (t - p.sinks) / p.lag + 1u >= blocks) { result[slot] = a[slot]; return; }
  result[slot] = rankOf(slot, slot - (t - p.sinks) % p.lag);
}
