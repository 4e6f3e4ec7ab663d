//! countersign signs *typed payments* with keys that never leave an HSM, within limits that hold.
//!
//! The rooms, in the order in which a payment meets them:
//!
//! - [`http`]: listeners, client certificates, wire types, problem documents. Parses a request
//!   into a [`domain::payment::Payment`] that cannot be wrong afterwards.
//! - [`pipeline`]: the trust story in one function: reserve, authorise, sign, post.
//! - [`domain`]: every decision, pure: money, parties, policy, limits, the ledger's rules.
//! - [`ledger`]: the single writer that makes decisions durable, in batches.
//! - [`hsm`]: threads that own token sessions; the only place that asks for a signature.
//! - [`approvals`]: evidence of people in, verified approvals out: WebAuthn.
//! - [`log`]: the verifiable record: Merkle tree, proofs, checkpoints, tiles.
//! - [`notifications`]: events of the log on their way to gateways and people.
//! - [`witness`]: the other side of the record: cosigns the heads of logs that only grow.
//! - [`config`]: files in, checked types out.
//! - [`cli`]: one file per subcommand.
//! - [`clock`], [`telemetry`]: the only sources of time and of log lines.
//!
//! A room to come has its place: `console` (the web pages).
//!
//! Dependencies point inward: `http, cli -> notifications -> pipeline -> {ledger, hsm, approvals,
//! log} -> domain`.
//! `tests/architecture.rs` enforces it.

pub mod approvals;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod hsm;
pub mod http;
pub mod ledger;
pub mod log;
pub mod notifications;
pub mod pipeline;
pub mod telemetry;
pub mod witness;
