//! Inclusion and consistency proofs: RFC 6962 sections 2.1.1 and 2.1.2, verified as RFC 9162
//! sections 2.1.3.2 and 2.1.4.2 say.
//!
//! A proof is built from the hashes of complete subtrees, whoever stores them. What is *not* in
//! here: proofs for parts of a tree, and consistency with the empty tree, which needs no proof.

use std::ops::Range;

use super::tree::{Hash, NodeId, TreeHead};

#[cfg(test)]
mod tests;

/// Why no proof is built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError<E> {
    /// The tree has no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// Index that was asked for.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// There is no such pair of trees: 0 < first <= second.
    #[error("a tree of {first} leaves has no consistency proof with one of {second}")]
    NoSuchTrees {
        /// Leaves of the older tree.
        first: u64,
        /// Leaves of the newer tree.
        second: u64,
    },
    /// A hash could not be had.
    #[error("{0}")]
    Node(#[source] E),
}

/// Why a proof is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The tree has no such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    NoSuchLeaf {
        /// Index that was claimed.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// Every tree is consistent with the empty one; a proof of it proves nothing.
    #[error("the older tree is empty, and there is nothing to prove")]
    FromEmpty,
    /// The newer tree is smaller than the older one.
    #[error("the tree shrank from {first} to {second} leaves")]
    Shrunk {
        /// Leaves of the older tree.
        first: u64,
        /// Leaves of the newer tree.
        second: u64,
    },
    /// Hashes are missing.
    #[error("the proof is too short for trees of these sizes")]
    TooShort,
    /// There are more hashes than belong there.
    #[error("the proof is too long for trees of these sizes")]
    TooLong,
    /// The proof leads to another root than the older tree has.
    #[error("the proof leads to the older root {found}; expected {expected}")]
    FirstRoot {
        /// Root that the proof leads to.
        found: Hash,
        /// Root of the older tree.
        expected: Hash,
    },
    /// The proof leads to another root than the tree has; for consistency, the newer tree.
    #[error("the proof leads to the root {found}; expected {expected}")]
    Root {
        /// Root that the proof leads to.
        found: Hash,
        /// Root of the tree.
        expected: Hash,
    },
}

/// Builds the inclusion proof of a leaf: PATH(m, D\[n\]) of RFC 6962 section 2.1.1.
///
/// `node` gives the hash of a complete subtree; only subtrees of a tree of `size` are asked for.
///
/// # Errors
/// [`BuildError`]: no such leaf, or `node` failed.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    node: impl FnMut(NodeId) -> Result<Hash, E>,
) -> Result<Vec<Hash>, BuildError<E>> {
    if index >= size {
        return Err(BuildError::NoSuchLeaf { index, size });
    }
    let (path, _) = descend(index, size, |_| false, node).map_err(BuildError::Node)?;
    Ok(path)
}

/// Builds the consistency proof of two trees: PROOF(m, D\[n\]) of RFC 6962 section 2.1.2.
///
/// # Errors
/// [`BuildError`]: not 0 < first <= second, or `node` failed.
pub fn consistency<E>(
    first: u64,
    second: u64,
    mut node: impl FnMut(NodeId) -> Result<Hash, E>,
) -> Result<Vec<Hash>, BuildError<E>> {
    let Some(last) = first.checked_sub(1).filter(|_| first <= second) else {
        return Err(BuildError::NoSuchTrees { first, second });
    };
    let ends_both = |leaves: &Range<u64>| leaves.end == first;
    let (mut path, rest) = descend(last, second, ends_both, &mut node).map_err(BuildError::Node)?;
    // From leaf 0 on it is the older tree itself, whose root the verifier has.
    if rest.start > 0 {
        path.insert(0, root_of(rest, &mut node).map_err(BuildError::Node)?);
    }
    Ok(path)
}

/// The root that a tree had at `size` leaves, from the hashes of its complete subtrees.
///
/// # Errors
/// What `node` returns.
pub fn root_at<E>(size: u64, mut node: impl FnMut(NodeId) -> Result<Hash, E>) -> Result<Hash, E> {
    root_of(0..size, &mut node)
}

/// Goes down from the root towards a leaf until `is_end`, or to the leaf. Returns the hashes of
/// the halves that were left aside, lowest first, and the leaves below the node that was reached.
fn descend<E>(
    leaf: u64,
    size: u64,
    is_end: impl Fn(&Range<u64>) -> bool,
    mut node: impl FnMut(NodeId) -> Result<Hash, E>,
) -> Result<(Vec<Hash>, Range<u64>), E> {
    let (mut path, mut leaves) = (Vec::new(), 0..size);
    while !is_end(&leaves)
        && let Some(middle) = split(&leaves)
    {
        let (left, right) = (leaves.start..middle, middle..leaves.end);
        let (taken, aside) = if leaf < middle { (left, right) } else { (right, left) };
        path.push(root_of(aside, &mut node)?);
        leaves = taken;
    }
    path.reverse();
    Ok((path, leaves))
}

/// Where RFC 6962 splits a tree: after the largest power of two below its width. A leaf has none.
fn split(leaves: &Range<u64>) -> Option<u64> {
    let level = leaves.end.checked_sub(leaves.start)?.checked_sub(1)?.checked_ilog2()?;
    leaves.start.checked_add(1_u64.checked_shl(level)?)
}

fn root_of<E>(
    leaves: Range<u64>,
    node: &mut impl FnMut(NodeId) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let subtrees = NodeId::covering(leaves.start, leaves.end).map(node);
    Ok(Hash::of_edge(&subtrees.collect::<Result<Vec<_>, E>>()?))
}

/// Verifies that the leaf of this hash is in the tree at `index`: RFC 9162 section 2.1.3.2.
///
/// # Errors
/// [`ProofError`]: what does not fit.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    head: &TreeHead,
    path: &[Hash],
) -> Result<(), ProofError> {
    let size = head.size;
    let last = size.checked_sub(1).filter(|last| index <= *last);
    let last = last.ok_or(ProofError::NoSuchLeaf { index, size })?;
    let mut climb = Climb { node: index, last };
    let mut found = *leaf;
    for sibling in path {
        found = match climb.step()? {
            Side::Left => Hash::of_node(sibling, &found),
            Side::Right => Hash::of_node(&found, sibling),
        };
    }
    climb.arrive()?;
    leads_to(found, head)
}

/// Verifies that the newer tree begins with all leaves of the older one: RFC 9162 section 2.1.4.2.
///
/// Trees of one size have an empty proof and must have one root.
///
/// # Errors
/// [`ProofError`]: what does not fit. An older tree without leaves is refused, see
/// [`ProofError::FromEmpty`].
pub fn verify_consistency(
    first: &TreeHead,
    second: &TreeHead,
    path: &[Hash],
) -> Result<(), ProofError> {
    let older_last = first.size.checked_sub(1).ok_or(ProofError::FromEmpty)?;
    let newer_last = second.size.checked_sub(1).filter(|last| older_last <= *last);
    let shrunk = ProofError::Shrunk { first: first.size, second: second.size };
    let mut climb = Climb { node: older_last, last: newer_last.ok_or(shrunk)? };
    if first.size == second.size {
        return if path.is_empty() {
            leads_to(first.root, second)
        } else {
            Err(ProofError::TooLong)
        };
    }
    let (lowest, above) = path.split_first().ok_or(ProofError::TooShort)?;
    let (seed, path) = match first.size.is_power_of_two() {
        // A complete subtree, whose hash the verifier has: the proof leaves it out.
        true => (first.root, path),
        false => (*lowest, above),
    };
    while climb.node & 1 == 1 {
        climb.up();
    }
    let (mut older, mut newer) = (seed, seed);
    for sibling in path {
        match climb.step()? {
            Side::Left => {
                older = Hash::of_node(sibling, &older);
                newer = Hash::of_node(sibling, &newer);
            }
            Side::Right => newer = Hash::of_node(&newer, sibling),
        }
    }
    climb.arrive()?;
    if older != first.root {
        return Err(ProofError::FirstRoot { found: older, expected: first.root });
    }
    leads_to(newer, second)
}

fn leads_to(found: Hash, head: &TreeHead) -> Result<(), ProofError> {
    let expected = head.root;
    if found == expected { Ok(()) } else { Err(ProofError::Root { found, expected }) }
}

/// Where the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a node up to the root, beside the right edge: fn and sn of RFC 9162.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// Step 4 of section 2.1.3.2, step 6 of section 2.1.4.2: up to the next node that has a
    /// sibling, and past it.
    fn step(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::TooLong);
        }
        let is_edge = self.node == self.last;
        if self.node & 1 == 0 && !is_edge {
            self.up();
            return Ok(Side::Right);
        }
        // A left child on the right edge has no sibling: RFC 6962 carries it up as it is.
        while self.node & 1 == 0 && self.node != 0 {
            self.up();
        }
        self.up();
        Ok(Side::Left)
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// The root is where the right edge has one node only.
    fn arrive(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::TooShort) }
    }
}
