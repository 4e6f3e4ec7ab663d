//! The witness by itself: requests made by hand, forks, kills, and a state that is lost.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use countersign::log::checkpoint::Checkpoint;
use countersign::log::note::{Note, NoteKeyName, VerifierKey};
use countersign::log::proof;
use countersign::log::tree::{Frontier, Hash, NodeId, TreeHead};
use countersign::log::witness::AddCheckpoint;

use crate::support::{Dice, Watcher};

const ORIGIN: &str = "log.test.example/one";

/// A log of ours whose key lies in software, so that it can lie.
struct Liar {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl Liar {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let name = NoteKeyName::parse(ORIGIN).unwrap();
        Self { pair, verifier: VerifierKey::ed25519(name, public) }
    }

    fn watcher(&self) -> Watcher {
        Watcher::of(&[(ORIGIN, &self.verifier.to_string())])
    }

    /// The request to cosign the first leaves of one view of the log.
    fn request(&self, view: View, old: u64, size: u64) -> String {
        let checkpoint = Checkpoint::new(ORIGIN, view.head(size), &[]).unwrap();
        let now = countersign::domain::time::Timestamp::from_unix_ms(0);
        let unsigned = self.verifier.prepare(checkpoint.text(), now);
        let signature = self.pair.sign(unsigned.message());
        let line = unsigned.signed(signature.as_ref()).unwrap();
        let note = Note::new(checkpoint.text().clone(), line);
        let proof = match old {
            0 => Vec::new(),
            _ => proof::consistency(old, size, |node| Ok::<_, ()>(view.node(node))).unwrap(),
        };
        AddCheckpoint::new(old, proof, note).unwrap().to_string()
    }
}

/// One of the histories that the liar tells: they part at a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    name: u8,
    parts_at: u64,
}

impl View {
    fn node(self, node: NodeId) -> Hash {
        if node.level == 0 {
            let name = if node.index < self.parts_at { 0 } else { self.name };
            return Hash::of_leaf(format!("{name} {}", node.index).as_bytes());
        }
        let below = |index| self.node(NodeId { level: node.level - 1, index });
        Hash::of_node(&below(node.index * 2), &below(node.index * 2 + 1))
    }

    fn head(self, size: u64) -> TreeHead {
        let mut frontier = Frontier::new();
        for index in 0..size {
            frontier.append(self.node(NodeId::leaf(index)), |_, _| {}).unwrap();
        }
        frontier.head()
    }
}

#[test]
fn requests_by_hand_are_answered_as_the_specification_says() {
    let liar = Liar::new();
    let watcher = liar.watcher();
    let watching = watcher.start();
    let (one, two) = (View { name: 1, parts_at: 4 }, View { name: 2, parts_at: 4 });
    let stranger = Liar::new();
    let other_origin = liar.request(one, 0, 5).replace(ORIGIN, "log.test.example/two");
    let with_old = |text: String, old: &str| {
        let (_, rest) = text.split_once('\n').unwrap();
        format!("{old}\n{rest}")
    };
    let size = "text/x.tlog.size";
    for (name, body, status, expected) in [
        ("nothing", String::new(), 400, "no empty line"),
        ("no old size", with_old(liar.request(one, 0, 5), "size 0"), 400, "the first line is"),
        ("another log", other_origin.clone(), 404, "does not know the log"),
        ("another key", stranger.request(one, 0, 5), 403, "not signed by a known key"),
        ("smaller than old", with_old(liar.request(one, 0, 5), "old 6"), 400, "no fewer"),
        ("too far", liar.request(one, 3, 5), 409, "0\n"),
        ("the first", liar.request(one, 0, 5), 200, "— witness.test.example/w1 "),
        ("again", liar.request(one, 5, 5), 200, "— witness.test.example/w1 "),
        ("from nothing", liar.request(one, 0, 5), 409, "5\n"),
        ("older", liar.request(one, 0, 4), 409, "5\n"),
        ("older, with its size", liar.request(one, 4, 4), 409, "5\n"),
        ("fork of the same size", liar.request(two, 5, 5), 422, "another tree of 5 leaves"),
        ("fork that grows", liar.request(two, 5, 9), 422, "the log has forked"),
        ("without a proof", with_old(liar.request(one, 0, 9), "old 5"), 422, "too short"),
        ("growing", liar.request(one, 5, 9), 200, "— witness.test.example/w1 "),
        ("huge", format!("{}{}", liar.request(one, 9, 9), "x".repeat(100_000)), 413, "more than"),
    ] {
        let (found, media_type, text) = watching.post(body.as_bytes()).unwrap();
        assert_eq!(found, status, "{name}: {text}");
        assert!(text.contains(expected), "{name}: {text}");
        assert_eq!(media_type == size, status == 409, "{name}: {media_type}");
    }
    assert_eq!(watching.get("/health/ready"), (200, "ready\n".to_owned()));
    assert_eq!(watching.get("/add-checkpoint").0, 405);
    assert_eq!(watching.get(&format!("/{}/checkpoint", "0".repeat(64))).0, 404);
    assert_eq!(watching.stop(), Some(0));

    // What it remembers outlives it.
    let watching = watcher.start();
    assert_eq!(watching.post(liar.request(two, 0, 12).as_bytes()).unwrap().2, "9\n");
}

#[test]
fn a_witness_that_is_killed_again_and_again_never_cosigns_two_views() {
    let mut dice = Dice::thrown();
    let liar = Liar::new();
    let watcher = liar.watcher();
    let parts_at = 3 + dice.roll(20);
    let views = [1, 2, 3].map(|name| View { name, parts_at });
    let cosigned: Mutex<BTreeMap<u64, Hash>> = Mutex::default();
    for _ in 0..6 {
        let watching = watcher.start();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for view in views {
                let (liar, watching, over, cosigned) = (&liar, &watching, &over, &cosigned);
                scope.spawn(move || {
                    let mut known = 0;
                    while !over.load(Ordering::Relaxed) {
                        let size = (known + 1).min(200);
                        let request = liar.request(view, known.min(size), size);
                        let Some((status, _, text)) = watching.post(request.as_bytes()) else {
                            continue;
                        };
                        match status {
                            200 => {
                                let root = view.head(size).root;
                                let before = cosigned.lock().unwrap().insert(size, root);
                                assert!(before.is_none_or(|before| before == root), "two views");
                                known = size;
                            }
                            409 => known = text.trim().parse::<u64>().unwrap().min(200),
                            _ => assert_eq!(status, 422, "{text}"),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(100 + dice.roll(300)));
            watching.signal("-KILL");
            over.store(true, Ordering::Relaxed);
        });
        watching.kill();
    }
    let cosigned = cosigned.into_inner().unwrap();
    let (newest, _) = cosigned.last_key_value().unwrap();
    assert!(*newest > parts_at, "it did not get to where the views part: {newest}");
    let is_of = |view: &View| cosigned.iter().all(|(size, root)| view.head(*size).root == *root);
    assert_eq!(views.iter().filter(|view| is_of(view)).count(), 1, "all of one view");
}

#[test]
fn a_witness_without_its_own_state_and_key_does_not_start() {
    let liar = Liar::new();
    let watcher = liar.watcher();
    let watching = watcher.start();
    assert_eq!(
        watching.post(liar.request(View { name: 1, parts_at: 0 }, 0, 5).as_bytes()).unwrap().0,
        200
    );
    let refused = |expected: &str| {
        let output = watcher.run(&["serve"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(expected), "{told}");
    };
    refused("another witness holds");
    assert_eq!(watching.stop(), Some(0));
    watcher.edit("witness.test.example/w1", "witness.test.example/w2");
    refused("the state is that of the witness witness.test.example/w1+");
    watcher.edit("witness.test.example/w2", "witness.test.example/w1");
    std::fs::rename(watcher.path("seen/seen"), watcher.path("seen/away")).unwrap();
    refused("there is no state at");
    let output = watcher.run(&["init"]);
    assert!(!output.status.success(), "a key that is pinned is not made again");
    std::fs::rename(watcher.path("seen/away"), watcher.path("seen/seen")).unwrap();
    assert_eq!(watcher.start().stop(), Some(0));
    watcher.edit("[[origin]]", "[[origins]]");
    refused("unknown field `origins`");
}

#[test]
fn the_template_of_a_witness_and_its_entry_are_understood() {
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hsm-config");
    let output = std::process::Command::new(crate::support::installation::COUNTERSIGN)
        .args(["witness", "serve", "--config"])
        .arg(templates.join("witness.toml"))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    // The first thing after the file that is not there yet.
    assert!(told.contains("key.thumbprint is missing"), "{told}");

    // The commented entry of a deployment, in force.
    let scratch = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(templates.join("softhsm.toml")).unwrap();
    let (before, rest) = text.split_once("# [[witness]]").unwrap();
    let (entry, after) = rest.split_once("\n\n").unwrap();
    let entry = entry.replace("\n# ", "\n");
    let copy = scratch.path().join("softhsm.toml");
    std::fs::write(&copy, format!("{before}[[witness]]{entry}\n\n{after}")).unwrap();
    let output = std::process::Command::new(crate::support::installation::COUNTERSIGN)
        .args(["doctor", "--json", "--config"])
        .arg(&copy)
        .output()
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let deployment = found.as_array().unwrap().iter().find(|found| found["what"] == "deployment");
    assert_eq!(deployment.unwrap()["well"], true, "{found}");
}
