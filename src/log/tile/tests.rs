//! Paths, places and bundles, with the examples of the specification.

use std::collections::BTreeMap;

use super::bundle::{self, BundleError};
use super::*;
use crate::log::proof;
use crate::log::tree::tests::{grown, leaf};
use crate::log::tree::{Hash, NodeId};

fn hashes(level: u32) -> TileKind {
    TileKind::Hashes { level }
}

#[test]
fn a_tile_has_one_path() {
    for (kind, index, width, path) in [
        (hashes(0), 0, 256, "tile/0/000"),
        (hashes(0), 0, 1, "tile/0/000.p/1"),
        (hashes(0), 999, 255, "tile/0/999.p/255"),
        (hashes(0), 1000, 256, "tile/0/x001/000"),
        (hashes(1), 1_234_067, 256, "tile/1/x001/x234/067"),
        (hashes(2), 1_234_067, 8, "tile/2/x001/x234/067.p/8"),
        (hashes(63), 1_000_000, 256, "tile/63/x001/x000/000"),
        (hashes(7), u64::MAX, 256, "tile/7/x018/x446/x744/x073/x709/x551/615"),
        (TileKind::Entries, 0, 256, "tile/entries/000"),
        (TileKind::Entries, 1_234_067, 20, "tile/entries/x001/x234/067.p/20"),
    ] {
        let tile = Tile::new(kind, index, width).unwrap();
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
        assert_eq!(tile.is_partial(), width < 256);
    }
}

#[test]
fn what_is_no_path_of_a_tile_is_refused() {
    for path in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/0//000",
        "Tile/0/000",
        "tiles/0/000",
        "tile/64/000",
        "tile/00/000",
        "tile/01/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/18446744073709551616/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/xx001/000",
        "tile/0/X001/000",
        "tile/0/x001/x000",
        "tile/0/x001/00",
        "tile/0/x1/000",
        "tile/0/+01",
        "tile/0/-01",
        "tile/0/\u{ff10}00",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/-1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.p1",
        "tile/0/.p/1",
        "tile/0/000.P/1",
        "tile/0/000 ",
        "tile/0/000?",
        "tile/0/../000",
        "tile/entries/",
        "tile/entries/000.p/256",
        "tile/Entries/000",
    ] {
        assert_eq!(path.parse::<Tile>(), Err(NoTile), "{path:?}");
    }
    for (kind, width) in [(hashes(0), 0), (hashes(0), 257), (hashes(64), 1), (TileKind::Entries, 0)]
    {
        assert_eq!(Tile::new(kind, 0, width), Err(NoTile));
    }
}

#[test]
fn a_tree_has_the_tiles_of_the_specification() {
    // "A tree of size 70,000 will be represented by ..."
    let width = |kind, index, size| Tile::at(kind, index, size).map(|tile| tile.width());
    for (kind, index, size, expected) in [
        (hashes(0), 0, 70_000, Some(256)),
        (hashes(0), 272, 70_000, Some(256)),
        (hashes(0), 273, 70_000, Some(112)),
        (hashes(0), 274, 70_000, None),
        (hashes(1), 0, 70_000, Some(256)),
        (hashes(1), 1, 70_000, Some(17)),
        (hashes(1), 2, 70_000, None),
        (hashes(2), 0, 70_000, Some(1)),
        (hashes(2), 1, 70_000, None),
        (hashes(3), 0, 70_000, None),
        (TileKind::Entries, 272, 70_000, Some(256)),
        (TileKind::Entries, 273, 70_000, Some(112)),
        (TileKind::Entries, 274, 70_000, None),
        (hashes(0), 0, 256, Some(256)),
        (hashes(0), 1, 256, None),
        (hashes(1), 0, 256, Some(1)),
        (hashes(0), 0, 0, None),
        (TileKind::Entries, 0, 0, None),
        (hashes(7), 0, u64::MAX, Some(255)),
        (hashes(8), 0, u64::MAX, None),
        (hashes(63), 0, u64::MAX, None),
        (hashes(0), u64::MAX, u64::MAX, None),
    ] {
        assert_eq!(width(kind, index, size), expected, "{kind:?} {index} {size}");
    }
    for (path, size, expected) in [
        ("tile/0/000", 255, false),
        ("tile/0/000", 256, true),
        ("tile/0/000.p/17", 16, false),
        ("tile/0/000.p/17", 17, true),
        ("tile/0/000.p/17", 70_000, true),
        ("tile/1/000.p/1", 255, false),
        ("tile/1/000.p/1", 256, true),
        ("tile/entries/273.p/112", 70_000, true),
        ("tile/entries/273.p/113", 70_000, false),
    ] {
        assert_eq!(path.parse::<Tile>().unwrap().is_within(size), expected, "{path} {size}");
    }
    assert_eq!("tile/1/x001/000".parse::<Tile>().unwrap().start(), Some(256_000));
    assert_eq!(Tile::new(hashes(0), u64::MAX, 1).unwrap().start(), None);
}

/// The tiles of a tree as a log would serve them, by path.
fn served(nodes: &BTreeMap<NodeId, Hash>, size: u64) -> BTreeMap<String, Vec<u8>> {
    let mut tiles = BTreeMap::new();
    for level in 0..8 {
        for index in (0..).take_while(|index| Tile::at(hashes(level), *index, size).is_some()) {
            let tile = Tile::at(hashes(level), index, size).unwrap();
            let start = tile.start().unwrap();
            let within = start..start + u64::from(tile.width());
            let hash = |index| nodes[&NodeId { level: level * 8, index }].as_bytes().to_vec();
            tiles.insert(tile.to_string(), within.flat_map(hash).collect());
        }
    }
    tiles
}

#[test]
fn every_subtree_is_read_out_of_the_tiles_of_its_tree() {
    let (_, nodes) = grown(1_500);
    for size in [1, 2, 3, 7, 255, 256, 257, 511, 512, 513, 1_499, 1_500] {
        let tiles = served(&nodes, size);
        for (node, hash) in &nodes {
            let place = Place::of(*node, size);
            assert_eq!(place.is_some(), node.is_complete_in(size), "{node:?} {size}");
            if let Some(place) = place {
                let bytes = &tiles[&place.tile().to_string()];
                assert_eq!(place.read(bytes), Ok(*hash), "{node:?} {size}");
            }
        }
    }
}

#[test]
fn proofs_are_built_from_tiles_alone() {
    let size = 70_000;
    let (frontier, nodes) = grown(size);
    let tiles = served(&nodes, size);
    assert_eq!(tiles.len(), 273 + 1 + 1 + 1 + 1);
    let node = |node: NodeId| {
        let place = Place::of(node, size).unwrap();
        place.read(&tiles[&place.tile().to_string()])
    };
    for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        let path = proof::inclusion(index, size, node).unwrap();
        proof::verify_inclusion(&leaf(index), index, &frontier.head(), &path).unwrap();
        let (older, _) = grown(index.min(300) + 1);
        let path = proof::consistency(older.size(), size, node).unwrap();
        proof::verify_consistency(&older.head(), &frontier.head(), &path).unwrap();
    }
}

#[test]
fn bytes_that_cannot_be_the_tile_are_refused() {
    let (_, nodes) = grown(300);
    let tiles = served(&nodes, 300);
    let partial = Place::of(NodeId { level: 2, index: 65 }, 270).unwrap();
    assert_eq!(partial.tile().to_string(), "tile/0/001.p/14");
    let wide = &tiles["tile/0/001.p/44"];
    let expected = nodes[&NodeId { level: 2, index: 65 }];
    for (bytes, found) in [
        (&wide[..14 * 32], Ok(expected)),
        (&wide[..], Ok(expected)),
        (&wide[..13 * 32], Err(TileError::TooNarrow { found: 13, expected: 14 })),
        (&wide[..14 * 32 - 1], Err(TileError::Length { bytes: 14 * 32 - 1 })),
        (&wide[..14 * 32 + 1], Err(TileError::Length { bytes: 14 * 32 + 1 })),
        (&[], Err(TileError::Length { bytes: 0 })),
        (&[0; 257 * 32], Err(TileError::Length { bytes: 257 * 32 })),
    ] {
        assert_eq!(partial.read(bytes), found);
    }
    let highest = Place::of(NodeId { level: 63, index: 0 }, u64::MAX).unwrap();
    assert_eq!(highest.tile().to_string(), "tile/7/000.p/255");
    assert_eq!(Place::of(NodeId { level: 64, index: 0 }, u64::MAX), None);
    assert_eq!(Place::of(NodeId { level: u32::MAX, index: 0 }, u64::MAX), None);
}

#[test]
fn bundles_are_entries_after_their_lengths() {
    let long = vec![7; 65_535];
    for entries in
        [vec![b"".to_vec()], vec![b"a".to_vec(), long.clone(), vec![]], vec![vec![]; 256]]
    {
        let bytes = bundle::encode(&entries).unwrap();
        let width = u16::try_from(entries.len()).unwrap();
        assert_eq!(bundle::decode(&bytes, width).unwrap(), entries);
    }
    assert_eq!(bundle::encode(&["a", "", "bc"]).unwrap(), b"\x00\x01a\x00\x00\x00\x02bc");

    let count = |found, expected| BundleError::Count { found, expected };
    assert_eq!(bundle::encode::<&str>(&[]), Err(count(0, 256)));
    assert_eq!(bundle::encode(&[""; 257]), Err(count(257, 256)));
    let too_long = BundleError::EntryTooLong { bytes: 65_536 };
    assert_eq!(bundle::encode(&[vec![0; 65_536]]), Err(too_long));
    for (bytes, width, expected) in [
        (&b""[..], 1, count(0, 1)),
        (b"\x00\x00", 2, count(1, 2)),
        (b"\x00\x00\x00\x00", 1, count(2, 1)),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00", 1, count(2, 1)),
        (b"\x00", 1, BundleError::CutOff { number: 1 }),
        (b"\x00\x01", 1, BundleError::CutOff { number: 1 }),
        (b"\x00\x01a\x00", 2, BundleError::CutOff { number: 2 }),
        (b"\x00\x01a\xff\xffb", 2, BundleError::CutOff { number: 2 }),
        (b"\x00\x01a\x00", 1, BundleError::CutOff { number: 2 }),
    ] {
        assert_eq!(bundle::decode(bytes, width), Err(expected), "{bytes:?}");
    }
}
