// with half
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

// One invocation per word of the wider of both rows.
@compute @workgroup_size(64)
fn rows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  let keyWords = p.keyDim >> p.keyCodec;
  let valueWords = p.valueDim >> p.valueCodec;
  let wide = max(1u, max(keyWords, valueWords));
  if (status[0] != 0u || i >= p.m * p.heads * wide) { return; }
  let word = i % wide;
  let row = i / wide;
  let h = row % p.heads;
  let slot = segments[3u * h] + segments[3u * h + 1u] + row / p.heads;
  if (word < keyWords) {
    let at = row * p.keyDim + (word << p.keyCodec);
    if (p.keyCodec == 0u) { keys[slot * keyWords + word] = bitcast<u32>(k[at]); }
    else { keys[slot * keyWords + word] = halfBits(k[at]) | (halfBits(k[at + 1u]) << 16u); }
  }
  if (word < valueWords) {
    let at = row * p.valueDim + (word << p.valueCodec);
    if (p.valueCodec == 0u) { values[slot * valueWords + word] = bitcast<u32>(v[at]); }
    else { values[slot * valueWords + word] = halfBits(v[at]) | (halfBits(v[at + 1u]) << 16u); }
  }
  if (word == 0u) { position[slot] = positions[row / p.heads]; }
}

@compute @workgroup_size(64)
fn lengths(@builtin(global_invocation_id) id: vec3u) {
  if (status[0] != 0u || id.x >= p.heads) { return; }
  segments[3u * id.x + 1u] += p.m;
}
