//! Tables over what the two objects of a token may hold.

use std::convert::Infallible;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::domain::time::Timestamp;
use crate::log::note::NoteKeyName;
use crate::log::tree::Hash;

const LEDGER: &str = "0123456789abcdef0123456789abcdef";

struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Signer {
    fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let name = NoteKeyName::parse("pay.test.example/log").unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        Self { pair, key: VerifierKey::ed25519(name, public) }
    }

    fn checkpoint(&self, size: u64) -> String {
        let head = TreeHead { size, root: root(size) };
        let checkpoint = Checkpoint::new("pay.test.example/log", head, &[]).unwrap();
        let unsigned = self.key.prepare(checkpoint.text(), Timestamp::from_unix_ms(0));
        let signature = self.pair.sign(unsigned.message());
        let line = unsigned.signed(signature.as_ref()).unwrap();
        Note::new(checkpoint.text().clone(), line).to_string()
    }
}

fn root(size: u64) -> Hash {
    Hash::of_leaf(&size.to_be_bytes())
}

/// Two objects as a daemon leaves them that started once and anchored `size` leaves.
fn objects(signer: &Signer, size: u64) -> [Option<Vec<u8>>; 2] {
    let started = Anchor::first(LEDGER).of_start();
    let newer = started.next(&signer.checkpoint(size));
    [Some(newer.to_bytes()), Some(started.to_bytes())]
}

fn judged(objects: [Option<Vec<u8>>; 2], ledger: &str, leaves: u64) -> Result<(), AnchorFault> {
    let anchor = newest(objects)?.anchor;
    let ours = |head: TreeHead| Ok::<_, Infallible>(head.root == root(head.size));
    judge(&anchor, &Signer::new(1).key, ledger, leaves, ours).unwrap()
}

#[test]
fn a_ledger_is_used_only_where_its_token_remembers_no_more_than_it_has() {
    let (ours, theirs) = (Signer::new(1), Signer::new(2));
    let whole = |size| objects(&ours, size);
    let without = |nth: usize| {
        let mut left = whole(10);
        left[nth] = None;
        left
    };
    let torn = |nths: &[usize]| {
        let mut left = whole(10);
        nths.iter().for_each(|nth| left[*nth].as_mut().unwrap().truncate(100));
        left
    };
    let rolled_back = AnchorFault::RolledBack { anchored: 10, found: 9 };
    let anchored = LEDGER.to_owned();
    let other = AnchorFault::OtherLedger { anchored, found: "another".to_owned() };
    let forged = Anchor::first(LEDGER).next(&theirs.checkpoint(10)).to_bytes();
    type Case<'a> = ([Option<Vec<u8>>; 2], &'a str, u64, Result<(), AnchorFault>);
    let cases: Vec<Case<'_>> = vec![
        (whole(10), LEDGER, 10, Ok(())),
        (whole(10), LEDGER, 11, Ok(())),
        (torn(&[1]), LEDGER, 10, Ok(())),
        // The newer one was being written: the older one holds until the next.
        (torn(&[0]), LEDGER, 0, Ok(())),
        (whole(10), LEDGER, 9, Err(rolled_back)),
        (whole(10), "another", 10, Err(other)),
        ([None, None], LEDGER, 10, Err(AnchorFault::None)),
        // Gone like torn: what is left may be the older one, and holds.
        (without(1), LEDGER, 9, Err(AnchorFault::RolledBack { anchored: 10, found: 9 })),
        (without(0), LEDGER, 9, Ok(())),
        (torn(&[0, 1]), LEDGER, 10, Err(AnchorFault::Torn)),
    ];
    for (number, (objects, ledger, leaves, expected)) in cases.into_iter().enumerate() {
        assert_eq!(judged(objects, ledger, leaves), expected, "case {number}");
    }
    let forged = judged([Some(forged.clone()), Some(forged)], LEDGER, 10);
    assert!(matches!(forged, Err(AnchorFault::Foreign(_))), "{forged:?}");
}

#[test]
fn another_history_of_the_same_length_is_a_fork() {
    let signer = Signer::new(1);
    let anchor = newest(objects(&signer, 10)).unwrap().anchor;
    let differs = |_| Ok::<_, Infallible>(false);
    let judged = judge(&anchor, &signer.key, LEDGER, 12, differs).unwrap();
    assert_eq!(judged, Err(AnchorFault::Forked { size: 10 }));
}

#[test]
fn an_anchor_with_any_byte_changed_or_missing_is_torn() {
    let bytes = Anchor::first(LEDGER).next(&Signer::new(1).checkpoint(7)).to_bytes();
    assert!(Anchor::parse(&bytes).is_some());
    assert!(bytes.len() <= 1024, "{} bytes", bytes.len());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(Anchor::parse(&changed), None, "byte {at}");
        assert_eq!(Anchor::parse(&bytes[..at]), None, "cut at {at}");
    }
}

#[test]
fn a_second_daemon_on_the_token_is_found_out_by_both() {
    let first = Anchor::first(LEDGER).of_start();
    assert_eq!(uncontested(&first, &first), Ok(()));
    let second = first.of_start();
    let refused = uncontested(&first, &second).unwrap_err();
    let expected = AnchorFault::Contested { epoch: 1, turn: 1, found_epoch: 2, found_turn: 2 };
    assert_eq!(refused, expected);
    // The first one writes on, without having looked: then the second finds out.
    assert!(uncontested(&second, &first.next("")).is_err());
}
