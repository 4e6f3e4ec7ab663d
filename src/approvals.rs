//! Evidence of people: what their hardware made goes in, a verified approval comes out.
//!
//! Nothing here decides whether an approval is enough, who may give it or whether it was counted
//! before: that is policy and ledger. Here stands what the bytes prove. Everything is a pure
//! function of its arguments: no file, no clock, no randomness, no log line.
//!
//! - [`evidence`]: evidence of either kind, against the statement and the credential it names.
//! - [`token`]: a key in a smart card or another token that a program drives.
//! - [`webauthn`]: security keys and passkeys, through a browser.
#![deny(clippy::indexing_slicing)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod evidence;
pub mod token;
pub mod webauthn;
