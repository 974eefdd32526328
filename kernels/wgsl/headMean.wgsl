// with segments
// Mean over the heads that have an index. One invocation per slot.
struct Params { heads: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

fn meanAt(t: u32) -> f32 {
  var sum = 0.0;
  var sharing = 0.0;
  for (var h = 0u; h < p.heads; h++) {
    if (t < segments[3u * h + 1u]) {
      sum += a[segments[3u * h] + t];
      sharing += 1.0;
    }
  }
  return sum / max(1.0, sharing);
}

@compute @workgroup_size(64)
fn headMean(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h < p.heads) { result[slot] = meanAt(slot - segments[3u * h]); }
}
