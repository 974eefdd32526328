// with blocks
// out[i] = scale * row ids[i] of the table, of which this tile holds rows [firstRow, firstRow + tileRows). One invocation per four numbers.
struct Params { m: u32, dim: u32, scale: f32, firstRow: u32, tileRows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn embed(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let fours = (p.dim + 3u) / 4u;
  if (status[0] != 0u || fours == 0u || i >= p.m * fours) { return; }
  let row = ids[i / fours];
  if (row < p.firstRow || row - p.firstRow >= p.tileRows) { return; }
  let c = i % fours * 4u;
  let four = p.scale * weightFour(row - p.firstRow, c, p.dim);
  for (var j = 0u; j < min(4u, p.dim - c); j++) { result[i / fours * p.dim + c + j] = four[j]; }
}
