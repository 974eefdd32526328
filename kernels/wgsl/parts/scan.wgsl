var<workgroup> scan: array<u32, 256>;

// Numbers of lanes below this one that say 1, and of all; 256 lanes.
fn ranked(isIn: u32, lane: u32) -> vec2u {
  scan[lane] = isIn;
  workgroupBarrier();
  for (var step = 1u; step < 256u; step <<= 1u) {
    var before = 0u;
    if (lane >= step) { before = scan[lane - step]; }
    workgroupBarrier();
    scan[lane] += before;
    workgroupBarrier();
  }
  let below = scan[lane] - isIn;
  let all = workgroupUniformLoad(&scan[255]);
  return vec2u(below, all);
}
