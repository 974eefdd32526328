// with stored as keys, labels, labelled
// Of each label in use the mean of the keys of its rows, zeros without rows. A workgroup takes label after label of a head.
struct Params { heads: u32, dim: u32, codec: u32, stride: u32, rowBytes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> labels: array<f32>;
@group(0) @binding(4) var<storage, read> segments: array<u32>;
@group(0) @binding(5) var<storage, read_write> means: array<f32>;

@compute @workgroup_size(256)
fn centroids(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  let start = segments[3u * group.y];
  let length = segments[3u * group.y + 1u];
  let room = segments[3u * group.y + 2u] / p.stride;
  let used = labelsIn(group.y, room, lane);
  for (var label = group.x; label < used; label += groups.x) {
    let to = (start + label * p.stride) * (p.rowBytes / 4u);
    if (meanOf(label, start, length, room, to, lane) == 0u) {
      for (var c = lane; c < p.dim; c += 256u) { means[to + c] = 0.0; }
    }
  }
}
