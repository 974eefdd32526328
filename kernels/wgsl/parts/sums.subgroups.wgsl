// Over the 64 invocations of a workgroup, in uniform control flow: first over each subgroup, then over subgroups.
var<workgroup> laneNumbers: array<f32, 64>;

fn sumOf64(value: f32, lane: u32) -> f32 {
  let size = subgroupAdd(1u);
  let part = subgroupAdd(value);
  if (subgroupElect()) { laneNumbers[lane / size] = part; }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 64u / size; i++) { total += laneNumbers[i]; }
  workgroupBarrier();
  return total;
}

fn maxOf64(value: f32, lane: u32) -> f32 {
  let size = subgroupAdd(1u);
  let part = subgroupMax(value);
  if (subgroupElect()) { laneNumbers[lane / size] = part; }
  workgroupBarrier();
  var most = laneNumbers[0];
  for (var i = 1u; i < 64u / size; i++) { most = max(most, laneNumbers[i]); }
  workgroupBarrier();
  return most;
}
