//! The right edge of a growing tree: all that is needed to append and to know the root.

use super::{Hash, NodeId, TreeHead};

/// The complete subtrees that make up a tree, largest first: one for every bit of its size.
///
/// A tree of any size fits into 64 hashes. Others call this a compact range from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

/// Why a stored frontier is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// Not one hash for every bit of the size.
    #[error("found {found} hashes; a tree of {size} leaves has {expected} complete subtrees")]
    Count {
        /// Number of leaves.
        size: u64,
        /// Hashes that were given.
        found: usize,
        /// Hashes that belong to this size.
        expected: u32,
    },
    /// The hashes belong to another tree.
    #[error("the hashes of {} leaves give the root {found}; expected {}", head.size, head.root)]
    Root {
        /// The head that was expected.
        head: TreeHead,
        /// The root that the hashes give.
        found: Hash,
    },
}

/// The tree has 2^64 - 1 leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree has as many leaves as can be counted")]
pub struct TreeFull;

impl Frontier {
    /// The frontier of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// A frontier as it was stored. Only the number of hashes is checked; where a head is known,
    /// such as that of a signed checkpoint, [`Frontier::restore`] checks them all.
    ///
    /// # Errors
    /// [`FrontierError::Count`].
    pub fn from_parts(size: u64, subtrees: Vec<Hash>) -> Result<Self, FrontierError> {
        let (found, expected) = (subtrees.len(), size.count_ones());
        match u32::try_from(found) {
            Ok(count) if count == expected => Ok(Self { size, subtrees }),
            _ => Err(FrontierError::Count { size, found, expected }),
        }
    }

    /// A frontier as it was stored, which must give a head that is known.
    ///
    /// # Errors
    /// [`FrontierError`]: what would be appended would contradict what was signed.
    pub fn restore(head: TreeHead, subtrees: Vec<Hash>) -> Result<Self, FrontierError> {
        let frontier = Self::from_parts(head.size, subtrees)?;
        let found = frontier.root();
        match found == head.root {
            true => Ok(frontier),
            false => Err(FrontierError::Root { head, found }),
        }
    }

    /// The subtrees whose hashes make up the frontier of a tree of `size` leaves, in its order.
    pub fn subtrees_at(size: u64) -> impl Iterator<Item = NodeId> {
        NodeId::covering(0, size)
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, largest subtree first, in the order of [`Frontier::subtrees_at`].
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }

    /// Merkle Tree Hash of all leaves, RFC 6962 section 2.1.
    pub fn root(&self) -> Hash {
        Hash::of_edge(&self.subtrees)
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    /// Appends the hash of a leaf.
    ///
    /// `completed` is told every subtree that is complete now and was not before, the leaf first,
    /// then upwards: what a store of tiles has to keep.
    ///
    /// # Errors
    /// [`TreeFull`], with nothing changed.
    pub fn append(
        &mut self,
        leaf: Hash,
        mut completed: impl FnMut(NodeId, Hash),
    ) -> Result<(), TreeFull> {
        let size = self.size.checked_add(1).ok_or(TreeFull)?;
        let (mut node, mut hash) = (NodeId::leaf(self.size), leaf);
        completed(node, hash);
        // Every low bit that is set stands for a subtree as large as the one just completed.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = Hash::of_node(&left, &hash);
                node = node.parent();
                completed(node, hash);
            }
        }
        self.subtrees.push(hash);
        self.size = size;
        Ok(())
    }
}
