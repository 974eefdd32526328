// Bytes of one word, for writes that do not begin or end at a word.
struct Params { word: u32, mask: u32, bits: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(1)
fn poke() { result[p.word] = (result[p.word] & ~p.mask) | (p.bits & p.mask); }
