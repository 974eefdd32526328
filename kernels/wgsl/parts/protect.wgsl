// Rows out of competition: sinks, and those that are recent. `position` and `newest` are bindings.
fn isProtected(slot: u32) -> bool {
  let at = position[slot];
  return at < p.sinks || at > newest[0] || newest[0] - at < p.recent;
}
