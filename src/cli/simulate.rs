//! `countersign policy compare` and `simulate`: what another policy changes, in words and in what
//! it would have said about the past.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::deployment::Deployment;
use crate::config::policy as file;
use crate::domain::ledger::{PaymentRecord, Replay, State};
use crate::domain::tightening::{Effect, changes, only_tightens};
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::Store;

use super::Deployed;
use super::output::{Exit, Failure, Output};

/// Payments that are read at a time.
const CHUNK: usize = 10_000;
/// Denials that are told one by one.
const EXAMPLES_MAX: usize = 10;

/// Tells every change between two policy files and whether it tightens or loosens.
pub(super) fn compare(old: &Path, new: &Path, output: &Output) -> Result<Exit, Failure> {
    let (old, new) = (file::load(old), file::load(new));
    let found = changes(&old.map_err(Failure::broken)?, &new.map_err(Failure::broken)?);
    let tightens = |effect| effect == Effect::Tightens;
    let told = serde_json::json!({
        "only_tightens": only_tightens(&found),
        "changes": found.iter().map(|change| serde_json::json!({
            "tightens": tightens(change.effect), "what": change.what,
        })).collect::<Vec<_>>(),
    });
    output.show(&told, |_| {
        let lines = found.iter().map(|change| match change.effect {
            Effect::Tightens => format!("{}  {}", output.good("tightens"), change.what),
            Effect::Loosens => format!("{}  {}", output.warning("loosens "), change.what),
        });
        let verdict = match (found.is_empty(), only_tightens(&found)) {
            (true, _) => "they say the same".to_owned(),
            (false, true) => output.good("it only tightens"),
            (false, false) => output.warning("it loosens"),
        };
        lines.chain([verdict]).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
}

/// What a simulation counts.
#[derive(Default)]
struct Tally {
    signed: u64,
    denied: u64,
    newly_denied: BTreeMap<String, u64>,
    newly_signed: u64,
    examples: Vec<String>,
}

impl Tally {
    fn count(&mut self, replay: &mut Replay<'_>, record: &PaymentRecord) -> Result<(), Failure> {
        let said = replay
            .next(record.accepted_at, &record.caller, &record.payment)
            .map_err(Failure::broken)?;
        match (&record.state, said) {
            (State::Denied(_), Err(_)) => self.denied += 1,
            (State::Denied(_), Ok(_)) => {
                self.denied += 1;
                self.newly_signed += 1;
            }
            (_, Ok(_)) => self.signed += 1,
            (_, Err(denial)) => {
                self.signed += 1;
                let why = match &denial {
                    crate::domain::denial::Denial::LimitExceeded(breach) => {
                        format!("limit \"{}\"", breach.limit)
                    }
                    other => other.rule().to_owned(),
                };
                if self.examples.len() < EXAMPLES_MAX {
                    let payment = &record.payment;
                    let amount = payment.currency().decimal(payment.amount().minor_units());
                    self.examples.push(format!(
                        "{} of {}: {amount} {} with {} by {}: {why}",
                        record.id,
                        record.accepted_at,
                        payment.currency(),
                        payment.key(),
                        record.caller,
                    ));
                }
                *self.newly_denied.entry(why).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Replays the payments on record against another policy.
pub(super) fn run(policy: &Path, deployed: &Deployed, output: &Output) -> Result<Exit, Failure> {
    let deployment = Deployment::load(&deployed.config).map_err(Failure::broken)?;
    let policy = file::load(policy).map_err(Failure::broken)?;
    let ledger = deployment.ledger();
    Store::examine(&ledger, &deployment.issuer).map_err(Failure::broken)?;
    let reader = Reader::open(&ledger).map_err(Failure::broken)?;
    let (mut replay, mut tally, mut after) = (Replay::new(&policy), Tally::default(), 0);
    loop {
        let chunk = reader.history(after, CHUNK).map_err(Failure::broken)?;
        let Some((last, _)) = chunk.last() else { break };
        after = *last;
        for (_, record) in &chunk {
            tally.count(&mut replay, record)?;
        }
        output.progress(&format!("{} payments replayed", tally.signed + tally.denied));
    }
    let newly_denied: u64 = tally.newly_denied.values().sum();
    let told = serde_json::json!({
        "payments": tally.signed + tally.denied,
        "signed": tally.signed,
        "would_have_been_denied": newly_denied,
        "by": tally.newly_denied,
        "denied": tally.denied,
        "would_have_been_signed": tally.newly_signed,
        "examples": tally.examples,
    });
    output.show(&told, |_| text(&tally, newly_denied, output))?;
    Ok(Exit::Done)
}

fn text(tally: &Tally, newly_denied: u64, output: &Output) -> String {
    let mut lines = vec![
        format!("{} payments on record, {} signed", tally.signed + tally.denied, tally.signed),
        match newly_denied {
            0 => output.good("none of those signed would have been denied"),
            n => output.warning(&format!("{n} of those signed would have been denied:")),
        },
    ];
    lines.extend(tally.newly_denied.iter().map(|(why, count)| format!("  {count:>8}  by {why}")));
    lines.extend(tally.examples.iter().map(|example| output.faint(&format!("  {example}"))));
    lines.push(format!(
        "{} of the {} denied would have been signed",
        tally.newly_signed, tally.denied
    ));
    lines.join("\n")
}
