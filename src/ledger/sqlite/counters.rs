//! Rows of counters: running sums and the slots that they add up.
//!
//! A running sum changes only by an update that is conditional on what memory believes and on the
//! cap in force, and whose row count is checked in the same commit. Neither a fault in memory nor a
//! second writer can overspend.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::counter::{Counter, CounterId, RunningSum, Span, Spend};
use crate::domain::limits::{Measure, Window};
use crate::domain::policy::Policy;
use crate::domain::time::{Slot, SlotWidth, Timestamp};

use super::StoreError;

/// What the rows of one counter say.
#[derive(Default, Clone)]
pub(super) struct Stored {
    row: Option<i64>,
    pending: Spend,
    sums: BTreeMap<Span, RunningSum>,
}

/// Loads a counter with the spans that the policy asks for; one that has no rows is empty.
pub(super) fn load(
    connection: &Connection,
    now: Timestamp,
    id: &CounterId,
    spans: &[Span],
) -> Result<(Counter, Stored), StoreError> {
    let select = "SELECT id FROM counter WHERE scope = ?1 AND axis = ?2 AND subject = ?3";
    let row: Option<i64> = connection
        .prepare_cached(select)?
        .query_row(params![id.scope.to_string(), id.axis.name(), id.subject], |row| row.get(0))
        .optional()?;
    let Some(row) = row else {
        return Ok((Counter::empty(spans.iter().copied(), now), Stored::default()));
    };
    let stored = load_sums(connection, row)?;
    let kept: BTreeMap<Span, RunningSum> = stored
        .sums
        .iter()
        .filter(|(span, _)| **span == Span::Lifetime || spans.contains(span))
        .map(|(span, sum)| (*span, *sum))
        .collect();
    let slots = load_slots(connection, row, oldest_needed(&kept, spans, now))?;
    let mut counter = Counter::from_rows(stored.pending, kept, slots);
    counter.keep_spans(spans, now).map_err(|e| StoreError::Row(e.to_string()))?;
    Ok((counter, stored))
}

fn load_sums(connection: &Connection, row: i64) -> Result<Stored, StoreError> {
    let select = "SELECT span, from_slot, posted_amount, posted_count, pending_amount, \
                  pending_count FROM running_sum WHERE counter = ?1";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([row])?;
    let mut stored = Stored { row: Some(row), ..Stored::default() };
    let mut pending = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let span = Span::from_name(&name)
            .ok_or_else(|| StoreError::Row(format!("unknown span {name}")))?;
        let posted = spend(row.get(2)?, row.get(3)?)?;
        pending.push(spend(row.get(4)?, row.get(5)?)?);
        let from = Slot::from_start_s(row.get(1)?);
        stored.sums.insert(span, RunningSum { from, posted });
    }
    stored.pending = pending.first().copied().unwrap_or_default();
    if pending.iter().any(|other| *other != stored.pending) {
        return Err(StoreError::Disagreement("what is held on a counter".to_owned()));
    }
    Ok(stored)
}

/// The oldest slot that any sum counts or will count: older ones stay in the file.
fn oldest_needed(kept: &BTreeMap<Span, RunningSum>, spans: &[Span], now: Timestamp) -> Slot {
    let counted = kept.iter().filter(|(span, _)| **span != Span::Lifetime);
    let counted = counted.map(|(_, sum)| sum.from);
    let to_come = spans.iter().filter_map(|span| span.oldest_quarter(now));
    counted.chain(to_come).min().unwrap_or(SlotWidth::Quarter.slot_at(now))
}

fn load_slots(
    connection: &Connection,
    row: i64,
    oldest: Slot,
) -> Result<BTreeMap<(SlotWidth, Slot), Spend>, StoreError> {
    let select = "SELECT width, slot, amount, count FROM spend WHERE counter = ?1 AND slot >= ?2";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([row, oldest.start_s()])?;
    let mut slots = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let seconds: i64 = row.get(0)?;
        let width = [SlotWidth::Second, SlotWidth::Minute, SlotWidth::Quarter]
            .into_iter()
            .find(|width| width.seconds() == seconds)
            .ok_or_else(|| StoreError::Row(format!("unknown slot width {seconds}")))?;
        slots.insert((width, Slot::from_start_s(row.get(1)?)), spend(row.get(2)?, row.get(3)?)?);
    }
    Ok(slots)
}

/// Writes what changed on a counter; `stored` then says what the rows say.
pub(super) fn store(
    connection: &Connection,
    policy: &Policy,
    id: &CounterId,
    counter: &mut Counter,
    stored: &mut Stored,
) -> Result<(), StoreError> {
    let fresh = counter.take_fresh();
    let unchanged = counter.pending() == stored.pending && *counter.sums() == stored.sums;
    let never_used = stored.row.is_none() && counter.is_untouched();
    if fresh.is_empty() && (unchanged || never_used) {
        return Ok(());
    }
    let row = match stored.row {
        Some(row) => row,
        None => insert_counter(connection, id)?,
    };
    let more = grew(counter, stored)?;
    for (span, sum) in counter.sums() {
        match stored.sums.get(span) {
            None => {
                let cap = |measure| {
                    if more { smallest_cap(policy, id, *span, measure) } else { Ok(None) }
                };
                let caps = (cap(Measure::Amount)?, cap(Measure::Count)?);
                insert_sum(connection, row, *span, sum, counter.pending(), caps)?;
            }
            Some(before) => {
                let held = (stored.pending, counter.pending());
                let change = Change { before, after: sum, held, more };
                update_sum(connection, policy, id, row, *span, &change)?;
            }
        }
    }
    for span in stored.sums.keys().filter(|span| !counter.sums().contains_key(span)) {
        let delete = "DELETE FROM running_sum WHERE counter = ?1 AND span = ?2";
        connection.prepare_cached(delete)?.execute(params![row, span.name()])?;
    }
    for ((width, slot), spend) in fresh {
        add_to_slot(connection, row, width, slot, spend)?;
    }
    forget_narrow_slots(connection, row, counter)?;
    *stored = Stored { row: Some(row), pending: counter.pending(), sums: counter.sums().clone() };
    Ok(())
}

/// Adds spending that was on record before its axis was counted: to the lifetime's sum and to the
/// quarter hours, from which every other sum is made when it is asked for.
pub(super) fn add(
    connection: &Connection,
    id: &CounterId,
    pending: Spend,
    posted: Spend,
    slots: impl IntoIterator<Item = (Slot, Spend)>,
) -> Result<(), StoreError> {
    let select = "SELECT id FROM counter WHERE scope = ?1 AND axis = ?2 AND subject = ?3";
    let known: Option<i64> = connection
        .prepare_cached(select)?
        .query_row(params![id.scope.to_string(), id.axis.name(), id.subject], |row| row.get(0))
        .optional()?;
    let row = known.map_or_else(|| insert_counter(connection, id), Ok)?;
    let upsert = "INSERT INTO running_sum (counter, span, from_slot, posted_amount, posted_count, \
                  pending_amount, pending_count) VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6) \
                  ON CONFLICT DO UPDATE SET \
                  posted_amount = posted_amount + excluded.posted_amount, \
                  posted_count = posted_count + excluded.posted_count, \
                  pending_amount = pending_amount + excluded.pending_amount, \
                  pending_count = pending_count + excluded.pending_count";
    connection.prepare_cached(upsert)?.execute(params![
        row,
        Span::Lifetime.name(),
        signed(posted.amount)?,
        signed(posted.count)?,
        signed(pending.amount)?,
        signed(pending.count)?,
    ])?;
    slots
        .into_iter()
        .try_for_each(|(slot, spend)| add_to_slot(connection, row, SlotWidth::Quarter, slot, spend))
}

fn insert_counter(connection: &Connection, id: &CounterId) -> Result<i64, StoreError> {
    let insert = "INSERT INTO counter (scope, axis, subject) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(insert)?.execute(params![
        id.scope.to_string(),
        id.axis.name(),
        id.subject
    ])?;
    Ok(connection.last_insert_rowid())
}

fn insert_sum(
    connection: &Connection,
    row: i64,
    span: Span,
    sum: &RunningSum,
    pending: Spend,
    caps: (Option<i64>, Option<i64>),
) -> Result<(), StoreError> {
    let insert = "INSERT INTO running_sum (counter, span, from_slot, posted_amount, posted_count, \
                  pending_amount, pending_count) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
                  WHERE (?8 IS NULL OR ?4 + ?6 <= ?8) AND (?9 IS NULL OR ?5 + ?7 <= ?9)";
    let inserted = connection.prepare_cached(insert)?.execute(params![
        row,
        span.name(),
        sum.from.start_s(),
        signed(sum.posted.amount)?,
        signed(sum.posted.count)?,
        signed(pending.amount)?,
        signed(pending.count)?,
        caps.0,
        caps.1,
    ])?;
    match inserted {
        1 => Ok(()),
        _ => Err(StoreError::Disagreement(format!("the first {} sum of a counter", span.name()))),
    }
}

struct Change<'a> {
    before: &'a RunningSum,
    after: &'a RunningSum,
    held: (Spend, Spend),
    more: bool,
}

/// Whether a batch admitted more than it gave back. Then the caps in force must hold after it; a
/// batch that only posts may stand above a cap that was lowered meanwhile.
fn grew(counter: &Counter, stored: &Stored) -> Result<bool, StoreError> {
    let miscount = |_| StoreError::Row("sums exceed 64 bits".to_owned());
    let ever = |sums: &BTreeMap<Span, RunningSum>| {
        sums.get(&Span::Lifetime).map(|sum| sum.posted).unwrap_or_default()
    };
    let before = ever(&stored.sums).plus(stored.pending).map_err(miscount)?;
    let after = ever(counter.sums()).plus(counter.pending()).map_err(miscount)?;
    Ok(after.count > before.count || after.amount > before.amount)
}

fn update_sum(
    connection: &Connection,
    policy: &Policy,
    id: &CounterId,
    row: i64,
    span: Span,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let Change { before, after, held: (held_before, held_after), more } = change;
    if before == after && held_before == held_after {
        return Ok(());
    }
    let cap = |measure| if *more { smallest_cap(policy, id, span, measure) } else { Ok(None) };
    let update = "UPDATE running_sum SET from_slot = ?3, \
                  posted_amount = ?4, posted_count = ?5, pending_amount = ?6, pending_count = ?7 \
                  WHERE counter = ?1 AND span = ?2 AND from_slot = ?8 \
                  AND posted_amount = ?9 AND posted_count = ?10 \
                  AND pending_amount = ?11 AND pending_count = ?12 \
                  AND (?13 IS NULL OR ?4 + ?6 <= ?13) AND (?14 IS NULL OR ?5 + ?7 <= ?14)";
    let updated = connection.prepare_cached(update)?.execute(params![
        row,
        span.name(),
        after.from.start_s(),
        signed(after.posted.amount)?,
        signed(after.posted.count)?,
        signed(held_after.amount)?,
        signed(held_after.count)?,
        before.from.start_s(),
        signed(before.posted.amount)?,
        signed(before.posted.count)?,
        signed(held_before.amount)?,
        signed(held_before.count)?,
        cap(Measure::Amount)?,
        cap(Measure::Count)?,
    ])?;
    match updated {
        1 => Ok(()),
        _ => {
            let what = format!("the {} sum of {} over {}", span.name(), id.scope, id.axis.name());
            Err(StoreError::Disagreement(what))
        }
    }
}

/// The smallest cap in force on a running sum.
fn smallest_cap(
    policy: &Policy,
    id: &CounterId,
    span: Span,
    measure: Measure,
) -> Result<Option<i64>, StoreError> {
    policy
        .limits_on(id)
        .filter(|limit| limit.window == Window::Sum(span) && limit.measure == measure)
        .map(|limit| limit.cap)
        .min()
        .map(signed)
        .transpose()
}

fn add_to_slot(
    connection: &Connection,
    row: i64,
    width: SlotWidth,
    slot: Slot,
    spend: Spend,
) -> Result<(), StoreError> {
    let upsert = "INSERT INTO spend (counter, width, slot, amount, count) \
                  VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE \
                  SET amount = amount + excluded.amount, count = count + excluded.count";
    connection.prepare_cached(upsert)?.execute(params![
        row,
        width.seconds(),
        slot.start_s(),
        signed(spend.amount)?,
        signed(spend.count)?
    ])?;
    Ok(())
}

/// Narrow slots that no running sum counts any more have done their work.
fn forget_narrow_slots(
    connection: &Connection,
    row: i64,
    counter: &Counter,
) -> Result<(), StoreError> {
    for width in [SlotWidth::Second, SlotWidth::Minute] {
        // Where no sum counts them any more all go: with a gap in them they would say too little.
        let oldest = counter.oldest_counted(width).map_or(i64::MAX, Slot::start_s);
        let delete = "DELETE FROM spend WHERE counter = ?1 AND width = ?2 AND slot < ?3";
        connection.prepare_cached(delete)?.execute(params![row, width.seconds(), oldest])?;
    }
    Ok(())
}

fn spend(amount: i64, count: i64) -> Result<Spend, StoreError> {
    let number = |found: i64| {
        u64::try_from(found).map_err(|_| StoreError::Row(format!("found the sum {found}")))
    };
    Ok(Spend { amount: number(amount)?, count: number(count)? })
}

fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Row(format!("{number} exceeds 63 bits")))
}
