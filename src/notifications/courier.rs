//! One route at work: in the order of the log, one event at a time, each until it is taken or
//! given up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::deployment::notifications::Route;
use crate::domain::notification::Event;
use crate::domain::notification::backoff::{Next, after_failure};
use crate::domain::time::Timestamp;
use crate::ledger::{DeadLetter, Letters, Progress, Telling};
use crate::pipeline::events::{Events, Whose};
use crate::pipeline::{Pipeline, Refusal};

use super::board::{Board, Post, Stuck};
use super::{Channel, Missed};

/// Most dead letters of a route. When so many lie there nothing more is given up: the route stands
/// still, the log keeps what comes, and a person has to look.
const DEAD_MAX: u64 = 10_000;
/// Pause after something of ours failed: a token that is down, a ledger that takes no records.
const OWN_FAULT_PAUSE: Duration = Duration::from_secs(1);
/// Pause of a route whose dead letters are too many, in seconds.
const FULL_PAUSE_S: u32 = 60;
/// Leaves that are none of a route's business and are passed over before that is put on record.
const PASSED_OVER_MAX: u64 = 8_192;
/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 300;

/// A route, and how far it came.
pub struct Courier {
    route: Route,
    channel: Channel,
    pipeline: Pipeline,
    post: Arc<Post>,
    progress: Progress,
    /// What is on record of `progress.next`.
    kept: u64,
}

impl Courier {
    /// A courier for a route, with its place on the board. A route that is new starts with what
    /// happens from now on.
    ///
    /// # Errors
    /// [`Refusal`] if the ledger cannot be read.
    pub async fn new(
        route: Route,
        channel: Channel,
        pipeline: Pipeline,
        board: &mut Board,
    ) -> Result<Self, Refusal> {
        let post = board.put_up(&route.name, channel.name());
        let known = pipeline.told(&route.name).await?;
        let fresh = || Progress {
            route: route.name.clone(),
            next: pipeline.ledger().log_size(),
            attempts: 0,
            due_at: pipeline.now(),
            failure: None,
        };
        // Never on record: as far from it as can be, so that it is put there.
        let kept = known.as_ref().map_or(u64::MAX, |progress| progress.next);
        let progress = known.unwrap_or_else(fresh);
        post.dead(pipeline.count_dead(&route.name).await?);
        Ok(Self { route, channel, pipeline, post, progress, kept })
    }

    /// Works until `stopping` is true; an attempt in progress is ended first.
    pub async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            let found = match self.work(&stopping).await {
                Ok(found) => found,
                Err(failure) => {
                    tracing::warn!(route = self.route.name, %failure, "a route pauses");
                    None
                }
            };
            let pause = self.pause(found.is_some());
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return,
                () = self.post.nudged() => {}
                () = tokio::time::sleep(pause) => {}
                () = more(&self.pipeline, found.as_ref()) => {}
            }
        }
    }

    /// How long to wait if nothing happens; `idle` where everything is told.
    fn pause(&self, idle: bool) -> Duration {
        let ms = self.progress.due_at.unix_ms().saturating_sub(self.pipeline.now().unix_ms());
        match u64::try_from(ms) {
            Ok(ms) if ms > 0 => Duration::from_millis(ms),
            // Woken by the log, not by the time.
            _ if idle => Duration::from_secs(3_600),
            _ => OWN_FAULT_PAUSE,
        }
    }

    /// Tells what there is to tell. `None` if it has to wait for the time, else what was found
    /// last.
    async fn work(&mut self, stopping: &watch::Receiver<bool>) -> Result<Option<Events>, Refusal> {
        if self.kept == u64::MAX {
            self.keep().await?;
        }
        let hurried = self.post.was_hurried();
        if hurried {
            self.try_dead_letters(stopping).await?;
        }
        if !hurried && self.pipeline.now() < self.progress.due_at {
            return Ok(None);
        }
        loop {
            let whose = Whose::Caller(self.route.caller.clone());
            let found = self.pipeline.events(whose, self.progress.next).await?;
            for event in &found.events {
                if *stopping.borrow() || !self.bring(event).await? {
                    return Ok(None);
                }
            }
            self.progress.next = found.next;
            if found.next.abs_diff(self.kept) > PASSED_OVER_MAX {
                self.keep().await?;
            }
            if found.held || found.next >= self.pipeline.ledger().log_size() {
                return Ok(Some(found));
            }
        }
    }

    /// Tells one event. `false` if the route has to wait with it.
    async fn bring(&mut self, event: &Event) -> Result<bool, Refusal> {
        let after = event.id().position.saturating_add(1);
        if !self.route.events.contains(&event.kind()) {
            return Ok(true);
        }
        let missed = match self.channel.tell(event, self.pipeline.now()).await {
            Ok(()) => {
                self.post.delivered();
                self.post.stuck(None);
                self.come_to(after).await?;
                return Ok(true);
            }
            Err(missed) => missed,
        };
        self.post.failed();
        let reason = shortened(&missed);
        let (given_up, retry_after_s) = match missed {
            Missed::NotSent(why) => {
                tracing::warn!(
                    route = self.route.name,
                    why,
                    "an event waits for something of ours"
                );
                return Ok(false);
            }
            Missed::Refused(_) => (true, None),
            Missed::Failed { retry_after_s, .. } => (false, retry_after_s),
        };
        self.progress.attempts = self.progress.attempts.saturating_add(1);
        match self.next(event, given_up, retry_after_s).await? {
            Next::GivenUp => {
                self.give_up(event, reason).await?;
                Ok(true)
            }
            Next::Again(due_at) => {
                self.wait(event, reason, due_at).await?;
                Ok(false)
            }
        }
    }

    /// What follows a failure.
    async fn next(
        &self,
        event: &Event,
        given_up: bool,
        retry_after_s: Option<u32>,
    ) -> Result<Next, Refusal> {
        let (now, attempts) = (self.pipeline.now(), self.progress.attempts);
        let mut random = [0_u8; 4];
        // Without randomness the pauses are regular, which harms nobody.
        let _drawn = getrandom::fill(&mut random);
        let random = u32::from_ne_bytes(random);
        let age = self.route.give_up_after;
        let next = match given_up {
            true => Next::GivenUp,
            false => after_failure(now, event.at(), attempts, age, retry_after_s, random),
        };
        if next == Next::GivenUp && self.pipeline.count_dead(&self.route.name).await? >= DEAD_MAX {
            tracing::error!(route = self.route.name, "too many dead letters; nothing is given up");
            return Ok(after_failure(now, now, 1, age, Some(FULL_PAUSE_S), random));
        }
        Ok(next)
    }

    async fn wait(
        &mut self,
        event: &Event,
        reason: String,
        due_at: Timestamp,
    ) -> Result<(), Refusal> {
        let attempts = self.progress.attempts;
        let (route, id) = (&self.route.name, event.id());
        tracing::warn!(route, event = %id, attempts, reason, "an event was not taken");
        self.post.stuck(Some(Stuck {
            event: id,
            since: event.at(),
            attempts,
            due_at,
            failure: reason.clone(),
        }));
        self.progress.next = id.position;
        self.progress.due_at = due_at;
        self.progress.failure = Some(reason);
        self.keep().await
    }

    async fn give_up(&mut self, event: &Event, reason: String) -> Result<(), Refusal> {
        let (attempts, id) = (self.progress.attempts, event.id());
        let route = self.route.name.clone();
        tracing::error!(route, event = %id, attempts, reason, "an event is a dead letter now");
        let letter = DeadLetter {
            route,
            event: id,
            kind: event.kind(),
            died_at: self.pipeline.now(),
            attempts,
            reason,
            again: false,
        };
        // On record before it is passed over: one that cannot be recorded is tried again.
        let progress = self.come(id.position.saturating_add(1));
        self.pipeline.ledger().tell(Telling::Died(letter, progress.clone())).await?;
        self.kept = progress.next;
        self.progress = progress;
        self.post.stuck(None);
        self.post.dead(self.pipeline.count_dead(&self.route.name).await?);
        Ok(())
    }

    /// Tells the dead letters that somebody wants tried once more, the oldest first.
    async fn try_dead_letters(&mut self, stopping: &watch::Receiver<bool>) -> Result<(), Refusal> {
        while let Some(letter) = self.pipeline.to_try_again(&self.route.name).await? {
            if *stopping.borrow() {
                break;
            }
            let told = match self.pipeline.event(letter.event).await? {
                Some(event) => self.channel.tell(&event, self.pipeline.now()).await,
                None => Err(Missed::Refused("the payment is on record no more".to_owned())),
            };
            let telling = match told {
                Ok(()) => {
                    self.post.delivered();
                    let position = Some(letter.event.position);
                    Telling::Drop(Letters { route: letter.route, position })
                }
                Err(missed) => {
                    self.post.failed();
                    let attempts = letter.attempts.saturating_add(1);
                    let (died_at, reason) = (self.pipeline.now(), shortened(&missed));
                    let dead = DeadLetter { died_at, attempts, reason, again: false, ..letter };
                    Telling::Died(dead, self.progress.clone())
                }
            };
            self.pipeline.ledger().tell(telling).await?;
        }
        self.post.dead(self.pipeline.count_dead(&self.route.name).await?);
        Ok(())
    }

    /// Puts on record that everything before `next` is told.
    async fn come_to(&mut self, next: u64) -> Result<(), Refusal> {
        self.progress = self.come(next);
        self.keep().await
    }

    /// How the route stands once everything before `next` is told.
    fn come(&self, next: u64) -> Progress {
        let (route, due_at) = (self.route.name.clone(), self.pipeline.now());
        Progress { route, next, attempts: 0, due_at, failure: None }
    }

    async fn keep(&mut self) -> Result<(), Refusal> {
        self.pipeline.ledger().tell(Telling::Came(self.progress.clone())).await?;
        self.kept = self.progress.next;
        Ok(())
    }
}

/// Resolves when there may be more to tell than was found; never if the time decides.
async fn more(pipeline: &Pipeline, found: Option<&Events>) {
    match found {
        Some(found) => pipeline.more_events(found).await,
        None => std::future::pending().await,
    }
}

fn shortened(reason: &impl ToString) -> String {
    reason.to_string().chars().take(REASON_CHARS_MAX).collect()
}
