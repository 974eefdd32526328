// with stored as rows
// Per head the mean over rows of row / max(|row|, 1e-12). One workgroup per head and 64 channels; 64 rows at a time.
struct Params { heads: u32, dim: u32, codec: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;
var<workgroup> inverse: array<f32, 64>;

@compute @workgroup_size(64)
fn meanUnit(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let c = group.y * 64u + lane;
  var mean = 0.0;
  for (var first = 0u; first < length; first += 64u) {
    var energy = 0.0;
    if (first + lane < length) {
      for (var d = 0u; d < p.dim; d++) {
        let x = rowsAt(start + first + lane, d, p.dim);
        energy += x * x;
      }
    }
    inverse[lane] = 1.0 / max(sqrt(energy), 1e-12);
    workgroupBarrier();
    if (c < p.dim) {
      for (var t = 0u; t < min(64u, length - first); t++) { mean += rowsAt(start + first + t, c, p.dim) * inverse[t]; }
    }
    workgroupBarrier();
  }
  if (c < p.dim) { result[group.x * p.dim + c] = mean / f32(max(1u, length)); }
}
