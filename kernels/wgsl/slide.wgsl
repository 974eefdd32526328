// ring = the last `window` rows of (ring, then x). One invocation per column walks it upwards, so that it reads every word of the
// ring before it writes there.
struct Params { m: u32, window: u32, width: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> ring: array<u32>;

@compute @workgroup_size(64)
fn slide(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = (group.y * groups.x + group.x) * 64u + lane;
  if (status[0] != 0u || column >= p.width) { return; }
  for (var row = 0u; row < p.window; row++) {
    let source = row + p.m;
    if (source < p.window) {
      ring[row * p.width + column] = ring[source * p.width + column];
    } else {
      ring[row * p.width + column] = x[(source - p.window) * p.width + column];
    }
  }
}
