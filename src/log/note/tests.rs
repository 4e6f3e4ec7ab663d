//! Notes and those of others. Keys and signatures made elsewhere have a file of their own.

use super::*;

mod keys;

// The keys and notes of golang.org/x/mod/sumdb/note.
const PETER: &str = "\
     PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const ENOCH: &str = "\
     EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const PROBLEM: &str = "\
     If you think cryptography is the answer to your problem,\n\
     then you don't know what your problem is.\n";
const PETER_LINE: &str = "\
     — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp\
     RZb6KE6RyyBwJnAM=";
const ENOCH_LINE: &str = "\
     — EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox\
     33WWd1RvMc+QQ=";

// The keys and checkpoints of two logs that sign with P-256, from transparency-dev/formats.
const REKOR: &str = "\
     rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXw\
     BcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=";
const REKOR_NOTE: &str = "\
     Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n— rekor.sigstore.dev wNI9aj\
     BEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxwWBHH\
     ufk=\n";
const PIXEL: &str = "\
     pixel6_transparency_log+91c16e30+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+4x0Jk1yTwvLFI9A4ND\
     dGZcX0aiWVdWM5XJVy0M4VWD3AvyW5Q6Hs9A0mcDkpUoYgn+KKPNzFC0H3nN3q6JQ8=";
const PIXEL_NOTE: &str = "\
     DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n— pixel6_transparency_log kcF\
     uMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/+g5O1FmYjX\
     l06owL4\n";

// The example of c2sp.org/signed-note.
const FOO: &str = "\
     example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const FOO_NOTE: &str = "\
     This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2\
     ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

fn name(text: &str) -> NoteKeyName {
    NoteKeyName::parse(text).unwrap()
}

fn note(lines: &[&str]) -> Note {
    Note::parse(format!("{PROBLEM}\n{}\n", lines.join("\n")).as_bytes()).unwrap()
}

fn bad(key: &str) -> NoteError {
    let key = self::key(key);
    NoteError::BadSignature { name: key.name().clone(), id: key.id() }
}

#[test]
fn notes_of_others_verify() {
    let example = format!("{PROBLEM}\n{PETER_LINE}\n");
    for (text, verifier, kind) in [
        (example.as_str(), PETER, SignatureKind::Ed25519),
        (FOO_NOTE, FOO, SignatureKind::Ed25519),
        (REKOR_NOTE, REKOR, SignatureKind::EcdsaP256),
        (PIXEL_NOTE, PIXEL, SignatureKind::EcdsaP256),
    ] {
        let (note, keys) = (Note::parse(text.as_bytes()).unwrap(), [key(verifier)]);
        let signed = note.verify(&keys).unwrap();
        assert_eq!(signed.text.as_str(), text.split_once("\n\n").unwrap().0.to_owned() + "\n");
        assert_eq!(signed.signatures, [Verified { key: &keys[0], time_s: None }]);
        assert_eq!(keys[0].kind(), kind);
        assert_eq!(keys[0].to_string(), verifier);
        assert_eq!(note.to_string(), text);
    }
}

#[test]
fn only_known_keys_count_and_each_of_their_signatures_must_verify() {
    let both = note(&[PETER_LINE, ENOCH_LINE]);
    let (peter, enoch) = (key(PETER), key(ENOCH));
    let only_peter = std::slice::from_ref(&peter);
    let who = |note: &Note, keys: &[VerifierKey]| {
        let signed = note.verify(keys)?;
        Ok(signed.signatures.iter().map(|by| by.key.name().to_string()).collect::<Vec<_>>())
    };
    let signers = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(who(&both, only_peter), signers(&["PeterNeumann"]));
    assert_eq!(
        who(&both, &[enoch.clone(), peter.clone()]),
        signers(&["PeterNeumann", "EnochRoot"])
    );
    assert_eq!(who(&both, &[]), Err(NoteError::Unknown));
    assert_eq!(who(&both, &[key(FOO)]), Err(NoteError::Unknown));
    let again = note(&[PETER_LINE, PETER_LINE]);
    assert_eq!(who(&again, only_peter), signers(&["PeterNeumann", "PeterNeumann"]));

    let twice = [enoch.clone(), peter.clone(), enoch.clone()];
    let ambiguous = NoteError::Ambiguous { name: enoch.name().clone(), id: enoch.id() };
    assert_eq!(who(&both, &twice), Err(ambiguous));
    assert_eq!(who(&note(&[PETER_LINE]), &twice), signers(&["PeterNeumann"]));

    // The name of one, the id of the other: unknown, not wrong.
    let misnamed = PETER_LINE.replace("PeterNeumann", "EnochRoot");
    let other_id = PETER_LINE.replace("x08g", "xxxx");
    for line in [&misnamed, &other_id] {
        assert_eq!(who(&note(&[line]), &twice[..2]), Err(NoteError::Unknown));
    }
    // A wrong signature by a known key spoils the right ones.
    let wrong = PETER_LINE.replace("Rcvv", "").replace("ZSNX", "ZSNY");
    for lines in [[PETER_LINE, &wrong], [&wrong, PETER_LINE], [&wrong, ENOCH_LINE]] {
        assert_eq!(who(&note(&lines), only_peter), Err(bad(PETER)));
    }
    assert_eq!(who(&note(&[&wrong, ENOCH_LINE]), &[enoch]), signers(&["EnochRoot"]));
}

#[test]
fn every_change_of_a_signed_note_is_refused() {
    for (text, verifier) in [(FOO_NOTE, FOO), (PIXEL_NOTE, PIXEL)] {
        let keys = [key(verifier)];
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let refused = Note::parse(&bytes).and_then(|note| note.verify(&keys).map(drop));
                assert!(refused.is_err(), "bit {bit} of byte {at}");
            }
            let cut = Note::parse(&text.as_bytes()[..at]);
            assert!(cut.is_err(), "cut at {at}");
        }
    }
}

#[test]
fn every_malformed_note_is_refused_and_says_why() {
    use NoteError::{Control, NoSignatures, NotUtf8, SignatureForm, TooLong, Unterminated};
    let (p, e) = (PETER_LINE, ENOCH_LINE);
    let form = |number| SignatureForm { number };
    let many = |count| format!("t\n\n{}", format!("{p}\n").repeat(count));
    for (bytes, expected) in [
        (String::new(), NoSignatures),
        ("\n".to_owned(), NoSignatures),
        ("\n\n".to_owned(), NoSignatures),
        ("t".to_owned(), NoSignatures),
        ("t\n".to_owned(), NoSignatures),
        ("t\n\n".to_owned(), NoSignatures),
        (format!("t\n{p}\n"), NoSignatures),
        (format!("{p}\n"), NoSignatures),
        (format!("\n{p}\n"), NoSignatures),
        (format!("t\n\n{p}\n\n"), NoSignatures),
        (format!("t\n\n{p}"), Unterminated),
        (format!("t\n\n{p}\n{e}"), Unterminated),
        (format!("t\n\n{p}\nUnexpected line.\n"), form(2)),
        (format!("t\n\nUnexpected line.\n{p}\n"), form(1)),
        (format!("t\n\n{p}\n\n{e}\nUnexpected line.\n"), form(2)),
        (format!("t\n\n {p}\n"), form(1)),
        (format!("t\n\n{p} \n"), form(1)),
        (format!("t\n\n{p} {e}\n"), form(1)),
        ("t\n\n—\n".to_owned(), form(1)),
        ("t\n\n— \n".to_owned(), form(1)),
        ("t\n\n— n\n".to_owned(), form(1)),
        ("t\n\n— n \n".to_owned(), form(1)),
        ("t\n\n— n  AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n—  AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n—n AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n—\u{a0}n AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n- n AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n– n AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n— Bad Name AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n— a+b AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n— a\u{a0}b AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n— a\u{85}b AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n— a\u{2028}b AAAAAAA=\n".to_owned(), form(1)),
        ("t\n\n— a\u{3000}b AAAAAAA=\n".to_owned(), form(1)),
        // Three and four bytes: no id, or no signature after it.
        ("t\n\n— n AAAA\n".to_owned(), form(1)),
        ("t\n\n— n AAAAAA==\n".to_owned(), form(1)),
        ("t\n\n— n AAAAAAA\n".to_owned(), form(1)),
        ("t\n\n— n AAAAAAA==\n".to_owned(), form(1)),
        ("t\n\n— n AAAAAAB=\n".to_owned(), form(1)),
        ("t\n\n— n AAAA AAA=\n".to_owned(), form(1)),
        ("t\n\n— n AAAAAA-=\n".to_owned(), form(1)),
        ("t\n\n— n AAAAAA_=\n".to_owned(), form(1)),
        ("t\n\n— n =AAAAAAA\n".to_owned(), form(1)),
        (format!("\u{1}t\n\n{p}\n"), Control { code: 1 }),
        (format!("t\u{0}\n\n{p}\n"), Control { code: 0 }),
        (format!("t\r\n\r\n{p}\r\n"), Control { code: 13 }),
        (format!("t\n\n{p}\r\n"), Control { code: 13 }),
        (format!("t\tt\n\n{p}\n"), Control { code: 9 }),
        (format!("t\u{1f}\n\n{p}\n"), Control { code: 31 }),
        ("t\n\n— a\tb AAAAAAA=\n".to_owned(), Control { code: 9 }),
        (many(65), NoteError::TooManySignatures),
        (many(1_000), NoteError::TooManySignatures),
        (many(4_000) + &"t".repeat(200_000), TooLong { bytes: 4_000 * (p.len() + 1) + 200_003 }),
    ] {
        assert_eq!(Note::parse(bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
    for bytes in [b"\xfft\n\n".as_slice(), b"t\n\n\xe2\x80", b"\xed\xa0\x80\n\n"] {
        let bytes = [bytes, p.as_bytes(), b"\n"].concat();
        assert_eq!(Note::parse(&bytes), Err(NotUtf8));
    }
}

#[test]
fn every_well_formed_note_is_read_and_written_as_it_was() {
    let many = format!("t\n\n{}", format!("{PETER_LINE}\n").repeat(SIGNATURES_MAX));
    let long = "t".repeat(NOTE_BYTES_MAX - PETER_LINE.len() - 3);
    let post_quantum = format!("t\n\n— n {}\n", BASE64.encode(&[7; 5_000]));
    for (bytes, text) in [
        (format!("t\n\n{PETER_LINE}\n"), "t\n".to_owned()),
        (format!("t\n\n\n{PETER_LINE}\n"), "t\n\n".to_owned()),
        (format!("\n\n{PETER_LINE}\n"), "\n".to_owned()),
        (format!("a\n\nb\n\n{PETER_LINE}\n"), "a\n\nb\n".to_owned()),
        // Signatures before the last blank line belong to the text.
        (format!("a\n\n{PETER_LINE}\n\n{ENOCH_LINE}\n"), format!("a\n\n{PETER_LINE}\n")),
        (
            "ed \u{e8} subito \u{7f}\u{85}\n\n— \u{e8} AAAAAAA=\n".to_owned(),
            "ed \u{e8} subito \u{7f}\u{85}\n".to_owned(),
        ),
        (many, "t\n".to_owned()),
        (post_quantum, "t\n".to_owned()),
        (format!("{long}\n\n{PETER_LINE}\n"), format!("{long}\n")),
    ] {
        let note = Note::parse(bytes.as_bytes()).unwrap();
        assert_eq!(note.unverified_text().as_str(), text);
        assert_eq!(note.to_string(), bytes);
    }
    assert_eq!(NoteText::parse("t"), Err(NoteError::TextEnd));
    assert_eq!(NoteText::parse("t\t\n"), Err(NoteError::Control { code: 9 }));
    let long = "\n".repeat(NOTE_BYTES_MAX + 1);
    assert_eq!(NoteText::parse(&long), Err(NoteError::TooLong { bytes: long.len() }));
}

#[test]
fn a_newer_signature_takes_the_place_of_the_older_one() {
    let line = |text: &str| SignatureLine::parse(text).unwrap();
    let text = NoteText::parse("t\n").unwrap();
    let mut note = Note::new(text, line("— a AAAAAQE="));
    for added in ["— b AAAAAQE=", "— a AAAAAgE=", "— a AAAAAQI=", "— a AAAAAQM="] {
        note.add(line(added)).unwrap();
    }
    let lines = note.unverified_signatures().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(lines, ["— a AAAAAQM=", "— b AAAAAQE=", "— a AAAAAgE="]);
    for number in lines.len()..SIGNATURES_MAX {
        note.add(line(&format!("— n{number} AAAAAQE="))).unwrap();
    }
    let full = note.clone();
    assert_eq!(note.add(line("— z AAAAAQE=")), Err(NoteError::TooManySignatures));
    assert_eq!(note, full);
    let bytes = [&[0, 0, 0, 1][..], &[0; NOTE_BYTES_MAX / 4 * 3]].concat();
    let huge = line(&format!("— b {}", BASE64.encode(&bytes)));
    assert!(matches!(note.add(huge), Err(NoteError::TooLong { .. })));
    assert_eq!(note, full);
    assert_eq!(note.add(line("— b AAAAAQI=")), Ok(()));
    assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note));
}
