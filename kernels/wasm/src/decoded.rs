//! Coded rows as f32, one at a time.

use crate::codec::Codec;

/// Coded rows, decoded one at a time. Codecs hold at most these channels.
pub struct Decoded {
    codec: Codec,
    rows: *const u8,
    dim: usize,
    row: [f32; 1024],
}

impl Decoded {
    /// Over row storage.
    pub fn of(choice: usize, rows: *const u8, dim: usize) -> Decoded {
        Decoded { codec: Codec::of(choice), rows, dim, row: [0.0; 1024] }
    }

    /// The row at `slot` as f32, until the next one.
    pub unsafe fn row(&mut self, slot: usize) -> *const u8 {
        self.codec.read(self.rows, slot, 1, self.dim, self.row.as_mut_ptr());
        self.row.as_ptr() as *const u8
    }
}
