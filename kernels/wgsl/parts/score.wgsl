// A row is visible if it is not newer than the query and, under a window, less than `window` positions older.
fn isVisible(row: u32, query: u32, window: u32) -> bool {
  return query != 0xFFFFFFFFu && row <= query && (window == 0u || query - row < window);
}

// softcap * tanh(s / softcap), by one exponential whose argument cannot overflow.
fn capped(score: f32, cap: f32) -> f32 {
  if (cap <= 0.0) { return score; }
  return cap * (1.0 - 2.0 / (1.0 + exp(clamp(2.0 * score / cap, -80.0, 80.0))));
}
