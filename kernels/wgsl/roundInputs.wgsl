// What the inputs of a product with a weight in blocks are rounded to: per row and 32 inputs a scale, the largest magnitude / 127 with the eleven
// significant bits of a half, times whole numbers. Every backend rounds so; see `kernels/wasm/src/matmul/activations.rs`. One invocation per 32.
struct Params { m: u32, n: u32, k: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> rounded: array<vec4f>;

fn largestOf(four: vec4f) -> f32 { return max(max(abs(four.x), abs(four.y)), max(abs(four.z), abs(four.w))); }

fn roundToHalf(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>((bits + 0xFFFu + ((bits >> 13u) & 1u)) & 0xFFFFE000u);
}

@compute @workgroup_size(64)
fn roundInputs(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let block = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || block >= p.m * (p.k / 32u)) { return; }
  var largest = 0.0;
  for (var i = 0u; i < 8u; i++) { largest = max(largest, largestOf(x[block * 8u + i])); }
  var inverse = 0.0;
  if (largest >= 1e-30) { inverse = 127.0 / largest; }
  let scale = roundToHalf(largest * (1.0 / 127.0));
  for (var i = 0u; i < 8u; i++) { rounded[block * 8u + i] = round(x[block * 8u + i] * inverse) * scale; }
}
