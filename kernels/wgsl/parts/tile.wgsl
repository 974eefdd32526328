// What a weight's numbers are held as while a tile of them is multiplied.
alias TileNumber = f32;
