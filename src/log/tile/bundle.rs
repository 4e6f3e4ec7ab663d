//! Entry bundles: up to 256 entries, each after its length in two bytes, big-endian
//! (`c2sp.org/tlog-tiles`, "Log entries").

use super::TILE_WIDTH;

/// Most bytes of an entry: what two bytes can count.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Why a bundle is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// No entries, or more than [`TILE_WIDTH`], or not as many as the path says.
    #[error("the bundle has {found} entries; expected {expected}")]
    Count {
        /// Entries that were found; counting stops at one too many.
        found: usize,
        /// Entries that were expected, at most.
        expected: u16,
    },
    /// An entry of more than [`ENTRY_BYTES_MAX`].
    #[error("an entry has {bytes} bytes; at most {ENTRY_BYTES_MAX} fit")]
    EntryTooLong {
        /// Length of the entry.
        bytes: usize,
    },
    /// The bytes end within an entry.
    #[error("the bundle ends within entry {number}")]
    CutOff {
        /// Which entry, counted from 1.
        number: usize,
    },
}

/// Writes 1 to 256 entries.
///
/// # Errors
/// [`BundleError::Count`] or [`BundleError::EntryTooLong`].
pub fn encode<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, BundleError> {
    if !(1..=usize::from(TILE_WIDTH)).contains(&entries.len()) {
        return Err(BundleError::Count { found: entries.len(), expected: TILE_WIDTH });
    }
    let mut bytes = Vec::new();
    for entry in entries.iter().map(AsRef::as_ref) {
        let length = u16::try_from(entry.len());
        let length = length.map_err(|_| BundleError::EntryTooLong { bytes: entry.len() })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// Reads the entries of a bundle of exactly this width.
///
/// # Errors
/// [`BundleError::Count`] or [`BundleError::CutOff`].
pub fn decode(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, BundleError> {
    let (mut entries, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() && entries.len() <= usize::from(width) {
        let number = entries.len().saturating_add(1);
        let (entry, after) = split_entry(rest).ok_or(BundleError::CutOff { number })?;
        entries.push(entry);
        rest = after;
    }
    match entries.len() {
        found if found == usize::from(width) => Ok(entries),
        found => Err(BundleError::Count { found, expected: width }),
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = bytes.split_first_chunk()?;
    after.split_at_checked(u16::from_be_bytes(*length).into())
}
