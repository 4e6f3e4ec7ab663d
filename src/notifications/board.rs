//! How the routes stand, for figures, listings and whoever wants one to hurry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::notification::EventId;
use crate::domain::time::Timestamp;

/// All routes, by name.
#[derive(Default)]
pub struct Board(BTreeMap<String, Arc<Post>>);

/// How one route stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub route: String,
    /// `webhook` or `mail`.
    pub channel: &'static str,
    /// Events taken since start.
    pub delivered: u64,
    /// Attempts that failed since start.
    pub failed: u64,
    /// Dead letters.
    pub dead: u64,
    /// The event that the addressee does not take, if it does not.
    pub stuck: Option<Stuck>,
}

/// An event that was not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The event.
    pub event: EventId,
    /// When it happened.
    pub since: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// The next one, at the earliest.
    pub due_at: Timestamp,
    /// What the last one ended with.
    pub failure: String,
}

/// The place on the board that belongs to one route.
pub(super) struct Post {
    channel: &'static str,
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    stuck: Mutex<Option<Stuck>>,
    hurry: AtomicBool,
    nudge: Notify,
}

impl Board {
    pub(super) fn put_up(&mut self, route: &str, channel: &'static str) -> Arc<Post> {
        let post = Arc::new(Post {
            channel,
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            stuck: Mutex::new(None),
            hurry: AtomicBool::new(false),
            nudge: Notify::new(),
        });
        self.0.insert(route.to_owned(), Arc::clone(&post));
        post
    }

    /// How all routes stand, in the order of their names.
    pub fn standings(&self) -> Vec<Standing> {
        self.0.iter().map(|(route, post)| post.standing(route)).collect()
    }

    /// Has a route look at once, whatever it waits for. `false` if there is none of that name.
    pub fn hurry(&self, route: &str) -> bool {
        let post = self.0.get(route);
        if let Some(post) = post {
            post.hurry.store(true, Ordering::Release);
            post.nudge.notify_one();
        }
        post.is_some()
    }
}

impl Post {
    fn standing(&self, route: &str) -> Standing {
        Standing {
            route: route.to_owned(),
            channel: self.channel,
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dead: self.dead.load(Ordering::Relaxed),
            stuck: self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dead(&self, count: u64) {
        self.dead.store(count, Ordering::Relaxed);
    }

    pub(super) fn stuck(&self, stuck: Option<Stuck>) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = stuck;
    }

    /// Whether somebody wanted haste since this was last asked.
    pub(super) fn was_hurried(&self) -> bool {
        self.hurry.swap(false, Ordering::AcqRel)
    }

    /// Resolves when somebody wants haste.
    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }
}
