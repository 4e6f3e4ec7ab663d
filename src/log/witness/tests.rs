//! Every request that is malformed, every refusal in the order of the specification, and every
//! answer that is not believed.

use super::*;
use crate::domain::time::Timestamp;
use crate::log::checkpoint::CheckpointError;
use crate::log::note::{Note, NoteError, SignatureLine, VerifierKey};
use crate::log::proof::ProofError;
use crate::log::tests::scene::{LogKey, ORIGIN};
use crate::log::tree::{Hash, TreeHead};

mod histories;

/// The example of the specification.
const EXAMPLE: &str = "\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q\
1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V626\
7UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1000)
}

fn refused(text: &str) -> RequestError {
    AddCheckpoint::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn the_example_of_the_specification_is_read_and_printed_the_same() {
    let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(request.origin(), "example.com/behind-the-sofa");
    assert_eq!((request.old(), request.proof().len()), (20_852_014, 4));
    assert_eq!(request.note().unverified_signatures().len(), 2);
    assert_eq!(request.to_string(), EXAMPLE);
    let hash = origin_hash("example.com/behind-the-sofa");
    assert_eq!(hash, "5fd2dc0beb4ce54da5050cf6d5c75248b023abad441c3cecde3976fbe9da4fe4");
}

#[test]
fn every_malformed_request_is_told_by_its_first_fault() {
    let (lines, note) = EXAMPLE.split_once("\n\n").unwrap();
    let with_old = |old: &str| format!("{old}\n\n{note}");
    let old = |old: &str| RequestError::OldLine { found: format!("{old:?}") };
    let proof = |hashes: usize| {
        let hash = format!("{}\n", Hash::EMPTY_ROOT).repeat(hashes);
        format!("old 1\n{hash}\n{note}")
    };
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let cases = [
        (with_old(""), old("")),
        (with_old("20852014"), old("20852014")),
        (with_old("Old 1"), old("Old 1")),
        (with_old("old  1"), old("old  1")),
        (with_old("old 1 "), old("old 1 ")),
        (with_old("old 01"), old("old 01")),
        (with_old("old +1"), old("old +1")),
        (with_old("old -1"), old("old -1")),
        (with_old("old 1\r"), old("old 1\r")),
        (with_old("old 18446744073709551616"), old("old 18446744073709551616")),
        (with_old("old 1\nno hash"), RequestError::ProofLine { number: 1 }),
        (format!("{lines}=\n\n{note}"), RequestError::ProofLine { number: 4 }),
        (EXAMPLE.replace("kaw=\n", "kaw=\r\n"), RequestError::ProofLine { number: 1 }),
        (proof(64), RequestError::LongProof),
        (lines.to_owned(), RequestError::NoBlankLine),
        (format!("{lines}\n"), RequestError::NoBlankLine),
        (String::new(), RequestError::NoBlankLine),
        (format!("{lines}\n\n"), NoteError::NoSignatures.into()),
        (EXAMPLE.trim_end().to_owned(), NoteError::Unterminated.into()),
        (EXAMPLE.replace("— ", "- "), NoteError::SignatureForm { number: 1 }.into()),
        (EXAMPLE.replace("\n20852163\n", "\n020852163\n"), CheckpointError::Size.into()),
        (EXAMPLE.replace(root, "CsUY"), CheckpointError::Root.into()),
        (EXAMPLE.replace("\n20852163\n", "\n"), CheckpointError::Lines.into()),
        (
            EXAMPLE.replace("\n20852163\n", "\n9223372036854775808\n"),
            RequestError::Large { size: 9_223_372_036_854_775_808 },
        ),
        (
            format!("{EXAMPLE}{}", "x".repeat(WITNESS_BYTES_MAX)),
            RequestError::TooLong { bytes: EXAMPLE.len() + WITNESS_BYTES_MAX },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&text), expected, "{text}");
    }
    assert_eq!(AddCheckpoint::parse(b"old 0\n\n\xff"), Err(RequestError::NotUtf8));
    assert!(AddCheckpoint::parse(proof(63).as_bytes()).is_ok());
    // A tree without leaves and with a false root is not malformed: it is refused after its origin.
    let empty = EXAMPLE.replace("\n20852163\n", "\n0\n");
    assert!(AddCheckpoint::parse(empty.as_bytes()).is_ok());
}

/// A tree of so many leaves, all the same for everybody but from `fork` on.
fn leaves(size: u64, fork: Option<u64>) -> Vec<Hash> {
    let leaf = |index: u64| match fork {
        Some(fork) if index >= fork => Hash::of_leaf(&(index + 1_000).to_be_bytes()),
        _ => Hash::of_leaf(&index.to_be_bytes()),
    };
    (0..size).map(leaf).collect()
}

fn head(leaves: &[Hash]) -> TreeHead {
    let root = crate::log::tree::tests::naive_root(leaves);
    TreeHead { size: u64::try_from(leaves.len()).unwrap(), root }
}

fn proof(first: u64, leaves: &[Hash]) -> Vec<Hash> {
    let node = |node: crate::log::tree::NodeId| {
        let width = 1_usize << node.level;
        let start = usize::try_from(node.index).unwrap() * width;
        Ok::<_, ()>(crate::log::tree::tests::naive_root(&leaves[start..start + width]))
    };
    crate::log::proof::consistency(first, head(leaves).size, node).unwrap()
}

fn checkpoint(size: &str, root: &Hash) -> String {
    format!("{ORIGIN}\n{size}\n{root}\n")
}

#[test]
fn every_refusal_comes_in_the_order_of_the_specification() {
    let (log, stranger) = (LogKey::new(ORIGIN), LogKey::new(ORIGIN));
    let keys = [log.verifier.clone()];
    let (five, eight, other) = (leaves(5, None), leaves(8, None), leaves(5, Some(4)));
    let seen = head(&five);
    let note = |leaves: &[Hash]| {
        log.signed(&checkpoint(&leaves.len().to_string(), &head(leaves).root), at(1))
    };
    let right = proof(5, &eight);
    let wrong = proof(4, &eight);
    let by_stranger = stranger.signed(note(&eight).unverified_text().as_str(), at(1));
    // Its name and id are those of the log's key, the signature is that of something else.
    let text = note(&eight).unverified_text().clone();
    let spoilt = Note::new(text, note(&five).unverified_signatures()[0].clone());
    let false_empty = log.signed(&checkpoint("0", &seen.root), at(1));
    let empty = TreeHead::EMPTY;
    let other_root = Refusal::OtherRoot { size: 5, seen: seen.root, found: head(&other).root };
    let needless = Refusal::NeedlessProof { lines: right.len() };
    let failed = |seen, error| Refusal::Proof { seen, error };
    let bad = NoteError::BadSignature { name: log.verifier.name().clone(), id: log.verifier.id() };
    let (note_8, note_5, note_4) = (note(&eight), note(&five), note(&leaves(4, None)));
    let (note_other, note_0) = (note(&other), note(&[]));
    // Known, seen, old, proof, note; each has only what comes after its own fault wrong besides.
    let (known, unknown) = (Some(&keys[..]), None);
    type Row<'a> =
        (Option<&'a [VerifierKey]>, &'a TreeHead, u64, &'a [Hash], &'a Note, u16, Option<Refusal>);
    let cases: Vec<Row<'_>> = vec![
        (
            unknown,
            &seen,
            9,
            &wrong,
            &spoilt,
            404,
            Some(Refusal::UnknownOrigin { origin: ORIGIN.to_owned() }),
        ),
        (known, &seen, 9, &wrong, &spoilt, 403, Some(bad.into())),
        (known, &seen, 9, &wrong, &by_stranger, 403, Some(NoteError::Unknown.into())),
        (known, &seen, 9, &wrong, &note_8, 400, Some(Refusal::OldExceeds { old: 9, size: 8 })),
        (known, &seen, 1, &wrong, &false_empty, 400, Some(Refusal::OldExceeds { old: 1, size: 0 })),
        (known, &seen, 4, &wrong, &note_8, 409, Some(Refusal::Conflict { old: 4, seen: 5 })),
        (known, &seen, 0, &[], &note_8, 409, Some(Refusal::Conflict { old: 0, seen: 5 })),
        (known, &seen, 0, &[], &false_empty, 409, Some(Refusal::Conflict { old: 0, seen: 5 })),
        (known, &seen, 3, &[], &note_4, 409, Some(Refusal::Conflict { old: 3, seen: 5 })),
        (known, &empty, 0, &right, &false_empty, 422, Some(Refusal::FalseEmpty)),
        (known, &seen, 5, &wrong, &note_other, 422, Some(other_root)),
        (known, &empty, 0, &right, &note_8, 422, Some(needless)),
        (known, &seen, 5, &right, &note_5, 422, Some(failed(5, ProofError::TooLong))),
        (known, &seen, 5, &[], &note_8, 422, Some(failed(5, ProofError::TooShort))),
        (known, &seen, 5, &right, &note_8, 200, None),
        (known, &seen, 5, &[], &note_5, 200, None),
        (known, &empty, 0, &[], &note_8, 200, None),
        (known, &empty, 0, &[], &note_0, 200, None),
    ];
    for (number, (keys, seen, old, proof, note, status, expected)) in cases.into_iter().enumerate()
    {
        let request = AddCheckpoint::new(old, proof.to_vec(), note.clone()).unwrap();
        assert_eq!(AddCheckpoint::parse(request.to_string().as_bytes()), Ok(request.clone()));
        let judged = judge(keys, seen, &request);
        let found = judged.as_ref().map_or_else(|refusal| refusal.status(), |_| 200);
        assert_eq!((found, judged.err()), (status, expected), "case {number}");
    }
    // A fork that has grown, with the proof of its own tree.
    let forked = leaves(8, Some(4));
    let request = AddCheckpoint::new(5, proof(5, &forked), note(&forked)).unwrap();
    let refusal = judge(known, &seen, &request).unwrap_err();
    assert!(matches!(refusal, Refusal::Proof { error: ProofError::FirstRoot { .. }, .. }));
    assert!(refusal.to_string().contains("the log has forked"), "{refusal}");
}

#[test]
fn answers_are_read_strictly() {
    let witness = LogKey::of_witness("witness.example/w1");
    let line = witness.signed("a\n", at(1)).unverified_signatures()[0].to_string();
    let two = format!("{line}\n{line}\n");
    let size = |found: &str| Err(AnswerError::Size { found: format!("{found:?}") });
    let refused = |status, detail: &str| Ok(Answer::Refused { status, detail: detail.to_owned() });
    let no_line =
        |number, found: &str| Err(AnswerError::Line { number, found: format!("{found:?}") });
    let (many, blank) = (format!("{line}\n").repeat(65), format!("{line}\n\n"));
    let long = "x".repeat(WITNESS_BYTES_MAX + 1);
    let cases: Vec<(u16, &str, &str, Result<Answer, AnswerError>)> = vec![
        (409, "text/x.tlog.size", "7\n", Ok(Answer::Conflict { seen: 7 })),
        (409, "Text/x.tlog.size; charset=utf-8", "0\n", Ok(Answer::Conflict { seen: 0 })),
        (409, "text/x.tlog.size", "7", size("7")),
        (409, "text/x.tlog.size", "07\n", size("07\n")),
        (409, "text/x.tlog.size", "\n", size("\n")),
        (409, "text/plain", "7\n", refused(409, "7")),
        (200, "", "", no_line(1, "")),
        (200, "text/html", "<html>\n", no_line(1, "<html>")),
        (200, "", &blank, no_line(2, "")),
        (200, "", &many, Err(AnswerError::TooMany)),
        (403, "", "no\u{7} key\n", refused(403, "no  key")),
        (302, "", "", refused(302, "")),
        (500, "", &long, Err(AnswerError::TooLong)),
    ];
    for (status, media_type, body, expected) in cases {
        assert_eq!(Answer::parse(status, media_type, body.as_bytes()), expected, "{body}");
    }
    let Ok(Answer::Cosigned(lines)) = Answer::parse(200, "", two.as_bytes()) else { panic!() };
    assert_eq!(lines.len(), 2);
}

#[test]
fn only_the_cosignature_of_the_configured_key_over_this_note_is_taken() {
    let (log, witness) = (LogKey::new(ORIGIN), LogKey::of_witness("witness.example/w1"));
    let stranger = LogKey::of_witness("witness.example/w1");
    let text = checkpoint("5", &head(&leaves(5, None)).root);
    let note = log.signed(&text, at(1));
    let by = |key: &LogKey, text: &str, seconds| -> SignatureLine {
        key.signed(text, at(seconds)).unverified_signatures()[0].clone()
    };
    let (good, foreign) = (by(&witness, &text, 9), by(&stranger, &text, 9));
    let take = |lines: &[&SignatureLine]| {
        cosignature(&note, lines.iter().map(|line| (*line).clone()).collect(), &witness.verifier)
    };
    assert_eq!(take(&[&good]), Ok(good.clone()));
    assert_eq!(take(&[&foreign, &good]), Ok(good.clone()));
    let none = |count| Err(AnswerError::NotByKey { count, key: witness.verifier.to_string() });
    assert_eq!(take(&[&foreign]), none(1));
    assert_eq!(take(&[]), none(0));
    assert_eq!(take(&[&by(&witness, &text, 0)]), Err(AnswerError::Untimed));
    let elsewhere = by(&witness, "another\n", 9);
    let bad = NoteError::BadSignature {
        name: witness.verifier.name().clone(),
        id: witness.verifier.id(),
    };
    assert_eq!(take(&[&elsewhere]), Err(AnswerError::Cosignature(bad)));
    // The same key as that of a log is another key.
    let plain: VerifierKey = log.verifier.clone();
    assert!(cosignature(&note, vec![good], &plain).is_err());
}
