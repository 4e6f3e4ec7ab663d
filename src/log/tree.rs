//! RFC 6962 section 2.1: hashes of leaves and nodes, names of subtrees, heads of trees.

use std::fmt;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

mod frontier;

#[cfg(test)]
pub(in crate::log) mod tests;

pub use frontier::{Frontier, FrontierError, TreeFull};

/// Before a leaf is hashed; keeps leaves and nodes apart (RFC 6962 section 2.1).
const LEAF_PREFIX: [u8; 1] = [0x00];
/// Before two hashes are hashed to one.
const NODE_PREFIX: [u8; 1] = [0x01];

/// A hash of the tree: SHA-256, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Hash::BYTES]);

impl Hash {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// The root of a tree without leaves: the hash of the empty string (RFC 6962 section 2.1).
    pub const EMPTY_ROOT: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// A hash as it was stored or received.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A hash in base64 (RFC 4648 section 4), the form of checkpoints. Only the one spelling that
    /// [`fmt::Display`] gives is read.
    pub fn parse_base64(text: &str) -> Option<Self> {
        BASE64.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// The hash of a leaf: SHA-256(0x00 || entry).
    pub fn of_leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update(LEAF_PREFIX).chain_update(entry).finalize().into())
    }

    /// The hash of a node: SHA-256(0x01 || left || right).
    pub fn of_node(left: &Self, right: &Self) -> Self {
        let hasher = Sha256::new().chain_update(NODE_PREFIX);
        Self(hasher.chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The hash over complete subtrees that stand side by side, largest first, as RFC 6962 splits
    /// a tree; [`Hash::EMPTY_ROOT`] if there are none.
    pub(in crate::log) fn of_edge(subtrees: &[Self]) -> Self {
        let joined = subtrees.iter().rev().copied().reduce(|right, left| {
            // The smaller ones stand to the right.
            Self::of_node(&left, &right)
        });
        joined.unwrap_or(Self::EMPTY_ROOT)
    }
}

impl fmt::Display for Hash {
    /// Base64, 44 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::LowerHex for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The state of a tree: how many leaves, and the hash over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of leaves.
    pub size: u64,
    /// Merkle Tree Hash of all of them.
    pub root: Hash,
}

impl TreeHead {
    /// The head of a tree without leaves.
    pub const EMPTY: Self = Self { size: 0, root: Hash::EMPTY_ROOT };
}

/// The name of a complete subtree: 2^level leaves, from leaf index * 2^level on.
///
/// Its hash never changes once its last leaf is there, which is why it may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Height above the leaves, 0 to 63.
    pub level: u32,
    /// Position among the subtrees of this height, from the left, counted from 0.
    pub index: u64,
}

impl NodeId {
    /// A leaf.
    pub const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// Whether all its leaves are there in a tree of `size` leaves.
    pub fn is_complete_in(self, size: u64) -> bool {
        size.checked_shr(self.level).unwrap_or(0) > self.index
    }

    /// The subtree of twice the size that contains this one.
    pub(in crate::log) fn parent(self) -> Self {
        Self { level: self.level.saturating_add(1), index: self.index >> 1 }
    }

    /// The complete subtrees that cover the leaves from `start` up to `end`, left to right, as
    /// large as they can be.
    ///
    /// Where RFC 6962 splits a tree, `start` is a multiple of a power of two that is not smaller
    /// than the width, and so the subtrees shrink to the right; their hashes are joined from
    /// there.
    pub fn covering(start: u64, end: u64) -> impl Iterator<Item = Self> {
        let mut next = start;
        std::iter::from_fn(move || {
            let level = end.checked_sub(next)?.checked_ilog2()?.min(next.trailing_zeros());
            let node = Self { level, index: next.checked_shr(level)? };
            next = next.checked_add(1_u64.checked_shl(level)?)?;
            Some(node)
        })
    }
}
