// The nested rules of `profile` and `obey`: which rows of a head rule `stage` keeps. Params begin with heads, numerator, denominator, window, sinks;
// `mass`, `kind`, `position`, `segments` and `newest` are bindings.
fn seen() -> u32 { return newest[0] + 1u; }

fn isAlways(slot: u32, rule: u32) -> bool {
  return position[slot] < p.sinks || kind[slot] == 1.0 || (rule >= 2u && kind[slot] == 2.0);
}

// Position + window >= seen, without overflow.
fn isLocal(slot: u32, rule: u32) -> bool {
  return rule == 4u && (position[slot] >= seen() || seen() - position[slot] <= p.window);
}

fn competes(slot: u32, rule: u32) -> bool { return !isAlways(slot, rule) && !isLocal(slot, rule); }

fn keyOf(slot: u32, rule: u32) -> u32 {
  return orderKey(bitcast<u32>(mass[slot] / f32(bitcast<i32>(seen() - position[slot]))));
}

// ceil(seen * numerator / denominator), at most `most`.
fn heavy(most: u32) -> u32 {
  let share = productOver(seen(), p.numerator, p.denominator);
  if (share.z == 1u || share.x >= most) { return most; }
  return min(most, share.x + u32(share.y > 0u));
}

// What is needed to tell which rows the rule chooses as heavy: the bar's key, and how many rows of that key.
fn limitOf(h: u32, rule: u32, lane: u32) -> vec2u {
  if (rule != 3u && rule != 4u) { return vec2u(0xFFFFFFFFu, 0u); }
  let start = segments[3u * h];
  let length = segments[3u * h + 1u];
  var mine = 0u;
  for (var slot = start + lane; slot < start + length; slot += 256u) { mine += u32(competes(slot, rule)); }
  let wanted = heavy(sumOf(mine, lane));
  if (wanted == 0u) { return vec2u(0xFFFFFFFFu, 0u); }
  return bar(h, h + 1u, rule, wanted, lane);
}

// Whether the rule keeps row `slot`, and how many more rows of the bar's key are then taken; 256 rows at a time, in order.
fn keeps(slot: u32, isRow: bool, rule: u32, limit: vec2u, taken: u32, lane: u32) -> vec2u {
  var isOpen = false;
  var key = 0u;
  if (isRow) {
    isOpen = competes(slot, rule);
    key = keyOf(slot, rule);
  }
  let isTie = isOpen && key == limit.x;
  let order = ranked(u32(isTie), lane);
  let isHeavy = isOpen && (key > limit.x || (isTie && taken + order.x < limit.y));
  return vec2u(u32(isRow && (rule == 5u || !isOpen || isHeavy)), order.y);
}
