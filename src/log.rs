//! The verifiable record: what an outsider needs to check the log, and nothing else.
//!
//! An RFC 6962 Merkle tree whose heads are C2SP checkpoints, shown as C2SP tiles. Everything in
//! here is a pure function of its arguments: no file, no clock, no key. Hashes of a tree come from
//! a closure, so that rows of a database and a vector serve alike; signatures are made elsewhere,
//! by an HSM, and only put into their place here.
//!
//! This module is *not* a log server and not the sequencer: it stores no leaf and assigns no index.
//!
//! - [`tree`]: RFC 6962 hashing, names of subtrees, and the right edge of a growing tree.
//! - [`growth`]: the right edge with the tiles that become complete.
//! - [`proof`]: inclusion and consistency proofs, built and verified (RFC 9162 section 2.1).
//! - [`note`]: signed notes and the keys that verify them (`c2sp.org/signed-note`).
//! - [`checkpoint`]: the head of a log as the text of a note (`c2sp.org/tlog-checkpoint`).
//! - [`entry`]: what a leaf says, read back and held to its schema.
//! - [`receipt`]: one payment that anybody can check offline.
//! - [`anchor`]: what a token remembers of the log.
//! - [`message`]: what an audit key may be asked to sign: a checkpoint or a cosignature of one.
//! - [`tile`]: paths and bytes of tiles and entry bundles (`c2sp.org/tlog-tiles`).
//! - [`verify`]: checking a whole log, leaf by leaf.
//! - [`witness`]: what passes between a log and its witnesses (`c2sp.org/tlog-witness`).
#![deny(clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod anchor;
pub mod checkpoint;
pub mod entry;
pub mod growth;
pub mod message;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod tile;
pub mod tree;
pub mod verify;
pub mod witness;

#[cfg(test)]
pub(crate) mod tests;
