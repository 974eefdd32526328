// What a weight's numbers are held as while a tile of them is multiplied: halves where they are halves, in half the workgroup memory.
alias TileNumber = f16;
