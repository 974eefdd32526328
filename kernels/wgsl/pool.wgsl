// with segments
// Centred window of odd size along each segment but for its last dropLast rows, which are copied. One invocation per slot.
struct Params { heads: u32, by: u32, size: u32, dropLast: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

fn pooled(start: u32, t: u32, end: u32) -> f32 {
  let reach = (p.size - 1u) / 2u;
  let first = t - min(t, reach);
  var sum = 0.0;
  var most = a[start + t];
  for (var i = first; i < min(end, t + reach + 1u); i++) {
    sum += a[start + i];
    most = max(most, a[start + i]);
  }
  return select(sum / f32(p.size), most, p.by == 0u);
}

@compute @workgroup_size(64)
fn pool(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h == p.heads) { return; }
  let start = segments[3u * h];
  let end = segments[3u * h + 1u] - min(segments[3u * h + 1u], p.dropLast);
  if (slot - start >= end) { result[slot] = a[slot]; } else { result[slot] = pooled(start, slot - start, end); }
}
