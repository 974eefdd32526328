// Places among numbers that ascend, in the binding `ascending`. A shader takes this part in under the name of its binding.

// How many of the first `count` numbers from `start` on are below the limit.
fn ascendingBelow(start: u32, count: u32, limit: u32) -> u32 {
  var below = 0u;
  var end = count;
  while (below < end) {
    let middle = (below + end) / 2u;
    if (ascending[start + middle] < limit) { below = middle + 1u; } else { end = middle; }
  }
  return below;
}

// How many of them are at most the limit.
fn ascendingUpTo(start: u32, count: u32, limit: u32) -> u32 {
  if (limit == 0xFFFFFFFFu) { return count; }
  return ascendingBelow(start, count, limit + 1u);
}
