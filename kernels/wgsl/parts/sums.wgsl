// Over the 64 invocations of a workgroup, in uniform control flow.
var<workgroup> laneNumbers: array<f32, 64>;

fn sumOf64(value: f32, lane: u32) -> f32 {
  laneNumbers[lane] = value;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { laneNumbers[lane] += laneNumbers[lane + half]; }
    workgroupBarrier();
  }
  let total = laneNumbers[0];
  workgroupBarrier();
  return total;
}

fn maxOf64(value: f32, lane: u32) -> f32 {
  laneNumbers[lane] = value;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { laneNumbers[lane] = max(laneNumbers[lane], laneNumbers[lane + half]); }
    workgroupBarrier();
  }
  let most = laneNumbers[0];
  workgroupBarrier();
  return most;
}
