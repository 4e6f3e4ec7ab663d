//! One submission against witnesses that are right, wrong, forgetful and well informed.

use std::sync::Mutex;

use super::submission::{OwnTree, Shown, Submission, Unwitnessed};
use super::*;
use crate::domain::time::Timestamp;
use crate::log::proof;
use crate::log::tests::scene::{LogKey, ORIGIN};
use crate::log::tree::{Frontier, Hash, NodeId, TreeHead};
use crate::log::witness::{AddCheckpoint, AnswerError, Refusal, SIZE_MEDIA_TYPE, judge};

/// A log in memory; leaves from `fork` on are its own.
struct Log {
    leaves: u64,
    published: u64,
    fork: u64,
}

impl Log {
    fn of(leaves: u64) -> Self {
        Self { leaves, published: leaves, fork: u64::MAX }
    }

    fn leaf(&self, index: u64) -> Hash {
        Hash::of_leaf(format!("{index} {}", index >= self.fork).as_bytes())
    }

    fn node(&self, node: NodeId) -> Hash {
        match node.level {
            0 => self.leaf(node.index),
            level => {
                let below = |index| self.node(NodeId { level: level - 1, index });
                Hash::of_node(&below(node.index * 2), &below(node.index * 2 + 1))
            }
        }
    }

    fn head(&self, size: u64) -> TreeHead {
        let mut frontier = Frontier::new();
        (0..size).for_each(|index| frontier.append(self.leaf(index), |_, _| {}).unwrap());
        frontier.head()
    }
}

impl OwnTree for &Log {
    fn leaves(&self) -> Result<u64, String> {
        Ok(self.leaves)
    }

    fn published(&self) -> u64 {
        self.published
    }

    fn root(&self, size: u64) -> Result<Hash, String> {
        assert!(size <= self.leaves, "asked for leaves that are not there");
        Ok(self.head(size).root)
    }

    fn consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, String> {
        proof::consistency(first, second, |node| Ok::<_, String>(self.node(node)))
            .map_err(|refused| refused.to_string())
    }
}

/// What a witness does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Right,
    /// It has no monitoring interface.
    Silent,
    /// It answers every submission so.
    Says(u16, &'static str, &'static str),
    /// It answers 409 with one more each time.
    Counts,
    /// It is not there.
    Gone,
}

/// A witness in memory.
struct Double {
    habit: Habit,
    log: Arc<LogKey>,
    key: Arc<LogKey>,
    seen: Mutex<TreeHead>,
    asked: Mutex<Vec<u64>>,
}

fn reply(status: u16, media_type: &str, body: String) -> Result<WitnessReply, String> {
    Ok(WitnessReply { status, media_type: media_type.to_owned(), body: body.into_bytes() })
}

impl WitnessLine for Double {
    fn add_checkpoint(&self, request: &str) -> Result<WitnessReply, String> {
        let request = AddCheckpoint::parse(request.as_bytes()).unwrap();
        self.asked.lock().unwrap().push(request.old());
        match self.habit {
            Habit::Gone => return Err("connection refused".to_owned()),
            Habit::Says(status, media_type, body) => {
                return reply(status, media_type, body.to_owned());
            }
            Habit::Counts => {
                return reply(409, SIZE_MEDIA_TYPE, format!("{}\n", request.old() + 1));
            }
            Habit::Right | Habit::Silent => {}
        }
        let mut seen = self.seen.lock().unwrap();
        match judge(Some(std::slice::from_ref(&self.log.verifier)), &seen, &request) {
            Ok(checkpoint) => {
                *seen = checkpoint.head();
                let cosigned =
                    self.key.signed(checkpoint.text().as_str(), Timestamp::from_unix_ms(9_000));
                reply(200, "", format!("{}\n", cosigned.unverified_signatures()[0]))
            }
            Err(Refusal::Conflict { seen, .. }) => reply(409, SIZE_MEDIA_TYPE, format!("{seen}\n")),
            Err(refusal) => reply(refusal.status(), "", refusal.to_string()),
        }
    }

    fn newest(&self, _: &str) -> Result<WitnessReply, String> {
        match self.habit {
            Habit::Silent => reply(404, "", String::new()),
            _ => reply(200, "", self.log.note(ORIGIN, *self.seen.lock().unwrap())),
        }
    }
}

struct Scene {
    log: Arc<LogKey>,
    key: Arc<LogKey>,
}

impl Scene {
    fn new() -> Self {
        let log = Arc::new(LogKey::new(ORIGIN));
        Self { log, key: Arc::new(LogKey::of_witness("witness.example/w1")) }
    }

    fn witness(&self, habit: Habit, seen: TreeHead) -> Arc<Double> {
        let (log, key) = (Arc::clone(&self.log), Arc::clone(&self.key));
        Arc::new(Double { habit, log, key, seen: Mutex::new(seen), asked: Mutex::default() })
    }

    /// Submits the published head of a log to a witness that has cosigned so much of it for us.
    fn submit(&self, log: &Log, cosigned: u64, there: &Arc<Double>) -> Result<(), Unwitnessed> {
        let witness = Witness {
            name: "second".to_owned(),
            key: self.key.verifier.clone(),
            required_at_start: false,
            signing_waits: false,
            line: there.clone(),
        };
        let head = log.head(log.published);
        let note = Note::parse(self.log.note(ORIGIN, head).as_bytes()).unwrap();
        let (witness, tree) = (&witness, log);
        let log = &self.log.verifier;
        Submission { witness, log, note: &note, head, cosigned, tree }.submit().map(drop)
    }
}

#[test]
fn a_witness_is_asked_from_where_it_stands() {
    let scene = Scene::new();
    let log = Log::of(9);
    for (seen, cosigned, asked) in
        [(0, 0, &[0][..]), (5, 5, &[5]), (5, 0, &[0, 5]), (9, 9, &[9]), (9, 5, &[5, 9])]
    {
        let there = scene.witness(Habit::Right, log.head(seen));
        assert_eq!(scene.submit(&log, cosigned, &there), Ok(()), "{seen} {cosigned}");
        assert_eq!(*there.asked.lock().unwrap(), asked);
        assert_eq!(*there.seen.lock().unwrap(), log.head(9));
    }
    // What a daemon without a log shows at start.
    let there = scene.witness(Habit::Right, TreeHead::EMPTY);
    assert_eq!(scene.submit(&Log::of(0), 0, &there), Ok(()));
}

#[test]
fn a_log_that_was_set_back_or_forked_is_found_with_and_without_proof() {
    let scene = Scene::new();
    let truth = Log::of(12);
    // Leaves on our record, published, where it forks from the truth, what the witness has seen.
    let unpublished = Log { leaves: 12, published: 7, fork: u64::MAX };
    let forked_after = Log { leaves: 9, published: 7, fork: 8 };
    let grown_over = Log { leaves: 14, published: 14, fork: 8 };
    let same_size = Log { leaves: 12, published: 12, fork: 8 };
    let shown = |size| Shown::Signed { size };
    let rolled_back = |ours, shown| Unwitnessed::RolledBack { seen: 12, ours, shown };
    let forked = |shown| Unwitnessed::Forked { seen: 12, shown };
    for (name, ours, proven, unproven) in [
        ("restored", &Log::of(7), rolled_back(7, shown(12)), rolled_back(7, Shown::Nothing)),
        ("made anew", &Log::of(0), rolled_back(0, shown(12)), rolled_back(0, Shown::Nothing)),
        ("gone on", &forked_after, rolled_back(7, shown(12)), rolled_back(7, Shown::Nothing)),
        ("grown over", &grown_over, forked(shown(12)), forked(Shown::Nothing)),
        ("same size", &same_size, forked(shown(12)), forked(Shown::Nothing)),
    ] {
        for cosigned in [0, 7.min(ours.published)] {
            for (habit, expected) in [(Habit::Right, &proven), (Habit::Silent, &unproven)] {
                let there = scene.witness(habit, truth.head(12));
                let refused = scene.submit(ours, cosigned, &there).unwrap_err();
                assert_eq!(&refused, expected, "{name}");
                assert!(refused.contradicts());
                assert_eq!(*there.seen.lock().unwrap(), truth.head(12), "{name}");
            }
        }
    }
    // The leaves are all there: only our checkpoint is behind, or another client was faster.
    for habit in [Habit::Right, Habit::Silent] {
        let there = scene.witness(habit, truth.head(12));
        let refused = scene.submit(&unpublished, 7, &there).unwrap_err();
        let is_told = Unwitnessed::Behind { seen: 12 };
        let unproven = Unwitnessed::RolledBack { seen: 12, ours: 7, shown: Shown::Nothing };
        let expected = if habit == Habit::Right { is_told } else { unproven };
        assert_eq!(refused, expected);
    }
}

#[test]
fn a_witness_that_is_wrong_stops_nothing() {
    let scene = Scene::new();
    let log = Log::of(9);
    let answer = |error| Unwitnessed::Answer(error);
    let not_line = AnswerError::Line { number: 1, found: "\"<html>\"".to_owned() };
    let size = AnswerError::Size { found: "\"-1\\n\"".to_owned() };
    let refused = |status, detail: &str| Unwitnessed::Refused { status, detail: detail.to_owned() };
    for (habit, seen, cosigned, expected) in [
        (Habit::Gone, 5, 5, Unwitnessed::Unreachable("connection refused".to_owned())),
        (Habit::Says(200, "", "<html>"), 5, 5, answer(not_line)),
        (Habit::Says(409, SIZE_MEDIA_TYPE, "-1\n"), 5, 5, answer(size)),
        (Habit::Says(409, SIZE_MEDIA_TYPE, "5\n"), 5, 5, Unwitnessed::Restless { seen: 5 }),
        (Habit::Says(404, "", "who?"), 5, 5, refused(404, "who?")),
        (Habit::Says(403, "", ""), 5, 5, refused(403, "")),
        (Habit::Says(500, "", ""), 5, 5, refused(500, "")),
        (Habit::Says(301, "", ""), 5, 5, refused(301, "")),
        // It has seen our log and shows it: there is no fork, whatever it says.
        (Habit::Says(422, "", "no"), 5, 5, refused(422, "no")),
        // With nothing seen before there is nothing that it could contradict.
        (Habit::Says(422, "", "no"), 0, 0, refused(422, "no")),
        (Habit::Counts, 5, 5, Unwitnessed::Restless { seen: 8 }),
        (Habit::Right, 4, 5, Unwitnessed::Forgot { cosigned: 5, seen: 4 }),
        (Habit::Right, 0, 5, Unwitnessed::Forgot { cosigned: 5, seen: 0 }),
    ] {
        let there = scene.witness(habit, log.head(seen));
        let found = scene.submit(&log, cosigned, &there).unwrap_err();
        assert_eq!(found, expected);
        assert!(!found.contradicts());
    }
    // Another key than the one that is configured.
    let other = Scene { log: Arc::clone(&scene.log), ..Scene::new() };
    let there = other.witness(Habit::Right, TreeHead::EMPTY);
    let found = scene.submit(&log, 0, &there).unwrap_err();
    assert!(matches!(found, Unwitnessed::Answer(AnswerError::NotByKey { count: 1, .. })));
}

#[test]
fn what_was_cosigned_is_read_back_and_held_to_both_keys() {
    use crate::ledger::sqlite::StoredCheckpoint;
    let scene = crate::log::tests::scene::Scene::with_payments(1, 5);
    let (witness, other) = (LogKey::of_witness("a"), LogKey::of_witness("b"));
    let mut note = Note::parse(scene.checkpoint().as_bytes()).unwrap();
    let text = note.unverified_text().as_str().to_owned();
    let size = Checkpoint::parse(note.unverified_text().clone()).unwrap().head().size;
    let line = witness.signed(&text, Timestamp::from_unix_ms(9_000));
    note.add(line.unverified_signatures()[0].clone()).unwrap();
    let cosigned = StoredCheckpoint {
        size,
        made_at: Timestamp::from_unix_ms(0),
        note: note.to_string(),
        tiles: Vec::new(),
        cosigned_by: Some(witness.verifier.to_string()),
    };
    scene.within(async |ledger| ledger.keep(cosigned).await.unwrap());
    // The checkpoint has it too, and nothing else about it has changed.
    let stored = scene.reader().newest_checkpoint().unwrap().unwrap();
    assert_eq!((stored.size, stored.note), (size, note.to_string()));
    assert!(stored.made_at > Timestamp::from_unix_ms(0));

    let scripted = Scene::new();
    let load = |key: &LogKey| {
        let witness = Witness {
            name: "second".to_owned(),
            key: key.verifier.clone(),
            required_at_start: false,
            signing_waits: true,
            line: scripted.witness(Habit::Gone, TreeHead::EMPTY),
        };
        let key = crate::domain::key::KeyId::parse("key", "audit").unwrap();
        let audit = Audit { key, verifier: scene.audit.verifier.clone() };
        Witnesses::load(vec![witness], &scene.reader(), &audit)
    };
    let loaded = load(&witness).unwrap();
    assert_eq!((loaded.covered(), loaded.best.borrow().note.as_ref()), (size, &*note.to_string()));
    assert!(loaded.let_leave(size - 1) && !loaded.let_leave(size));
    // What another witness has cosigned says nothing about this one.
    let loaded = load(&other).unwrap();
    assert_eq!((loaded.covered(), loaded.let_leave(0)), (0, false));

    for (sql, expected) in [
        ("UPDATE cosigned SET size = size + 1", "it is of "),
        ("UPDATE cosigned SET note = replace(note, 'pay.', 'pax.')", "not signed by a known key"),
        ("UPDATE cosigned SET note = 'x'", "no signatures"),
    ] {
        crate::ledger::tests::tamper(&scene.ledger(), sql);
        let refused = load(&witness).map(drop).unwrap_err().to_string();
        assert!(refused.contains("restore the ledger from a backup"), "{sql}: {refused}");
        let is_told = refused.contains(expected) || refused.contains("does not verify");
        assert!(is_told, "{sql}: {refused}");
    }
}
