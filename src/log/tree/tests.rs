//! Trees at every size, against the definition in all its recursion.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::log::proof;

/// The hash of leaf `index` of a tree that every test knows.
pub(in crate::log) fn leaf(index: u64) -> Hash {
    Hash::of_leaf(&index.to_be_bytes())
}

pub(in crate::log) fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(leaf).collect()
}

/// MTH(D) as RFC 6962 section 2.1 writes it, in all its recursion.
pub(in crate::log) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash(Sha256::digest([]).into()),
        [leaf] => *leaf,
        leaves => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            let (left, right) = leaves.split_at(split);
            Hash::of_node(&naive_root(left), &naive_root(right))
        }
    }
}

/// A frontier of this size, and every subtree that became complete on the way.
pub(in crate::log) fn grown(size: u64) -> (Frontier, BTreeMap<NodeId, Hash>) {
    let (mut frontier, mut nodes) = (Frontier::new(), BTreeMap::new());
    for index in 0..size {
        let appended = frontier.append(leaf(index), |node, hash| {
            assert_eq!(nodes.insert(node, hash), None, "{node:?} was complete before");
        });
        assert_eq!(appended, Ok(()));
    }
    (frontier, nodes)
}

#[test]
fn the_empty_root_is_the_hash_of_nothing() {
    assert_eq!(Hash::EMPTY_ROOT, naive_root(&[]));
    assert_eq!(Frontier::new().head(), TreeHead::EMPTY);
}

#[test]
fn roots_are_those_that_certificate_transparency_publishes() {
    // The leaves of the reference tests of RFC 6962 implementations, in hex.
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let mut frontier = Frontier::new();
    let mut roots = Vec::new();
    for entry in entries {
        frontier.append(Hash::of_leaf(entry), |_, _| {}).unwrap();
        roots.push(format!("{:x}", frontier.root()));
    }
    assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    assert_eq!(roots[1], "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    assert_eq!(roots[4], "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4");
    assert_eq!(roots[5], "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef");
    assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
}

#[test]
fn the_frontier_is_the_naive_definition_at_every_size() {
    let leaves = leaves(520);
    let mut frontier = Frontier::new();
    for (index, leaf) in leaves.iter().enumerate() {
        assert_eq!(frontier.root(), naive_root(&leaves[..index]), "size {index}");
        frontier.append(*leaf, |_, _| {}).unwrap();
    }
    assert_eq!(frontier.root(), naive_root(&leaves));
}

#[test]
fn every_complete_subtree_is_told_once_with_its_hash() {
    let size = 261;
    let (frontier, nodes) = grown(size);
    let leaves = leaves(size);
    let mut told = 0;
    for level in 0..9_u32 {
        for index in 0..(size >> level) {
            let (start, width) = (usize::try_from(index << level).unwrap(), 1_usize << level);
            let node = NodeId { level, index };
            assert!(node.is_complete_in(size));
            assert_eq!(nodes[&node], naive_root(&leaves[start..start + width]), "{node:?}");
            told += 1;
        }
        assert!(!NodeId { level, index: size >> level }.is_complete_in(size));
    }
    assert_eq!(nodes.len(), told);
    let edge: Vec<_> = Frontier::subtrees_at(size).map(|node| nodes[&node]).collect();
    assert_eq!(frontier.subtrees(), edge);
    for past in 0..=size {
        let root = proof::root_at(past, |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
        assert_eq!(root, naive_root(&leaves[..usize::try_from(past).unwrap()]), "{past}");
    }
}

#[test]
fn a_frontier_goes_on_from_where_it_was_stored() {
    let (whole, _) = grown(200);
    for size in 0..200 {
        let (stored, _) = grown(size);
        let hashes = stored.subtrees().to_vec();
        let mut restored = Frontier::restore(stored.head(), hashes).unwrap();
        assert_eq!(restored, stored);
        (size..200).for_each(|index| restored.append(leaf(index), |_, _| {}).unwrap());
        assert_eq!(restored.head(), whole.head(), "from {size}");
    }
}

#[test]
fn a_frontier_that_is_not_the_trees_is_refused() {
    let (frontier, _) = grown(11);
    let hashes = frontier.subtrees().to_vec();
    for (size, count) in [(0, 3), (11, 0), (11, 2), (15, 3), (u64::MAX, 3)] {
        let refused = Frontier::from_parts(size, hashes[..count].to_vec()).unwrap_err();
        assert!(matches!(refused, FrontierError::Count { found, .. } if found == count));
    }
    let mut swapped = hashes.clone();
    swapped.swap(0, 1);
    let other_size = TreeHead { size: 13, root: frontier.root() };
    for (head, hashes) in
        [(frontier.head(), swapped), (TreeHead { size: 11, ..TreeHead::EMPTY }, hashes)]
    {
        let refused = Frontier::restore(head, hashes).unwrap_err();
        assert!(matches!(refused, FrontierError::Root { .. }), "{refused}");
    }
    // A size of as many bits has as many hashes: the root alone cannot tell them apart, so the
    // head must come from one who signed both.
    assert!(Frontier::restore(other_size, frontier.subtrees().to_vec()).is_ok());
}

#[test]
fn a_tree_ends_at_the_last_size_that_can_be_counted() {
    let mut frontier = Frontier::from_parts(u64::MAX - 1, vec![leaf(0); 63]).unwrap();
    frontier.append(leaf(1), |_, _| {}).unwrap();
    assert_eq!((frontier.size(), frontier.subtrees().len()), (u64::MAX, 64));
    let before = frontier.clone();
    assert_eq!(frontier.append(leaf(2), |_, _| panic!("completed")), Err(TreeFull));
    assert_eq!(frontier, before);
    assert_eq!(Frontier::subtrees_at(u64::MAX).count(), 64);
}

#[test]
fn ranges_are_covered_from_left_to_right_by_the_largest_subtrees() {
    for (start, end, expected) in [
        (0, 0, vec![]),
        (5, 5, vec![]),
        (5, 4, vec![]),
        (0, 1, vec![(0, 0)]),
        (0, 8, vec![(3, 0)]),
        (0, 7, vec![(2, 0), (1, 2), (0, 6)]),
        (8, 13, vec![(2, 2), (0, 12)]),
        (3, 9, vec![(0, 3), (2, 1), (0, 8)]),
        (u64::MAX - 3, u64::MAX, vec![(1, (u64::MAX - 3) >> 1), (0, u64::MAX - 1)]),
    ] {
        let covering: Vec<_> = NodeId::covering(start, end).map(|n| (n.level, n.index)).collect();
        assert_eq!(covering, expected, "{start}..{end}");
        let leaves: u64 = covering.iter().map(|(level, _)| 1 << level).sum();
        assert_eq!(leaves, end.saturating_sub(start), "{start}..{end}");
    }
}

#[test]
fn a_hash_has_one_spelling_in_base64() {
    let text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(Hash::parse_base64(text), Some(Hash::EMPTY_ROOT));
    assert_eq!(Hash::EMPTY_ROOT.to_string(), text);
    for refused in [
        "",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
        // Bits after the last byte.
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= ",
        // 31 and 33 bytes.
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA==",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFVV",
    ] {
        assert_eq!(Hash::parse_base64(refused), None, "{refused:?}");
    }
}
