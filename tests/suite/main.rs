//! What countersign promises, seen from outside: real daemons on real SoftHSM tokens over real TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::type_complexity,
    reason = "a test ends where it finds something else than it expects, and prints its seed; the \
              rows of its tables hold functions"
)]

mod support;

mod anchors;
mod audit;
mod backups;
mod callers;
mod commands;
mod concurrency;
mod crashes;
mod disks;
mod events;
mod interface;
mod limits;
mod mails;
mod malformed;
mod payments;
mod record;
mod retention;
mod secrets;
mod setup;
mod start;
mod steps;
mod time;
mod tokens;
mod webauthn;
mod webhooks;
mod witnesses;
