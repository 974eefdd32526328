// Element i of rows stored as f32 (codec 0) or f16 (codec 1), by its word.
fn fromWord(word: u32, i: u32, codec: u32) -> f32 {
  if (codec == 0u) { return bitcast<f32>(word); }
  return unpack2x16float(word >> (16u * (i & 1u))).x;
}
