// with half, stored as keys
// A workgroup per KV head: what its queries and its rows make of each channel, then zeros in the least of them. Sums are f32, of four parts that
// are added in order: channels whose energies are closer than that is exact may change places with those of other backends.
struct Params { queries: u32, heads: u32, kvHeads: u32, keyDim: u32, keyCodec: u32, drop: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> queryPosition: array<u32>;
@group(0) @binding(4) var<storage, read> leave: array<u32>;
@group(0) @binding(5) var<storage, read> leaving: array<u32>;
@group(0) @binding(6) var<storage, read> segments: array<u32>;
@group(0) @binding(7) var<storage, read_write> keys: array<u32>;
@group(0) @binding(8) var<storage, read_write> dropped: array<u32>;
var<workgroup> energies: array<f32, 1024>;
var<workgroup> parts: array<vec2f, 256>;

// The sums of squares of channel c: of every fourth query from `part` on, and of every fourth row.
fn sumsOf(h: u32, c: u32, part: u32) -> vec2f {
  var sums = vec2f(0.0);
  let group = p.heads / p.kvHeads;
  for (var i = part; i < p.queries; i += 4u) {
    if (queryPosition[i] == 0xFFFFFFFFu) { continue; }
    for (var g = 0u; g < group; g++) {
      let x = q[(i * p.heads + h * group + g) * p.keyDim + c];
      sums.x += x * x;
    }
  }
  let start = segments[3u * h];
  for (var t = part; t < segments[3u * h + 1u]; t += 4u) {
    let x = keysAt(start + t, c, p.keyDim);
    sums.y += x * x;
  }
  return sums;
}

fn energyOf(sums: vec2f) -> f32 {
  let energy = sums.x * sums.y;
  return select(energy, 0.0, (bitcast<u32>(energy) & 0x7FFFFFFFu) > 0x7F800000u);
}

fn isLeast(c: u32) -> bool {
  var before = 0u;
  for (var d = 0u; d < p.keyDim; d++) {
    before += u32(energies[d] < energies[c] || (energies[d] == energies[c] && d > c));
  }
  return before < p.drop;
}

// Word w of a row without the channels that go.
fn thinned(word: u32, first: u32) -> u32 {
  if (keysBits == 32u) { return select(word, 0u, dropped[first] == 1u); }
  return word & (select(0xFFFFu, 0u, dropped[first] == 1u) | select(0xFFFF0000u, 0u, dropped[first + 1u] == 1u));
}

@compute @workgroup_size(256)
fn dropChannels(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let h = group.x;
  if (status[0] != 0u || h >= p.kvHeads) { return; }
  for (var base = 0u; base < p.keyDim; base += 64u) {
    let c = base + lane % 64u;
    if (c < p.keyDim) { parts[lane] = sumsOf(h, c, lane / 64u); }
    workgroupBarrier();
    if (lane < 64u && c < p.keyDim) { energies[c] = energyOf(parts[lane] + parts[lane + 64u] + parts[lane + 128u] + parts[lane + 192u]); }
    workgroupBarrier();
  }
  for (var c = lane; c < p.keyDim; c += 256u) { dropped[h * p.keyDim + c] = u32(isLeast(c)); }
  storageBarrier();
  let start = segments[3u * h];
  let words = keysWords(p.keyDim);
  for (var i = lane; i < leaving[h] * words; i += 256u) {
    let at = (start + leave[start + i / words]) * words + i % words;
    keys[at] = thinned(keys[at], h * p.keyDim + i % words * (32u / keysBits));
  }
}
