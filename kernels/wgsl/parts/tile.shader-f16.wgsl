// What a weight's numbers are held as while a tile of them is multiplied: half the workgroup memory, and rounded less than activations are.
alias TileNumber = f16;
