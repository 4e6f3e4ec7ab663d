//! A sound log, and every way to spoil it: what was signed shows the changes of others, the rules
//! of the log show a daemon that signs its own lies.

use super::*;
use crate::domain::leaf::Leaf;
use crate::log::note::{Note, NoteKeyName};
use crate::log::tests::scene::{Fate, LogKey, ORIGIN, Scene, head};
use crate::log::tile::TileKind;

/// Checks leaves against checkpoints, under the key of a scene.
fn check(scene: &Scene, leaves: &[String], made: &[String]) -> Result<Summary, Fault> {
    check_kept(scene, leaves, made, &[])
}

fn check_kept(
    scene: &Scene,
    leaves: &[String],
    made: &[String],
    kept: &[String],
) -> Result<Summary, Fault> {
    let keys = [scene.audit.verifier.clone()];
    let mut verifier = LogVerifier::new(made, kept, &keys)?;
    leaves.iter().try_for_each(|leaf| verifier.leaf(leaf.as_bytes(), &mut Vec::new()))?;
    verifier.finish()
}

/// What a spoilt log is told, with the checkpoints of the sound one.
fn told(scene: &Scene, leaves: &[String], made: &[String]) -> String {
    check(scene, leaves, made).expect_err("a spoilt log").to_string()
}

/// What a log is told whose daemon signs it as it is.
fn told_of_own(scene: &Scene, leaves: &[String]) -> String {
    told(scene, leaves, &[scene.audit.note(ORIGIN, head(leaves))])
}

/// A log of 25 payments and its checkpoints at three sizes.
fn sound() -> (Scene, Vec<String>, Vec<String>) {
    let scene = Scene::with_payments(1, 25);
    let leaves = scene.leaves();
    let sizes = [7, 20, leaves.len()];
    let notes = sizes.map(|size| scene.audit.note(ORIGIN, head(&leaves[..size])));
    (scene, leaves, notes.to_vec())
}

#[test]
fn a_sound_log_is_added_up() {
    let (scene, leaves, made) = sound();
    let summary = check(&scene, &leaves, &made).unwrap();
    assert_eq!((summary.head, summary.signed), (head(&leaves), summary.head.size));
    assert_eq!((summary.origin.as_str(), summary.checkpoints), (ORIGIN, 3));
    let kind = |kind| summary.kinds[&kind];
    assert_eq!((kind(Kind::Accepted), kind(Kind::Signed), kind(Kind::Voided)), (20, 10, 5));
    assert_eq!((kind(Kind::Denied), kind(Kind::Started), kind(Kind::Stopped)), (5, 1, 1));
    let eur = Currency::parse("currency", "EUR").unwrap();
    let sums = summary.sums[&("settlement-eur".to_owned(), eur)];
    let expected = Sums { signed: 10, signed_amount: 12_340, open: 5, open_amount: 6_170 };
    assert_eq!(sums, expected);
    // Leaves that are not signed yet are told apart.
    let summary = check(&scene, &leaves, &made[..2]).unwrap();
    assert_eq!((summary.signed, summary.head), (20, head(&leaves)));
}

#[test]
fn a_leaf_edited_deleted_inserted_or_swapped_anywhere_is_found() {
    let (scene, leaves, made) = sound();
    for at in 0..leaves.len() {
        let covered = [7, 20, leaves.len()].into_iter().find(|size| *size > at).unwrap();
        let mut edited = leaves.clone();
        // An edit that leaves a leaf that the daemon could have written.
        let day = edited[at].find("T08:00").unwrap();
        let second = day + "T08:00:00.00".len();
        edited[at].replace_range(second..=second, "1");
        let found = told(&scene, &edited, &made);
        let expected = format!("the first {covered} leaves give the root");
        let known = [expected.as_str(), "times that never go back"];
        assert!(known.iter().any(|part| found.contains(part)), "leaf {at} edited: {found}");

        let mut deleted = leaves.clone();
        deleted.remove(at);
        let found = told(&scene, &deleted, &made);
        assert!(
            ["give the root", "no leaf before it accepts", "are missing"]
                .iter()
                .any(|part| found.contains(part)),
            "leaf {at} deleted: {found}"
        );

        let mut inserted = leaves.clone();
        inserted.insert(at, leaves[at.saturating_sub(1)].clone());
        let found = told(&scene, &inserted, &made);
        assert!(
            ["give the root", "was decided upon before", "had its outcome before"]
                .iter()
                .any(|part| found.contains(part)),
            "leaf {at} inserted: {found}"
        );

        if let Some(next) = leaves.get(at + 1).filter(|next| **next != leaves[at]) {
            let mut swapped = leaves.clone();
            swapped.swap(at, at + 1);
            let found = told(&scene, &swapped, &made);
            let known = ["give the root", "times that never go back", "accepts it"];
            assert!(known.iter().any(|part| found.contains(part)), "{at}: {found}\n{next}");
        }
    }
    // Behind the last leaf that was signed nothing can be hidden, only be told as not signed.
    let mut longer = leaves.clone();
    longer.push(leaves[leaves.len() - 1].clone());
    assert_eq!(check(&scene, &longer, &made).unwrap().signed, head(&leaves).size);
}

#[test]
fn a_tail_cut_by_any_number_of_leaves_is_missed() {
    let (scene, leaves, made) = sound();
    for cut in 1..=leaves.len() {
        let left = leaves.len() - cut;
        let found = told(&scene, &leaves[..left], &made);
        let size = leaves.len();
        assert_eq!(
            found,
            format!(
                "the log ends after {left} leaves, but a signed checkpoint covers {size}: the last \
                 {cut} are missing"
            )
        );
    }
}

#[test]
fn two_valid_logs_spliced_are_neither() {
    let (scene, leaves, made) = sound();
    let other = Scene::with_payments(2, 25);
    let others = other.leaves();
    // The first leaf of both and the last one are the same: start and stop at the same instant.
    assert_eq!((leaves.first(), leaves.last()), (others.first(), others.last()));
    for at in 2..leaves.len() - 1 {
        let spliced = [&leaves[..at], &others[at..]].concat();
        let found = told(&scene, &spliced, &made);
        let known = ["give the root", "no leaf before it accepts it"];
        assert!(known.iter().any(|part| found.contains(part)), "spliced at {at}: {found}");
        let appended = [&leaves[..at], &others[..]].concat();
        let found = told(&scene, &appended, &made);
        let known = ["give the root", "times that never go back"];
        assert!(known.iter().any(|part| found.contains(part)), "appended at {at}: {found}");
    }
}

#[test]
fn checkpoints_of_others_and_of_the_past_are_refused() {
    let (scene, leaves, made) = sound();
    let all = head(&leaves);
    let spoilt = |spoil: &dyn Fn(&mut Vec<String>)| {
        let mut notes = made.clone();
        spoil(&mut notes);
        told(&scene, &leaves, &notes)
    };
    let found = spoilt(&|notes| notes[2] = scene.audit.note("elsewhere.example/log", all));
    assert_eq!(
        found,
        format!(
            "checkpoint 3 is of the log elsewhere.example/log; expected {ORIGIN}, as those before \
             it"
        )
    );
    let found = spoilt(&|notes| notes[2] = LogKey::new(ORIGIN).note(ORIGIN, all));
    assert_eq!(found, "checkpoint 3: the note is not signed by a known key");
    let found = spoilt(&|notes| notes[2] = notes[2].replacen("\n42\n", "\n43\n", 1));
    assert!(found.starts_with("checkpoint 3: the signature by"), "{found}");
    let found = spoilt(&|notes| notes.swap(1, 2));
    assert!(found.starts_with("checkpoint 3 covers 20 leaves, but the one made before it"));
    assert!(found.ends_with("expected a log that only grows: it was set back"), "{found}");
    let found = spoilt(&|notes| notes[1] = notes[2].clone());
    assert!(found.contains("it was set back"), "{found}");
    let found = spoilt(&|notes| notes[0] = "no note".to_owned());
    assert_eq!(found, "checkpoint 1: the note has no signatures after a blank line");
    let found = spoilt(&Vec::clear);
    assert!(found.starts_with("the log has no checkpoint: nothing of it is signed"), "{found}");

    // A checkpoint of a fork that the same key has signed, kept elsewhere.
    let fork = [&leaves[..19], &leaves[20..21]].concat();
    let kept = [scene.audit.note(ORIGIN, head(&fork))];
    let found = check_kept(&scene, &leaves, &made, &kept).unwrap_err().to_string();
    assert!(found.starts_with("the first 20 leaves give the root"), "{found}");
    assert!(found.contains("a leaf from 7 on was edited"), "{found}");
    // The log as it was yesterday, with the checkpoint of then, against one kept from today.
    let found = check_kept(&scene, &leaves[..20], &made[..2], &made[2..]).unwrap_err();
    assert!(found.to_string().contains("the log ends after 20 leaves"), "{found}");
    assert!(check_kept(&scene, &leaves, &made[2..], &made[..2]).is_ok(), "in any order");
}

#[test]
fn witnesses_alone_do_not_make_a_log() {
    let (_, leaves, _) = sound();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().try_into().unwrap();
    let key = VerifierKey::cosignature_v1(NoteKeyName::parse("witness").unwrap(), public);
    let checkpoint = crate::log::checkpoint::Checkpoint::new(ORIGIN, head(&leaves), &[]).unwrap();
    let unsigned = key.prepare(checkpoint.text(), Timestamp::from_unix_ms(1));
    let signature = pair.sign(unsigned.message());
    let line = unsigned.signed(signature.as_ref()).unwrap();
    let note = Note::new(checkpoint.text().clone(), line).to_string();
    let refused = LogVerifier::new(&[note], &[], &[key]).unwrap_err();
    assert!(refused.to_string().contains("cosigned by witnesses only"), "{refused}");
}

#[test]
fn a_daemon_that_signs_its_own_lies_is_found_out() {
    let scene = Scene::new(1);
    scene.pay(&[Fate::Signed, Fate::Voided, Fate::Denied]);
    let leaves = scene.leaves();
    // started, accepted, signed, accepted, voided, denied, stopped
    let edited = |at: usize, old: &str, new: &str| {
        let mut leaves = leaves.clone();
        leaves[at] = leaves[at].replacen(old, new, 1);
        assert_ne!(leaves[at], scene.leaves()[at], "{old}");
        told_of_own(&scene, &leaves)
    };
    let moved = |order: &[usize]| {
        told_of_own(&scene, &order.iter().map(|at| leaves[*at].clone()).collect::<Vec<_>>())
    };
    assert!(check(&scene, &leaves, &[scene.audit.note(ORIGIN, head(&leaves))]).is_ok());
    for (found, position, told) in [
        (moved(&[0, 2]), 1, "is signed here, but no leaf before it accepts it"),
        (moved(&[0, 4]), 1, "is voided here, but no leaf before it accepts it"),
        (moved(&[0, 1, 2, 2]), 3, "is signed here, but was denied or had its outcome before"),
        (moved(&[0, 1, 1]), 2, "is accepted here, but was decided upon before"),
        (moved(&[0, 5, 5]), 2, "is denied here, but was decided upon before"),
        (moved(&[0, 3, 1]), 2, "expected times that never go back"),
        (edited(2, "12.34", "12.35"), 2, "says amount 12.35; expected 12.34, as the leaf 1"),
        (edited(2, "\"shop\"", "\"shap\""), 2, "says caller shap; expected shop"),
        (edited(2, "settlement-eur", "reserve-eur"), 2, "says key reserve-eur; expected settle"),
        (edited(2, "\"EUR\"", "\"USD\""), 2, "says currency USD; expected EUR"),
        (edited(2, "\"kid\":\"", "\"kid\":\"A"), 2, "\"kid\" is"),
        (edited(1, "12.34", "12.3"), 1, "\"amount\" is \"12.3\"; expected a decimal amount"),
        (edited(1, "{", "{ "), 1, "it is not canonical JSON (RFC 8785): expected a string at"),
        (edited(0, "started", "begun"), 0, "its kind is \"begun\"; expected one of"),
        (edited(0, "leaf/1", "leaf/9"), 0, "its schema is \"countersign/leaf/9\""),
        (edited(6, "\"stopped\"", &format!("\"{}\"", "x".repeat(5000))), 6, "it has 5"),
    ] {
        assert!(found.starts_with(&format!("leaf {position}: ")), "{found}");
        assert!(found.contains(told), "{told}: {found}");
    }
}

#[test]
fn a_tile_shows_which_leaf_was_changed() {
    let scene = Scene::with_payments(1, 180);
    let leaves = scene.leaves();
    assert!(leaves.len() > 256);
    let grown = |leaves: &[String]| {
        let (mut growth, mut full) = (Growth::default(), Vec::new());
        for leaf in leaves {
            growth.append(Hash::of_leaf(leaf.as_bytes()), &mut full).unwrap();
        }
        assert_eq!(full.len(), 1);
        let first = Tile::new(TileKind::Hashes { level: 0 }, 0, 256).unwrap();
        (vec![(first, full.remove(0).hashes)], growth.partial().collect::<Vec<_>>())
    };
    let (tiles, partial) = grown(&leaves);
    let paths: Vec<String> = partial.iter().map(|(tile, _)| tile.to_string()).collect();
    assert_eq!(paths, [format!("tile/0/001.p/{}", leaves.len() - 256), "tile/1/000.p/1".into()]);
    let mut edited = leaves;
    edited[200] = edited[100].clone();
    let (changed, changed_partial) = grown(&edited);
    let (tile, kept) = &tiles[0];
    let found = same_tile(tile, kept, &changed[0].1).unwrap_err();
    assert_eq!(found.position, Some(200));
    assert!(found.to_string().contains("which stands in tile/0/000"), "{found}");
    let (tile, kept) = &partial[1];
    let found = same_tile(tile, kept, &changed_partial[1].1).unwrap_err().to_string();
    assert!(found.starts_with("tile/1/000.p/1 has the hash"), "{found}");
    let found = same_tile(tile, &kept[1..], &changed_partial[1].1).unwrap_err().to_string();
    assert_eq!(found, "tile/1/000.p/1 has 31 bytes; expected 32");
    assert_eq!(same_tile(tile, kept, kept), Ok(()));
}

#[test]
fn payments_of_the_ledger_have_their_leaves_byte_for_byte() {
    let scene = Scene::with_payments(1, 5);
    let (leaves, size) = (scene.leaves(), head(&scene.leaves()).size);
    let at = |position: u64| {
        let text = leaves.get(usize::try_from(position).unwrap()).cloned();
        text.map(Leaf::from_stored)
    };
    for (_, record) in scene.reader().history(0, 10).unwrap() {
        let own = LeavesOf { decision: at(record.leaf), outcome: record.outcome_leaf.and_then(at) };
        assert_eq!(agrees(&record, &own, size), Ok(()), "{record:?}");
        let lost = LeavesOf { decision: None, ..own.clone() };
        let found = agrees(&record, &lost, size).unwrap_err();
        assert_eq!(found.position, Some(record.leaf));
        assert!(found.to_string().contains("its decision here, but the leaf is not there"));
        let next = LeavesOf { decision: at(record.leaf + 1), ..own.clone() };
        assert!(agrees(&record, &next, size).is_err(), "the leaf of another");
        let mut digest = own.clone();
        digest.decision = digest.decision.map(|leaf| {
            let leaf = leaf.as_str();
            let from = leaf.find("creditor_account\":\"").unwrap() + 19;
            Leaf::from_stored(format!("{}A{}", &leaf[..from], &leaf[from + 1..]))
        });
        assert!(agrees(&record, &digest, size).is_err() || digest == own, "another digest");
        if let Some(position) = record.outcome_leaf {
            let swapped = LeavesOf { outcome: own.decision.clone(), ..own.clone() };
            let found = agrees(&record, &swapped, size).unwrap_err();
            assert_eq!(found.position, Some(position));
            assert_eq!(agrees(&record, &swapped, position), Ok(()), "beyond what is looked at");
        }
    }
}
