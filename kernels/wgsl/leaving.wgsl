// with order, protect
// The end of each segment from its first row that a threshold removes. One workgroup per head.
struct Params { heads: u32, value: f32, sinks: u32, recent: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> score: array<u32>;
@group(0) @binding(3) var<storage, read> position: array<u32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read> newest: array<u32>;
@group(0) @binding(6) var<storage, read_write> tail: array<u32>;
var<workgroup> first: atomic<u32>;

@compute @workgroup_size(64)
fn leaving(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.x];
  let length = segments[3u * group.x + 1u];
  let least = orderKey(bitcast<u32>(p.value));
  if (lane == 0u) { atomicStore(&first, length); }
  workgroupBarrier();
  for (var t = lane; t < length; t += 64u) {
    if (!isProtected(start + t) && orderKey(score[start + t]) < least) {
      atomicMin(&first, t);
      break;
    }
  }
  workgroupBarrier();
  if (lane != 0u) { return; }
  let found = atomicLoad(&first);
  tail[3u * group.x] = start + found;
  tail[3u * group.x + 1u] = length - found;
  tail[3u * group.x + 2u] = segments[3u * group.x + 2u] - found;
}
