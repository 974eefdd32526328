// Labels of rows in the column `labels`: whole numbers below `room`, any other number is none. `segments` is a binding.
const noLabel = 0xFFFFFFFFu;
var<workgroup> labelsUsed: atomic<u32>;
var<workgroup> labelsEnd: u32;

fn labelAt(slot: u32, room: u32) -> u32 {
  let x = labels[slot];
  let bits = bitcast<u32>(x);
  // Negative numbers, NaN and numbers from 2^32 on; minus zero is zero.
  if (bits > 0x4F7FFFFFu && bits != 0x80000000u) { return noLabel; }
  let label = u32(x);
  return select(noLabel, label, f32(label) == x && label < room);
}

// One more than the largest label of a head's rows; 256 invocations.
fn labelsIn(h: u32, room: u32, lane: u32) -> u32 {
  let start = segments[3u * h];
  var most = 0u;
  for (var t = lane; t < segments[3u * h + 1u]; t += 256u) { most = max(most, labelAt(start + t, room) + 1u); }
  atomicMax(&labelsUsed, most);
  workgroupBarrier();
  if (lane == 0u) { labelsEnd = atomicLoad(&labelsUsed); }
  return workgroupUniformLoad(&labelsEnd);
}
