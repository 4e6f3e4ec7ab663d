//! Every proof of small trees, every way to spoil one, and the proofs of others.

use std::convert::Infallible;

use data_encoding::BASE64;
use serde_json::Value;

use super::*;
use crate::log::tree::tests::{grown, leaf, leaves, naive_root};

/// Largest tree of the exhaustive tests.
const SIZE_MAX: u64 = 130;
/// Largest tree of which every single bit is flipped.
const EVERY_BIT_SIZE_MAX: u64 = 17;

const INCLUSION: &str = include_str!("../../../tests/vectors/tlog/merkle-inclusion.jsonl");
const CONSISTENCY: &str = include_str!("../../../tests/vectors/tlog/merkle-consistency.jsonl");

fn heads() -> Vec<TreeHead> {
    let leaves = leaves(SIZE_MAX);
    let root = |size| naive_root(&leaves[..usize::try_from(size).unwrap()]);
    (0..=SIZE_MAX).map(|size| TreeHead { size, root: root(size) }).collect()
}

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

/// Which bits of a hash to flip: all of them in small trees, in others one that moves on.
fn bits(size: u64, turn: usize) -> Vec<usize> {
    if size <= EVERY_BIT_SIZE_MAX { (0..256).collect() } else { vec![turn * 37 % 256] }
}

/// The proof with every hash changed in one bit, and with hashes too few, too many, out of order.
fn spoilt(path: &[Hash], size: u64, turn: usize) -> Vec<Vec<Hash>> {
    let mut all = Vec::new();
    for at in 0..path.len() {
        for bit in bits(size, turn + at) {
            let mut one = path.to_vec();
            one[at] = flipped(&one[at], bit);
            all.push(one);
        }
        all.push([&path[..at], &path[at + 1..]].concat());
        all.push([&path[..=at], &path[at..]].concat());
        if at > 0 {
            let mut one = path.to_vec();
            one.swap(at - 1, at);
            all.push(one);
        }
    }
    for at in 0..=path.len() {
        all.push([&path[..at], &[Hash::EMPTY_ROOT], &path[at..]].concat());
    }
    all
}

#[test]
fn every_inclusion_proof_verifies_and_no_spoilt_one_does() {
    let (_, nodes) = grown(SIZE_MAX);
    let (mut built, mut refused) = (0, 0);
    for head in heads() {
        for index in 0..head.size {
            let path =
                inclusion(index, head.size, |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
            assert_eq!(verify_inclusion(&leaf(index), index, &head, &path), Ok(()));
            built += 1;
            for path in spoilt(&path, head.size, built) {
                assert!(verify_inclusion(&leaf(index), index, &head, &path).is_err());
                refused += 1;
            }
            for bit in bits(head.size, built) {
                let other = TreeHead { root: flipped(&head.root, bit), ..head };
                let leaf_of_other = flipped(&leaf(index), bit);
                assert!(verify_inclusion(&leaf(index), index, &other, &path).is_err());
                assert!(verify_inclusion(&leaf_of_other, index, &head, &path).is_err());
            }
            for elsewhere in (0..=head.size + 1).filter(|elsewhere| *elsewhere != index) {
                assert!(verify_inclusion(&leaf(index), elsewhere, &head, &path).is_err());
            }
        }
    }
    assert_eq!(built, 130 * 131 / 2);
    assert!(refused > 100_000, "{refused}");
}

#[test]
fn every_consistency_proof_verifies_and_no_spoilt_one_does() {
    let (_, nodes) = grown(SIZE_MAX);
    let heads = heads();
    let (mut built, mut refused) = (0, 0);
    for second in &heads {
        for first in heads.iter().filter(|first| (1..=second.size).contains(&first.size)) {
            let node = |node| Ok::<_, Infallible>(nodes[&node]);
            let path = consistency(first.size, second.size, node).unwrap();
            assert_eq!(verify_consistency(first, second, &path), Ok(()));
            assert!(path.len() <= 63, "a witness takes no more");
            built += 1;
            for path in spoilt(&path, second.size, built) {
                assert!(verify_consistency(first, second, &path).is_err());
                refused += 1;
            }
            for bit in bits(second.size, built) {
                let older = TreeHead { root: flipped(&first.root, bit), ..*first };
                let newer = TreeHead { root: flipped(&second.root, bit), ..*second };
                assert!(verify_consistency(&older, second, &path).is_err());
                assert!(verify_consistency(first, &newer, &path).is_err());
            }
            if first.size < second.size {
                let shrunk = ProofError::Shrunk { first: second.size, second: first.size };
                assert_eq!(verify_consistency(second, first, &path), Err(shrunk));
            }
        }
    }
    assert_eq!(built, 130 * 131 / 2);
    assert!(refused > 100_000, "{refused}");
}

#[test]
fn proofs_are_the_ones_that_rfc_6962_draws() {
    // Section 2.1.3: a tree of seven leaves; a to f are the first six, j the seventh.
    let (_, nodes) = grown(7);
    let node = |level, index| nodes[&NodeId { level, index }];
    let (a, b, c, d, e, f, j) =
        (node(0, 0), node(0, 1), node(0, 2), node(0, 3), node(0, 4), node(0, 5), node(0, 6));
    let (g, h, i) = (node(1, 0), node(1, 1), node(1, 2));
    let k = node(2, 0);
    let l = Hash::of_node(&i, &j);
    let given = |node: NodeId| Ok::<_, Infallible>(nodes[&node]);
    for (index, expected) in [
        (0, vec![b, h, l]),
        (1, vec![a, h, l]),
        (2, vec![d, g, l]),
        (3, vec![c, g, l]),
        (4, vec![f, j, k]),
        (5, vec![e, j, k]),
        (6, vec![i, k]),
    ] {
        assert_eq!(inclusion(index, 7, given), Ok(expected), "leaf {index}");
    }
    for (first, expected) in [
        (1, vec![b, h, l]),
        (2, vec![h, l]),
        (3, vec![c, d, g, l]),
        (4, vec![l]),
        (5, vec![e, f, j, k]),
        (6, vec![i, j, k]),
        (7, vec![]),
    ] {
        assert_eq!(consistency(first, 7, given), Ok(expected), "from {first}");
    }
}

#[test]
fn what_has_no_proof_is_told_and_a_failing_store_passes_through() {
    let unasked = |_| -> Result<Hash, &str> { panic!("asked for a hash") };
    for (index, size) in [(0, 0), (1, 1), (7, 7), (u64::MAX, 7), (u64::MAX, u64::MAX)] {
        assert_eq!(inclusion(index, size, unasked), Err(BuildError::NoSuchLeaf { index, size }));
        let head = TreeHead { size, root: leaf(0) };
        let refused = verify_inclusion(&leaf(0), index, &head, &[]);
        assert_eq!(refused, Err(ProofError::NoSuchLeaf { index, size }));
    }
    for (first, second) in [(0, 0), (0, 5), (6, 5), (u64::MAX, 1)] {
        let refused = Err(BuildError::NoSuchTrees { first, second });
        assert_eq!(consistency(first, second, unasked), refused);
    }
    assert_eq!(inclusion(0, 1, unasked), Ok(vec![]));
    assert_eq!(consistency(5, 5, unasked), Ok(vec![]));
    assert_eq!(
        verify_consistency(&TreeHead::EMPTY, &TreeHead::EMPTY, &[]),
        Err(ProofError::FromEmpty)
    );

    let broken = |_| Err("the disk is gone");
    assert_eq!(inclusion(0, 2, broken), Err(BuildError::Node("the disk is gone")));
    assert_eq!(consistency(1, 2, broken), Err(BuildError::Node("the disk is gone")));
    assert_eq!(root_at(2, broken), Err("the disk is gone"));
}

#[test]
fn proofs_of_the_largest_trees_are_built_and_climbed() {
    // A tree of one leaf repeated: the hash of a complete subtree depends on its level only.
    let mut by_level = vec![leaf(0)];
    for level in 0..64 {
        by_level.push(Hash::of_node(&by_level[level], &by_level[level]));
    }
    let node = |node: NodeId| Ok::<_, Infallible>(by_level[usize::try_from(node.level).unwrap()]);
    let head = |size| TreeHead { size, root: root_at(size, node).unwrap() };
    let sizes = [1, 2, (1 << 32) + 1, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];
    for size in sizes {
        for index in sizes.map(|index| index - 1).into_iter().filter(|index| *index < size) {
            let path = inclusion(index, size, node).unwrap();
            assert_eq!(verify_inclusion(&leaf(0), index, &head(size), &path), Ok(()));
            let path = consistency(index + 1, size, node).unwrap();
            assert_eq!(verify_consistency(&head(index + 1), &head(size), &path), Ok(()));
        }
    }
}

fn decoded(text: &Value) -> (Vec<u8>, Option<Hash>) {
    let text = text.as_str().unwrap();
    let (bytes, hash) = (BASE64.decode(text.as_bytes()).unwrap(), Hash::parse_base64(text));
    assert_eq!(hash.is_some(), bytes.len() == Hash::BYTES, "{text}");
    (bytes, hash)
}

/// The proof of a case; `None` if a hash has a wrong length, which the type cannot even say.
fn path(case: &Value) -> Option<Vec<Hash>> {
    let path = case["proof"].as_array().map_or(&[][..], Vec::as_slice);
    path.iter().map(|text| decoded(text).1).collect()
}

/// A head whose root may be words in place of a hash. They are hashed, so that equal ones stay
/// equal and others differ.
fn head(case: &Value, size: &str, root: &str) -> TreeHead {
    let (bytes, hash) = decoded(&case[root]);
    let root = hash.unwrap_or_else(|| Hash::of_leaf(&bytes));
    TreeHead { size: case[size].as_u64().unwrap(), root }
}

/// Runs all cases of a file; returns how many were accepted, refused, and could not be said.
fn run(file: &str, verify: impl Fn(&Value) -> Option<Result<(), ProofError>>) -> [usize; 3] {
    let mut counts = [0; 3];
    for line in file.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let found = verify(&case);
        let is_accepted = found == Some(Ok(()));
        assert_eq!(is_accepted, !case["wantErr"].as_bool().unwrap(), "{found:?}: {line}");
        counts[match found {
            Some(Ok(())) => 0,
            Some(Err(_)) => 1,
            None => 2,
        }] += 1;
    }
    counts
}

#[test]
fn proofs_of_others_are_judged_as_they_judge_them() {
    let counts = run(INCLUSION, |case| {
        let (leaf, index) = (decoded(&case["leafHash"]).1?, case["leafIdx"].as_u64().unwrap());
        Some(verify_inclusion(&leaf, index, &head(case, "treeSize", "root"), &path(case)?))
    });
    assert_eq!(counts, [6, 71, 21]);
    let counts = run(CONSISTENCY, |case| {
        let (first, second) = (head(case, "size1", "root1"), head(case, "size2", "root2"));
        Some(verify_consistency(&first, &second, &path(case)?))
    });
    assert_eq!(counts, [6, 84, 8]);
}
