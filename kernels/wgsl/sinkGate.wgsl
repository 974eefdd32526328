// The gate of Fast KVzip: a token's own key among learned sinks, mean over the group. One invocation per token and KV head.
struct Params { m: u32, heads: u32, kvHeads: u32, dim: u32, count: u32, size: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> sinks: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn sinkGate(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || i >= p.m * p.kvHeads) { return; }
  let h = i % p.kvHeads;
  let members = p.heads / p.kvHeads;
  var mean = 0.0;
  for (var g = h * members; g < (h + 1u) * members; g++) {
    let query = (i / p.kvHeads * p.heads + g) * p.dim;
    var own = 0.0;
    for (var c = 0u; c < p.dim; c++) { own += k[i * p.dim + c] * q[query + c]; }
    var others = 0.0;
    for (var s = h * p.count; s < (h + 1u) * p.count; s++) {
      var product = 0.0;
      for (var c = 0u; c < p.dim; c++) { product += sinks[s * p.dim + c] * q[query + c]; }
      // Beyond 80 a sink leaves nothing of the gate, and exp must not overflow.
      others += exp(min(80.0, p.scale * product - p.scale * own - bias[g]));
    }
    mean += 1.0 / (1.0 + others);
  }
  result[i] = mean / f32(members);
}
