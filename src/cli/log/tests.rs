//! Showing and exporting a small log; its export is read by software that is not ours.

use std::ops::ControlFlow;
use std::process::Command;

use clap::Parser;

use super::export::{self, Export};
use super::filter::{Filter, Sieve};
use super::line::cells_of;
use super::source::{Source, read};
use super::*;
use crate::log::entry::Kind;

pub(in crate::cli) mod sample;

use sample::{ORIGIN, Sample, whence};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    filter: Filter,
}

/// Positions of the leaves that fit.
fn fitting(source: &Source, arguments: &[&str]) -> Vec<u64> {
    let filter = Line::try_parse_from([&["countersign"], arguments].concat()).unwrap().filter;
    let size = source.size().unwrap();
    let first = filter.since.map_or(0, |since| source.first_since(since, size).unwrap());
    let mut sieve = Sieve::new(&filter, source, first).unwrap();
    let mut found = Vec::new();
    source
        .walk(first, size, |position, text| {
            if sieve.takes(&read(position, text)?)? {
                found.push(position);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    found
}

fn exported(sample: &Sample, directory: &str) -> Result<Exit, Failure> {
    let (ledger, place) = (sample.path(), sample.place(directory));
    let whence = whence(&["--ledger", ledger.to_str().unwrap()]);
    export::run(&Export { directory: place, whence }, &Output::new(true))
}

#[test]
fn the_sample_is_what_it_says() {
    let sample = Sample::told();
    let mut kinds = Vec::new();
    sample
        .source()
        .walk(0, 11, |position, text| {
            kinds.push(read(position, text)?.kind());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    use Kind::{Accepted, Denied, Signed, Started, TokenDown, Unserved, Voided};
    let expected = [
        Started, Accepted, Signed, Denied, Accepted, Signed, Accepted, Voided, TokenDown, Unserved,
        Accepted,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn every_filter_finds_what_it_says() {
    let sample = Sample::told();
    let source = sample.source();
    let third = Sample::payment(3).to_string();
    for (arguments, expected) in [
        (vec![], (0..11).collect::<Vec<_>>()),
        (vec!["--key", "settlement-eur"], vec![1, 2, 3, 4, 5, 6, 7, 10]),
        (vec!["--key", "settlement"], vec![]),
        (vec!["--caller", "kiosk"], vec![3, 4, 5, 9]),
        (vec!["--payment", &third], vec![4, 5]),
        (vec!["--decision", "signed"], vec![2, 5]),
        (vec!["--decision", "denied", "--decision", "voided"], vec![3, 7]),
        (vec!["--debtor", "user-1"], vec![1, 2, 4, 5]),
        (vec!["--debtor", "user-2"], vec![3]),
        (vec!["--debtor", "user-3"], vec![]),
        // The accepting leaf is not shown, but its outcome is still found.
        (vec!["--debtor", "user-1", "--decision", "signed"], vec![2, 5]),
        // The sample starts at 08:00, one leaf a minute.
        (vec!["--since", "2027-01-15T08:06:00Z"], vec![5, 6, 7, 8, 9, 10]),
        (vec!["--since", "2027-01-15T08:06:00Z", "--debtor", "user-1"], vec![5]),
        (vec!["--until", "2027-01-15T08:03:00Z"], vec![0, 1]),
        (vec!["--since", "2027-01-15", "--until", "2027-01-16", "--caller", "shop"], {
            vec![1, 2, 6, 7, 10]
        }),
        (vec!["--since", "2027-01-16"], vec![]),
    ] {
        assert_eq!(fitting(&source, &arguments), expected, "{arguments:?}");
    }
    for arguments in [
        ["--decision", "applauded"],
        ["--since", "yesterday"],
        ["--since", "2027-02-30"],
        ["--payment", "4711"],
    ] {
        let line = [["countersign"].as_slice(), &arguments].concat();
        assert!(Line::try_parse_from(line).is_err(), "{arguments:?}");
    }
}

#[test]
fn a_line_says_what_matters() {
    let sample = Sample::told();
    let mut told = Vec::new();
    sample
        .source()
        .walk(0, 11, |position, text| {
            let cells = cells_of(position, &read(position, text)?, true);
            told.push(cells.map(|cell| if cell.is_empty() { "-".into() } else { cell }).join(" "));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let second = Sample::payment(2);
    assert_eq!(
        told[0],
        "0 2027-01-15 08:01:00.000 started - - - - - release 0.1.0, policy abc, found 0 leaves"
    );
    assert_eq!(
        told[3],
        format!(
            "3 2027-01-15 08:04:00.000 denied 200.00 EUR settlement-eur kiosk {second} \
             limit_exceeded: single per key, 0.00 used of 100.00"
        )
    );
    assert!(told[7].ends_with(" by officer"), "{}", told[7]);
    assert!(told[8].ends_with("softhsm: C_Sign: CKR_DEVICE_ERROR"), "{}", told[8]);
    assert!(told[9].ends_with("kiosk - 2 content_type, 31 overload"), "{}", told[9]);
}

/// RFC 6962 section 2.1 and the formats of C2SP, in Python's own library.
const PYTHON: &str = r#"
import base64, hashlib, os, sys
top = sys.argv[1]
origin, size, root = open(os.path.join(top, "checkpoint")).read().split("\n")[:3]
size = int(size)
def path(kind, index, width):
    parts = ["%03d" % (index % 1000)]
    while index >= 1000:
        index //= 1000
        parts.insert(0, "x%03d" % (index % 1000))
    end = "" if width == 256 else ".p/%d" % width
    return os.path.join(top, "tile", str(kind), *parts) + end
def widths(count):
    return [256] * (count // 256) + ([count % 256] if count % 256 else [])
def sha(data):
    return hashlib.sha256(data).digest()
leaves = []
for index, width in enumerate(widths(size)):
    data = open(path("entries", index, width), "rb").read()
    for _ in range(width):
        length = int.from_bytes(data[:2], "big")
        leaves.append(sha(b"\0" + data[2:2 + length]))
        data = data[2 + length:]
    assert data == b""
def tree(hashes):
    if len(hashes) <= 1:
        return hashes[0] if hashes else sha(b"")
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return sha(b"\1" + tree(hashes[:half]) + tree(hashes[half:]))
files, level, row = 0, 0, leaves
while row:
    for index, width in enumerate(widths(len(row))):
        data = open(path(level, index, width), "rb").read()
        assert data == b"".join(row[index * 256:index * 256 + width]), (level, index)
        files += 1
    row = [tree(row[n:n + 256]) for n in range(0, len(row) - 255, 256)]
    level += 1
assert base64.b64encode(tree(leaves)).decode() == root, "the root is another one"
print(origin, size, root, files)
"#;

#[test]
fn python_reads_the_export_and_finds_the_same_root() {
    let sample = Sample::told();
    for number in 0..600 {
        sample.record(crate::domain::leaf::Event::TokenUp { token: format!("token-{number}") });
    }
    sample.sign();
    sample.record(crate::domain::leaf::Event::Stopped);
    assert_eq!(exported(&sample, "export").unwrap(), Exit::Done);
    let python = Command::new("python3")
        .args(["-c", PYTHON])
        .arg(sample.place("export"))
        .output()
        .expect("this test needs python3");
    let told = String::from_utf8_lossy(&python.stdout).into_owned();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let newest = crate::ledger::reader::Reader::open(&sample.path()).unwrap().newest_checkpoint();
    let note = newest.unwrap().unwrap().note;
    let root = note.split('\n').nth(2).unwrap();
    // Three tiles of leaf hashes, and one above them for the two that are full.
    assert_eq!(told.trim(), format!("{ORIGIN} 611 {root} 4"));
    assert_eq!(std::fs::read_to_string(sample.place("export").join("checkpoint")).unwrap(), note);
}

#[test]
fn an_export_is_gone_on_with_and_shown_again() {
    let sample = Sample::told();
    let refused = exported(&sample, "export").unwrap_err().message;
    assert!(refused.contains("found no checkpoint"), "{refused}");
    sample.sign();
    assert_eq!(exported(&sample, "export").unwrap(), Exit::Done);
    for _ in 0..300 {
        sample.record(crate::domain::leaf::Event::Stopped);
    }
    sample.sign();
    assert_eq!(exported(&sample, "export").unwrap(), Exit::Done);
    let place = sample.place("export");
    let export = Source::open(&whence(&["--export", place.to_str().unwrap()])).unwrap();
    assert_eq!(export.size().unwrap(), 311);
    assert_eq!(fitting(&export, &["--caller", "kiosk"]), [3, 4, 5, 9]);
    assert_eq!(fitting(&export, &["--since", "2027-01-15T13:09:00Z"]), [309, 310]);
    let filter = Line::try_parse_from(["countersign", "--debtor", "user-1"]).unwrap().filter;
    let refused = Sieve::new(&filter, &export, 0).err().unwrap().message;
    assert!(refused.contains("no salts"), "{refused}");

    std::fs::remove_file(place.join("tile/entries/001.p/55")).unwrap();
    let refused = export.walk(0, 311, |_, _| Ok(ControlFlow::Continue(()))).unwrap_err().message;
    assert!(refused.contains("tile/entries/001.p/55"), "{refused}");
}

#[test]
fn nothing_is_exported_over_something_else() {
    let (ours, other) = (Sample::told(), Sample::told());
    ours.sign();
    std::fs::create_dir(ours.place("full")).unwrap();
    std::fs::write(ours.place("full").join("letter"), "dear").unwrap();
    let refused = exported(&ours, "full").unwrap_err();
    assert!(refused.message.contains("found other files"), "{}", refused.message);

    // Two logs of one name: what both say is the same, what follows is not.
    assert_eq!(exported(&ours, "export").unwrap(), Exit::Done);
    other.record(crate::domain::leaf::Event::Stopped);
    ours.record(crate::domain::leaf::Event::TokenUp { token: "x".to_owned() });
    ours.sign();
    other.sign();
    let theirs = other.place("export");
    std::fs::create_dir(&theirs).unwrap();
    assert_eq!(exported(&ours, "export").unwrap(), Exit::Done);
    copy(&ours.place("export"), &theirs);
    let refused = exported(&other, "export").unwrap_err();
    assert_eq!(refused.exit, Exit::Alarm);
    assert!(refused.message.contains("contradict each other"), "{}", refused.message);

    other.record(crate::domain::leaf::Event::Stopped);
    let note = theirs.join("checkpoint");
    let checkpoint = std::fs::read_to_string(&note).unwrap().replace("\n12\n", "\n4711\n");
    std::fs::write(&note, checkpoint).unwrap();
    let refused = exported(&other, "export").unwrap_err().message;
    assert!(refused.contains("rolled back"), "{refused}");
    let checkpoint = std::fs::read_to_string(&note).unwrap().replacen(ORIGIN, "other.example", 1);
    std::fs::write(&note, checkpoint).unwrap();
    let refused = exported(&other, "export").unwrap_err().message;
    assert!(refused.contains("an export of the log other.example"), "{refused}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}
