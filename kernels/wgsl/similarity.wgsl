// with stored as rows, segments
// Cosine of each row with its head's anchor. One invocation per slot.
struct Params { heads: u32, dim: u32, codec: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> anchor: array<f32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> result: array<f32>;

fn cosine(slot: u32, h: u32) -> f32 {
  var product = 0.0;
  var energy = 0.0;
  var anchorEnergy = 0.0;
  for (var c = 0u; c < p.dim; c++) {
    let x = rowsAt(slot, c, p.dim);
    let a = anchor[h * p.dim + c];
    product += x * a;
    energy += x * x;
    anchorEnergy += a * a;
  }
  return product / max(sqrt(energy), 1e-12) / max(sqrt(anchorEnergy), 1e-12);
}

@compute @workgroup_size(64)
fn similarity(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || slot >= p.slots) { return; }
  let h = segmentsHead(slot, p.heads);
  if (h < p.heads) { result[slot] = cosine(slot, h); }
}
