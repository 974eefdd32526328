"""Decodes blocks with the Python package gguf: decode_blocks.py folder. For each file TYPE.bin there, prints TYPE and the
SHA-256 of the decoded little-endian f32 numbers. Started by tools/golden.ts."""
import hashlib
import pathlib
import sys

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

for path in sorted(pathlib.Path(sys.argv[1]).glob("*.bin")):
    data = np.fromfile(path, dtype=np.uint8)
    kind = GGMLQuantizationType[path.stem]
    plain = {"F32": np.float32, "F16": np.float16}.get(path.stem)
    numbers = data.view(plain) if plain else dequantize(data, kind)
    print(path.stem, hashlib.sha256(numbers.astype("<f4").tobytes()).hexdigest())
