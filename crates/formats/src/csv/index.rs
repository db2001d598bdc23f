//! Finds delimiters and line ends 64 bytes at a time: the hot loop of the fast path.
//!
//! For every block of 64 bytes the positions of delimiters, newlines and quotes become three bit
//! masks. What lies between quotes is masked out by a running parity, as in vectorised JSON
//! parsers; this is right only for chunks of [`crate::csv::chunk::Shape::Plain`] and `Quoted`.

/// Bytes that one call of [`Index::fill`] looks at, so that they stay in the first-level cache.
const WINDOW_BYTES: usize = 32 * 1024;

/// Cuts that are written at once; more than a block has are written in several rounds.
const ROUND: usize = 8;
/// Room that a block may need: its cuts, and what the last round writes in vain.
const BLOCK_ROOM: usize = 64 + ROUND;

/// Positions in one chunk, filled window by window.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Cuts, of which the first `cut_count` mean something.
    cut_space: Vec<u32>,
    cut_count: usize,
    /// For each whole record, the place in the cuts of its end.
    pub(crate) ends: Vec<u32>,
    /// For each whole record, the lines of the chunk up to and including it.
    pub(crate) lines: Vec<u32>,
    position: usize,
    /// All ones while inside of quotes.
    inside: u64,
    line: u32,
}

/// What the masks look for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) delimiter: u8,
    pub(crate) newline: u8,
    /// None where the chunk has no quote.
    pub(crate) quote: Option<u8>,
}

impl Index {
    /// Where fields begin: one past each delimiter or newline, after the beginning of the first
    /// record. The field between cuts `i` and `i + 1` ends one byte before the latter.
    pub(crate) fn cuts(&self) -> &[u32] {
        &self.cut_space[..self.cut_count]
    }

    /// Starts with a new chunk.
    pub(crate) fn reset(&mut self) {
        self.cut_count = 0;
        self.push_cut(0);
        self.ends.clear();
        self.lines.clear();
        self.position = 0;
        self.inside = 0;
        self.line = 0;
    }

    /// Forgets the whole records, keeps the begun one.
    pub(crate) fn consume(&mut self) {
        if let Some(last) = self.ends.last() {
            let last = *last as usize;
            self.cut_space.copy_within(last..self.cut_count, 0);
            self.cut_count -= last;
        }
        self.ends.clear();
        self.lines.clear();
    }

    /// Indexes the next window of `bytes`, and further until a record ends in it. Returns false
    /// when there is nothing left.
    pub(crate) fn fill(&mut self, bytes: &[u8], marks: Marks) -> bool {
        let window_end = self.position + WINDOW_BYTES;
        while self.position < bytes.len() && (self.position < window_end || self.ends.is_empty()) {
            let rest = &bytes[self.position..];
            match rest.first_chunk::<64>() {
                Some(block) => self.add(block, marks, u64::MAX),
                None => {
                    let mut block = [0; 64];
                    block[..rest.len()].copy_from_slice(rest);
                    self.add(&block, marks, (1 << rest.len()) - 1);
                }
            }
            self.position += 64;
        }
        let is_at_end = self.position >= bytes.len();
        let last = self.cuts().last().map_or(0, |last| *last as usize);
        let is_fresh = match self.ends.last() {
            Some(end) => *end as usize + 1 == self.cut_count,
            None => self.cut_count == 1,
        };
        if is_at_end && !(is_fresh && last >= bytes.len()) {
            // The last record has no newline; it ends as if one stood behind it.
            self.line += 1;
            self.push_cut(to_u32(bytes.len()) + 1);
            self.ends.push(to_u32(self.cut_count - 1));
            self.lines.push(self.line);
        }
        !self.ends.is_empty()
    }

    fn push_cut(&mut self, cut: u32) {
        self.cut_space.resize(self.cut_space.len().max(self.cut_count + BLOCK_ROOM), 0);
        self.cut_space[self.cut_count] = cut;
        self.cut_count += 1;
    }

    #[inline]
    fn add(&mut self, block: &[u8; 64], marks: Marks, valid: u64) {
        let newlines = mask_of(block, |byte| byte == marks.newline) & valid;
        let mut cuts =
            mask_of(block, |byte| (byte == marks.delimiter) | (byte == marks.newline)) & valid;
        let mut ends = newlines;
        if let Some(quote) = marks.quote {
            let inside = prefix_parity(mask_of(block, |byte| byte == quote) & valid) ^ self.inside;
            // The sign bit says whether the block ends inside of quotes.
            self.inside = (inside.cast_signed() >> 63).cast_unsigned();
            cuts &= !inside;
            ends &= !inside;
        }
        let first = self.cut_count;
        self.write_cuts(cuts);
        while ends != 0 {
            let upto = ends ^ (ends - 1);
            self.ends.push(to_u32(first) + (cuts & upto).count_ones() - 1);
            self.lines.push(self.line + (newlines & upto).count_ones());
            ends &= ends - 1;
        }
        self.line += newlines.count_ones();
    }

    /// Writes a cut for each bit, in rounds of a fixed size: a loop that ends after the last bit
    /// would be mispredicted in nearly every block.
    #[inline]
    fn write_cuts(&mut self, mut cuts: u64) {
        let count = cuts.count_ones() as usize;
        let end = self.cut_count + BLOCK_ROOM;
        if end > self.cut_space.len() {
            self.cut_space.resize(end * 2, 0);
        }
        let space = &mut self.cut_space[self.cut_count..end];
        let base = to_u32(self.position) + 1;
        for round in space.as_chunks_mut::<ROUND>().0.iter_mut().take(count.div_ceil(ROUND)) {
            for cut in round {
                // The highest bit is set so that the number of zeros is defined when none is left.
                *cut = base + (cuts | 1 << 63).trailing_zeros();
                cuts &= cuts.wrapping_sub(1);
            }
        }
        self.cut_count += count;
    }
}

/// One bit for each byte of `block` that is wanted.
#[inline]
fn mask_of(block: &[u8; 64], is_wanted: impl Fn(u8) -> bool) -> u64 {
    let mut hits = [0u8; 64];
    for (hit, byte) in hits.iter_mut().zip(block) {
        *hit = u8::from(is_wanted(*byte));
    }
    let mut mask = 0;
    for (at, word) in hits.as_chunks::<8>().0.iter().enumerate() {
        // Gathers the lowest bits of eight bytes in the highest byte.
        let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (8 * at);
    }
    mask
}

/// Bit `i` becomes the parity of bits `0..=i`.
#[inline]
fn prefix_parity(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ (bits << 32)
}

fn to_u32(position: usize) -> u32 {
    u32::try_from(position).expect("a chunk is shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(text: &str, quote: Option<u8>) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let mut index = Index::default();
        index.reset();
        index.fill(text.as_bytes(), Marks { delimiter: b',', newline: b'\n', quote });
        (index.cuts().to_vec(), index.ends, index.lines)
    }

    #[test]
    fn delimiters_and_line_ends_are_found() {
        let (cuts, ends, lines) = index("a,bc\n,d\ne", None);
        assert_eq!(cuts, [0, 2, 5, 6, 8, 10]);
        assert_eq!(ends, [2, 4, 5]);
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn a_last_field_may_be_empty() {
        assert_eq!(index("a\nb,", None), (vec![0, 2, 4, 5], vec![1, 3], vec![1, 2]));
    }

    #[test]
    fn what_is_in_quotes_is_not_cut() {
        let (cuts, ends, lines) = index("\"a,\n\"\"b\",c\nd,e\n", Some(b'"'));
        assert_eq!(cuts, [0, 9, 11, 13, 15]);
        assert_eq!(ends, [2, 4]);
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn quotes_stay_open_over_blocks() {
        let text = format!("\"{}\",x\n", ",".repeat(100));
        let (cuts, ends, _) = index(&text, Some(b'"'));
        assert_eq!(cuts.len(), 3);
        assert_eq!(ends, [2]);
    }

    #[test]
    fn a_mask_has_a_bit_for_each_byte() {
        let mut block = [b'x'; 64];
        for at in [0, 7, 8, 31, 63] {
            block[at] = b'y';
        }
        assert_eq!(mask_of(&block, |byte| byte == b'y'), 1 | 1 << 7 | 1 << 8 | 1 << 31 | 1 << 63);
    }
}
