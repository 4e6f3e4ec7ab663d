//! Comparison codes: five words that people read out to each other.

use std::fmt;

use bip39::Language;

/// Words of a code.
const WORDS: usize = 5;
/// Bits of a word: the list has 2048.
const BITS: u32 = 11;

/// Five words for the first 55 bits of a digest: the same on the page, in the terminal, in the
/// notification and on the record. Two orders that share one are found by 2^27 tries of whoever
/// makes both, and by 2^55 of whoever has to match a given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComparisonCode([&'static str; WORDS]);

impl ComparisonCode {
    /// The code of a SHA-256 digest. Words are those of BIP-39, in English.
    pub fn of(digest: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, ..] = *digest;
        let bits = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        let list = Language::English.word_list();
        let word = |nth: u32| {
            // 56 bits are at hand; the last one is left over.
            let shift = 56_u32.saturating_sub(nth.saturating_add(1).saturating_mul(BITS));
            let index = usize::try_from((bits >> shift) & 0x7ff).unwrap_or_default();
            list.get(index).copied().unwrap_or_default()
        };
        Self([word(0), word(1), word(2), word(3), word(4)])
    }
}

impl fmt::Display for ComparisonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_words_stand_for_the_first_55_bits() {
        let mut digest = [0_u8; 32];
        assert_eq!(ComparisonCode::of(&digest).to_string(), ["abandon"; 5].join(" "));
        digest[7] = 0xff;
        digest[6] = 0x01;
        assert_eq!(ComparisonCode::of(&digest).to_string(), ["abandon"; 5].join(" "));
        digest[6] = 0x02;
        assert_eq!(
            ComparisonCode::of(&digest).to_string(),
            "abandon abandon abandon abandon ability"
        );
        digest[0] = 0x80;
        assert_eq!(
            ComparisonCode::of(&digest).to_string(),
            "length abandon abandon abandon ability"
        );
        assert_eq!(ComparisonCode::of(&[0xff; 32]).to_string(), ["zoo"; 5].join(" "));
    }
}
