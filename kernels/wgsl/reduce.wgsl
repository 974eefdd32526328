// with stored as rows, segments
// Column of l1 or l2 norms, sums, means or maxima of the rows. One invocation per slot.
struct Params { heads: u32, dim: u32, codec: u32, by: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

fn fold(slot: u32) -> f32 {
  var sum = 0.0;
  var most = rowsAt(slot, 0u, p.dim);
  for (var c = 0u; c < p.dim; c++) {
    let x = rowsAt(slot, c, p.dim);
    switch p.by {
      case 0u: { sum += abs(x); }
      case 1u: { sum += x * x; }
      default: { sum += x; most = max(most, x); }
    }
  }
  switch p.by {
    case 1u: { return sqrt(sum); }
    case 3u: { return sum / f32(p.dim); }
    case 4u: { return most; }
    default: { return sum; }
  }
}

@compute @workgroup_size(64)
fn reduce(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  if (segmentsHead(slot, p.heads) < p.heads) { result[slot] = fold(slot); }
}
