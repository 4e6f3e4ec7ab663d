//! Every decision about money, as pure functions of their arguments.
//!
//! Nothing in here performs I/O, reads a clock, draws randomness, logs or awaits: time,
//! identifiers and rows are passed in, decisions come out. That is what lets a million random
//! histories be checked in seconds, and a reader check the rules without the machinery.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod canonical;
pub mod text;

pub mod money;
pub mod party;
pub mod payment;

pub mod caller;
pub mod credit;
pub mod key;
pub mod order;
pub mod time;

pub mod counted;
pub mod counter;
pub mod limits;
pub mod policy;
pub mod tier;
pub mod tightening;

pub mod code;
pub mod credential;
pub mod people;
pub mod person;
pub mod quorum;
pub mod statement;
pub mod subject;

pub mod authorization;
pub mod denial;
pub mod leaf;
pub mod ledger;
pub mod notification;
