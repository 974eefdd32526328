// Larger numbers have larger keys; NaN has 0, both zeros the same. Comparing integers leaves NaN and ties to no driver.
fn orderKey(bits: u32) -> u32 {
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) { return 0u; }
  if ((bits & 0x7FFFFFFFu) == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}
