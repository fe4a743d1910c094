//! Bytes as a source of choices.

/// What is left of the bytes. Where there are none any more, everything is 0.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub const fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.byte()))
    }

    pub fn word(&mut self) -> u32 {
        (self.number() & 0xffff_ffff) as u32
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let number = u16::from_le_bytes([self.byte(), self.byte()]);
        usize::from(number) % end.max(1)
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// So many bytes, or what is left.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    /// A string without a null byte, at most `longest` long.
    pub fn text(&mut self, longest: usize) -> Vec<u8> {
        let len = self.below(longest + 1);
        let bytes = self.bytes(len).iter().copied();
        bytes.filter(|byte| *byte != 0).collect()
    }

    /// One of `constants`, or something near it: one more or less, another bit, junk where a
    /// register has more bits than are looked at. Now and then any number.
    pub fn near(&mut self, constants: &[u64]) -> u64 {
        let constant = if constants.is_empty() {
            0
        } else {
            self.pick(constants)
        };
        match self.byte() % 9 {
            0..=2 => constant,
            3 => constant.wrapping_add(1),
            4 => constant.wrapping_sub(1),
            5 => constant ^ 1 << (self.byte() % 64),
            6 => constant | self.number() << 32,
            7 => constant.rotate_left(32),
            _ => self.number(),
        }
    }
}
