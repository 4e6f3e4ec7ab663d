//! Which leaves are shown.

use std::collections::HashSet;

use clap::Args;

use crate::domain::leaf::Salt;
use crate::domain::payment::PaymentId;
use crate::domain::time::Timestamp;
use crate::log::entry::{Entry, Kind};

use super::super::output::Failure;
use super::source::{Source, instant};

/// Leaves must fit all that is given.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Not before this instant or day, UTC.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(super) since: Option<Timestamp>,
    /// Before this instant or day, UTC.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(super) until: Option<Timestamp>,
    /// Payments of this key.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// What concerns this caller.
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Payments in the name of this debtor: found by the salted digest in the leaf, as long as the
    /// ledger still has the salt.
    #[arg(long, value_name = "ID")]
    debtor: Option<String>,
    /// Leaves of this kind, such as denied; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    decision: Vec<Kind>,
    /// What was decided about this payment.
    #[arg(long, value_name = "ID", value_parser = payment)]
    payment: Option<PaymentId>,
}

/// A filter at work: it remembers whose payments it has seen.
pub(super) struct Sieve<'a> {
    filter: &'a Filter,
    source: &'a Source,
    /// Whether it starts with the first leaf of the log.
    from_start: bool,
    of_debtor: HashSet<PaymentId>,
}

impl<'a> Sieve<'a> {
    /// A filter for the leaves from a position on.
    pub(super) fn new(filter: &'a Filter, source: &'a Source, from: u64) -> Result<Self, Failure> {
        if filter.debtor.is_some() && source.reader().is_none() {
            return Err(Failure::refused(
                "found --debtor with an export, which holds digests of debtors and no salts; ask \
                 the ledger, or look for --payment",
            ));
        }
        Ok(Self { filter, source, from_start: from == 0, of_debtor: HashSet::new() })
    }

    /// Whether a leaf fits.
    pub(super) fn takes(&mut self, entry: &Entry<'_>) -> Result<bool, Failure> {
        let Filter { since, until, key, caller, debtor, decision, payment } = self.filter;
        let is = |wanted: &Option<String>, name| {
            wanted.as_deref().is_none_or(|wanted| entry.text(name) == Some(wanted))
        };
        let fits = since.is_none_or(|since| since <= entry.at())
            && until.is_none_or(|until| entry.at() < until)
            && is(key, "key")
            && is(caller, "caller")
            && payment.is_none_or(|id| entry.payment().is_some_and(|of| of.id == id));
        if !fits {
            return Ok(false);
        }
        // An outcome does not name the debtor: the decision before it does, whatever its kind.
        let of_debtor = match debtor {
            Some(debtor) => self.is_of_debtor(entry, debtor)?,
            None => true,
        };
        Ok(of_debtor && (decision.is_empty() || decision.contains(&entry.kind())))
    }

    fn is_of_debtor(&mut self, entry: &Entry<'_>, debtor: &str) -> Result<bool, Failure> {
        let Some(of) = entry.payment() else { return Ok(false) };
        if entry.kind().is_outcome() {
            // Only a decision before the first leaf that was looked at takes a look at its row.
            let is_known = self.of_debtor.remove(&of.id);
            return Ok(is_known || !self.from_start && self.row_names(of.id, debtor)?.is_some());
        }
        let Some(found) = entry.text("debtor") else { return Ok(false) };
        let Some(salt) = self.row_names(of.id, debtor)? else { return Ok(false) };
        let is_debtor = salt.digest("debtor", debtor.as_bytes()) == found;
        if is_debtor && entry.kind() == Kind::Accepted {
            self.of_debtor.insert(of.id);
        }
        Ok(is_debtor)
    }

    /// The salt of a payment, if its row names this debtor.
    fn row_names(&self, id: PaymentId, debtor: &str) -> Result<Option<Salt>, Failure> {
        let row = self.source.row(id)?;
        let row = row.filter(|row| row.payment.debtor().is_some_and(|id| id.as_str() == debtor));
        Ok(row.map(|row| row.salt))
    }
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::parse(name).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::name).join(", ");
        format!("found {name}; expected one of {known}")
    })
}

fn payment(text: &str) -> Result<PaymentId, String> {
    PaymentId::parse("payment", text).map_err(|refused| refused.detail)
}
