//! What countersign promises, seen from outside: real daemons on real SoftHSM tokens over real TLS.

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
