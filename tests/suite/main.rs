//! What countersign promises, seen from outside: real daemons on real SoftHSM tokens over real TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where it finds something else than it expects"
)]

mod support;

mod callers;
mod commands;
mod concurrency;
mod crashes;
mod interface;
mod malformed;
mod payments;
mod secrets;
mod setup;
mod start;
