//! The four things that can be wrong between what was executed and what was signed.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::domain::money::Currency;
use crate::domain::payment::PaymentId;
use crate::log::entry::{Entry, Kind, OfPayment};

use super::super::output::{Exit, Failure};
use super::executed::Executed;

/// The newest leaf on a payment that was executed.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) position: u64,
    pub(super) kind: Kind,
    pub(super) currency: Currency,
    pub(super) minor_units: u64,
}

impl Standing {
    pub(super) fn new(position: u64, entry: &Entry<'_>, of: &OfPayment<'_>) -> Self {
        let (currency, minor_units) = (of.currency, of.amount.minor_units());
        Self { position, kind: entry.kind(), currency, minor_units }
    }
}

/// A payment that was signed and is not in the file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Signed {
    pub(super) payment: String,
    leaf: String,
    pub(super) signed_at: String,
    pub(super) key: String,
    pub(super) amount: String,
    pub(super) currency: String,
}

impl Signed {
    pub(super) fn new(position: u64, entry: &Entry<'_>, of: &OfPayment<'_>) -> Self {
        Self {
            payment: of.id.to_string(),
            leaf: position.to_string(),
            signed_at: entry.at().to_string(),
            key: of.key.to_owned(),
            amount: of.currency.decimal(of.amount.minor_units()),
            currency: of.currency.code().to_owned(),
        }
    }
}

/// A payment that was executed although it was not signed here.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Unsigned {
    pub(super) payment: String,
    pub(super) line: u64,
    pub(super) why: String,
}

/// A payment that was executed more than once.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Repeated {
    pub(super) payment: String,
    pub(super) lines: Vec<u64>,
}

/// What the ledger has of a payment that was signed.
pub(super) enum Recorded {
    /// Its JWS.
    Jws(String),
    /// Its row was erased or archived, and its signature went with it.
    Closed,
    /// No row of a signed payment, although the log says that it is one.
    Nothing,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) never_signed: Vec<Unsigned>,
    pub(super) repeated: Vec<Repeated>,
    pub(super) never_executed: Vec<Signed>,
    /// Payments that were signed and executed, each counted once, by currency.
    pub(super) matched: BTreeMap<&'static str, (u64, u128)>,
    /// Whether signatures in the file were compared with those on the record.
    pub(super) signatures_compared: bool,
    /// Signatures in the file that could not be compared, since those payments gave up their rows.
    pub(super) closed: u64,
}

impl Comparison {
    /// Compares; `recorded` tells what is on the record of a payment.
    pub(super) fn new(
        executed: &Executed,
        standing: &HashMap<PaymentId, Standing>,
        never_executed: Vec<Signed>,
        signatures_compared: bool,
        recorded: impl Fn(PaymentId) -> Result<Recorded, Failure>,
    ) -> Result<Self, Failure> {
        let mut found = Self { never_executed, signatures_compared, ..Self::default() };
        for (id, lines) in executed.payments() {
            if lines.len() > 1 {
                let lines = lines.iter().map(|line| line.number).collect();
                found.repeated.push(Repeated { payment: id.to_string(), lines });
            }
            let known = standing.get(&id);
            let sound = known.filter(|known| known.kind == Kind::Signed);
            for line in lines {
                let other = match &line.jws {
                    Some(jws) if sound.is_some() && signatures_compared => match recorded(id)? {
                        Recorded::Jws(recorded) => recorded != *jws,
                        Recorded::Nothing => true,
                        Recorded::Closed => {
                            found.closed += 1;
                            false
                        }
                    },
                    _ => false,
                };
                if sound.is_none() || other {
                    let (payment, why) = (id.to_string(), why(known));
                    found.never_signed.push(Unsigned { payment, line: line.number, why });
                }
            }
            if let Some(Standing { currency, minor_units, .. }) = sound {
                let (count, sum) = found.matched.entry(currency.code()).or_default();
                *count += 1;
                *sum += u128::from(*minor_units);
            }
        }
        found.never_signed.sort_by_key(|unsigned| unsigned.line);
        found.repeated.sort_by(|a, b| a.lines.cmp(&b.lines));
        Ok(found)
    }

    /// The worst of what was found.
    pub(super) fn exit(&self) -> Exit {
        match (
            self.never_signed.is_empty(),
            self.repeated.is_empty() && self.never_executed.is_empty(),
        ) {
            (false, _) => Exit::Alarm,
            (true, false) => Exit::Differs,
            (true, true) => Exit::Done,
        }
    }
}

fn why(known: Option<&Standing>) -> String {
    let Some(Standing { position, kind, .. }) = known else {
        return "the log knows no such payment".to_owned();
    };
    match kind {
        Kind::Denied => format!("it was denied, says leaf {position}"),
        Kind::Voided => format!("it was given up unsigned, says leaf {position}"),
        Kind::Signed => {
            format!("with another signature than the one on the record, leaf {position}")
        }
        _ => format!("it was accepted and not signed so far, says leaf {position}"),
    }
}
