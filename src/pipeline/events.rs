//! What happened, read from the log: the leaves are the events, so that whoever is told misses
//! nothing and is told nothing that is not durable.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::caller::CallerId;
use crate::domain::notification::{Event, EventId, EventKind};
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::StoreError;
use crate::ledger::{DeadLetter, Progress};
use crate::log::entry::Entry;

use super::{Pipeline, Refusal};

/// Most leaves that are read at a time.
const LEAVES_MAX: u32 = 512;
/// Pause before a signature that may not leave yet is looked at again.
const RELEASE_PAUSE: Duration = Duration::from_millis(200);

/// Whose events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of one caller.
    Caller(CallerId),
    /// Everybody's, for auditors.
    Everybody,
}

/// Some events, in the order of the log.
#[derive(Debug, Default)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// Position of the first leaf that was not looked at.
    pub next: u64,
    /// Whether the leaf there is an event that nobody may be told of yet.
    pub held: bool,
}

impl Pipeline {
    /// Events from a position on: those of a bounded number of leaves, none if there are none.
    /// A signature that may not leave yet is an event that is still to come, and what comes after
    /// it waits.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn events(&self, whose: Whose, from: u64) -> Result<Events, Refusal> {
        if self.parts.ledger.log_size() <= from {
            return Ok(Events { next: from, ..Events::default() });
        }
        let mut found = self.read(move |parts| events(&parts.reader, &whose, from)).await?;
        let held = found.events.iter().position(|event| {
            event.kind() == EventKind::Signed && !self.is_released(event.payment())
        });
        if let Some(held) = held {
            found.next = found.events.get(held).map_or(from, |event| event.id().position);
            found.events.truncate(held);
            found.held = true;
        }
        Ok(found)
    }

    /// Resolves when [`Pipeline::events`] may find more than it did.
    pub async fn more_events(&self, found: &Events) {
        if found.held {
            return tokio::time::sleep(RELEASE_PAUSE).await;
        }
        let mut growth = self.parts.ledger.growth();
        // The writer outlives everybody who asks; if it is gone there is nothing to wait for.
        if growth.wait_for(|size| *size > found.next).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How far a route was told; `None` if it is new.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn told(&self, route: &str) -> Result<Option<Progress>, Refusal> {
        let all = self.read(|parts| parts.reader.progress()).await?;
        Ok(all.into_iter().find(|progress| progress.route == route))
    }

    /// How many dead letters a route has.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn count_dead(&self, route: &str) -> Result<u64, Refusal> {
        let route = route.to_owned();
        self.read(move |parts| parts.reader.count_dead(&route)).await
    }

    /// Dead letters of all routes, at most so many.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn dead_letters(&self, most: u32) -> Result<Vec<DeadLetter>, Refusal> {
        self.read(move |parts| parts.reader.dead_letters(most)).await
    }

    /// A dead letter of a route, by the position of its leaf.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn dead_letter(
        &self,
        route: &str,
        position: u64,
    ) -> Result<Option<DeadLetter>, Refusal> {
        let route = route.to_owned();
        self.read(move |parts| parts.reader.dead_letter(&route, position)).await
    }

    /// The oldest dead letter of a route that somebody wants tried once more.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn to_try_again(&self, route: &str) -> Result<Option<DeadLetter>, Refusal> {
        let route = route.to_owned();
        self.read(move |parts| parts.reader.to_try_again(&route)).await
    }

    /// The event of this name.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, Refusal> {
        let found = self.read(move |parts| {
            let leaves = parts.reader.leaves(id.position, 1)?;
            let leaf =
                leaves.first().map(|leaf| event_of(&parts.reader, id.position, leaf.as_str()));
            leaf.transpose().map(Option::flatten)
        });
        Ok(found.await?.filter(|event| event.id() == id))
    }
}

fn events(reader: &Reader, whose: &Whose, from: u64) -> Result<Events, StoreError> {
    let leaves = reader.leaves(from, LEAVES_MAX)?;
    let mut found = Events { next: from, ..Events::default() };
    // A name has no character that canonical JSON escapes, and within a text its quotes would be.
    let caller = match whose {
        Whose::Caller(caller) => format!("\"caller\":\"{caller}\""),
        Whose::Everybody => String::new(),
    };
    for leaf in leaves {
        let position = found.next;
        found.next = position.saturating_add(1);
        if leaf.as_str().contains(&caller) {
            let event = event_of(reader, position, leaf.as_str())?;
            let is_theirs = |event: &Event| match whose {
                Whose::Caller(caller) => event.payment().caller == *caller,
                Whose::Everybody => true,
            };
            found.events.extend(event.filter(is_theirs));
        }
    }
    Ok(found)
}

/// The event that a leaf tells, if it tells one. Payments that were erased have none any more.
fn event_of(reader: &Reader, position: u64, leaf: &str) -> Result<Option<Event>, StoreError> {
    let told = EventKind::ALL.map(|kind| format!("\"kind\":\"{}\"", kind.leaf()));
    if !told.iter().any(|kind| leaf.contains(kind)) {
        return Ok(None);
    }
    let entry = Entry::parse(leaf.as_bytes())
        .map_err(|refused| StoreError::Row(format!("leaf {position} of the log: {refused}")))?;
    let Some(id) = entry.payment().map(|payment| payment.id) else { return Ok(None) };
    let record = reader.payment(id)?.map(Arc::new);
    let event = |record| Event::of_leaf(position, entry.kind().name(), entry.at(), record);
    Ok(record.and_then(event))
}
