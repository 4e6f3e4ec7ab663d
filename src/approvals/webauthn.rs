//! WebAuthn (W3C Web Authentication level 3): enrolling credentials and verifying assertions.
//!
//! The challenge of an assertion is the digest of the statement that the person approves, so a
//! signature over it is a signature over the statement. What has to hold, with the section of the
//! specification that asks for it, is a table in `docs/approvals.md`.
//!
//! - [`RelyingParty`]: the name and the origins that all evidence is held to.
//! - [`Enrolment`]: one registration: options for the browser, then a [`Credential`].
//! - [`Attestors`]: pinned roots and allowed models, for "attested".
//! - [`Assertion`]: evidence, kept as it was received; [`verify`] judges it.
//! - [`Refused`]: one text for whoever sent the evidence, one [`Fault`] for the log.
//!
//! Why there is no `webauthn-rs` in here: `docs/decisions/025-webauthn-of-our-own.md`.

mod assertion;
mod attestation;
mod attestors;
mod authenticator_data;
mod cbor;
mod certificate;
mod client_data;
mod cose;
mod credential;
mod enrolment;
mod fault;
mod registration;
mod relying_party;
mod verify;
mod wire;

pub use assertion::{Assertion, request_options};
pub use attestors::{Aaguid, Attestors, Fingerprint};
pub use credential::{Attestation, Credential, Transport, UserHandle};
pub use enrolment::{Enrolment, User};
pub use fault::{Fault, Refused};
pub use registration::Registration;
pub use relying_party::{Origin, RelyingParty};
pub use verify::{Expected, HardwareDemand, UserVerification, Verified, verify};

#[cfg(test)]
#[path = "../../tests/suite/support/authenticator.rs"]
mod authenticator;
#[cfg(test)]
mod tests;
