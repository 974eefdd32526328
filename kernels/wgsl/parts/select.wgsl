// Finding the best rows of heads by radix, 256 invocations. The shader says which rows compete, `competes(slot, stage)`, and gives their keys,
// `keyOf(slot, stage)`, a larger one for a better row; `segments` is a binding.
var<workgroup> buckets: array<atomic<u32>, 256>;
var<workgroup> total: atomic<u32>;
var<workgroup> uniformWord: u32;
var<workgroup> uniformOther: u32;

// Sum over the workgroup of one number per invocation.
fn sumOf(value: u32, lane: u32) -> u32 {
  if (lane == 0u) { atomicStore(&total, 0u); }
  workgroupBarrier();
  atomicAdd(&total, value);
  workgroupBarrier();
  if (lane == 0u) { uniformWord = atomicLoad(&total); }
  let sum = workgroupUniformLoad(&uniformWord);
  workgroupBarrier();
  return sum;
}

// Of the 256 buckets, the one from above that holds the wanted row, and how many are still wanted in it.
fn pick(wanted: u32, lane: u32) -> vec2u {
  if (lane == 0u) {
    var left = wanted;
    var digit = 255u;
    loop {
      let here = atomicLoad(&buckets[digit]);
      if (left <= here || digit == 0u) { break; }
      left -= here;
      digit -= 1u;
    }
    uniformWord = digit;
    uniformOther = left;
  }
  let digit = workgroupUniformLoad(&uniformWord);
  let left = workgroupUniformLoad(&uniformOther);
  return vec2u(digit, left);
}

// The key of the row that is number `wanted` from above among competitors of heads [first, end), and how many rows of that key are wanted.
fn bar(first: u32, end: u32, stage: u32, wanted: u32, lane: u32) -> vec2u {
  var prefix = 0u;
  var left = wanted;
  for (var shift = 24u; shift <= 24u; shift -= 8u) {
    atomicStore(&buckets[lane], 0u);
    workgroupBarrier();
    for (var h = first; h < end; h++) {
      let start = segments[3u * h];
      for (var slot = start + lane; slot < start + segments[3u * h + 1u]; slot += 256u) {
        let key = keyOf(slot, stage);
        let isSame = shift == 24u || (key >> (shift + 8u)) == (prefix >> (shift + 8u));
        if (isSame && competes(slot, stage)) { atomicAdd(&buckets[(key >> shift) & 255u], 1u); }
      }
    }
    workgroupBarrier();
    let picked = pick(left, lane);
    prefix |= picked.x << shift;
    left = picked.y;
    if (shift == 0u) { break; }
  }
  return vec2u(prefix, left);
}
