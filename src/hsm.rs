//! Custody: threads that own token sessions, and the only place that asks for a signature.
//!
//! What goes in is a [`SigningAuthorization`](crate::domain::authorization::SigningAuthorization),
//! which only the ledger hands out; what comes out is a
//! [`Signed`](crate::domain::authorization::Signed) whose signature was verified in software
//! against the pinned public key, or a failure that leaves the payment in doubt. Two other things
//! go in: an [`AuditMessage`](crate::log::message::AuditMessage), the head of a log, and a
//! [`NotificationMessage`](crate::domain::notification::message::NotificationMessage).
//!
//! This module is *not* a signing service: nothing here signs bytes that a caller chose (P6). A
//! [`SigningDigest`] is made inside this module from an authorization and nowhere else; an audit
//! message is made of a checkpoint, a notification of an event; and a key whose purpose is the one
//! never signs another. The module decides nothing about payments, keeps no record of
//! them, and exports, copies and deletes
//! no key.
//!
//! - [`token`]: what a token is to the rest of the daemon, and every way in which it fails.
//! - [`anchor`]: what a token is told of the log, so that a restored backup is found out.
//! - [`pin`]: PINs as a type, where they come from, and the marker that stops wrong ones.
//! - [`pkcs11`]: modules, sessions, attributes and key generation; the only place that names
//!   the crate behind it.
//! - [`pool`]: the threads, their bounded queues and the breaker of each token.

pub mod anchor;
pub mod pin;
pub mod pkcs11;
pub mod pool;
pub mod token;

mod worker;

pub use anchor::{AnchorError, AnchorSlot, AnchorStore};
pub use pin::{Pin, PinError, PinSource};
pub use pkcs11::{Modules, Pkcs11Anchors, Pkcs11Module, Pkcs11Settings};
pub use pool::{Hsm, Permit, PlannedKey, SignFailure, TokenPlan, TokenStatus, Unavailable};
pub use token::{KeyReference, SigningDigest, Token, TokenError, TokenModule};
