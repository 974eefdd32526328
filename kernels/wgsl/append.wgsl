// with half, stored as keys, encoded as keys, stored as values, encoded as values
// Encodes m rows per head at the end of each segment. `rows` comes first, then `lengths`: no invocation may see a length that another
// has changed.
struct Params { m: u32, heads: u32, keyDim: u32, valueDim: u32, keyCodec: u32, valueCodec: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;
@group(0) @binding(7) var<storage, read_write> position: array<u32>;
@group(0) @binding(8) var<storage, read_write> segments: array<u32>;

fn keysSource(row: u32, c: u32) -> f32 { return k[row * p.keyDim + c]; }

fn valuesSource(row: u32, c: u32) -> f32 { return v[row * p.valueDim + c]; }

// One invocation per piece of the row of more pieces.
@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let keyPieces = p.keyDim / keysChannels();
  let valuePieces = p.valueDim / valuesChannels();
  let pieces = max(1u, max(keyPieces, valuePieces));
  if (status[0] != 0u || i >= p.m * p.heads * pieces) { return; }
  let piece = i % pieces;
  let row = i / pieces;
  let h = row % p.heads;
  let slot = segments[3u * h] + segments[3u * h + 1u] + row / p.heads;
  if (piece < keyPieces) { keysPut(slot, piece, p.keyDim, row); }
  if (piece < valuePieces) { valuesPut(slot, piece, p.valueDim, row); }
  if (piece == 0u) { position[slot] = positions[row / p.heads]; }
}

@compute @workgroup_size(64)
fn lengths(@builtin(global_invocation_id) id: vec3u) {
  if (status[0] != 0u || id.x >= p.heads) { return; }
  segments[3u * id.x + 1u] += p.m;
}
