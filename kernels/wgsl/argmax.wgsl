// with order
// Index of the largest number per row, one workgroup per row; 0xFFFFFFFF if one is NaN or +infinity, or none is finite.
struct Params { m: u32, n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<u32>;
var<workgroup> most: atomic<u32>;
var<workgroup> first: atomic<u32>;
var<workgroup> isBroken: atomic<u32>;

@compute @workgroup_size(256)
fn argmax(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (status[0] != 0u) { return; }
  // The key of minus infinity, which no finite number has.
  var best = 0x007FFFFFu;
  var index = 0xFFFFFFFFu;
  for (var c = lane; c < p.n; c += 256u) {
    let key = orderKey(x[group.x * p.n + c]);
    // NaN has no key, infinity the largest.
    if (key == 0u || key == 0xFF800000u) { atomicStore(&isBroken, 1u); }
    if (key > best) { best = key; index = c; }
  }
  if (lane == 0u) { atomicStore(&first, 0xFFFFFFFFu); }
  atomicMax(&most, best);
  workgroupBarrier();
  if (best == atomicLoad(&most)) { atomicMin(&first, index); }
  workgroupBarrier();
  if (lane == 0u) { result[group.x] = select(atomicLoad(&first), 0xFFFFFFFFu, atomicLoad(&isBroken) == 1u); }
}
