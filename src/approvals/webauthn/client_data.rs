//! What the browser says that was asked of it (W3C WebAuthn section 5.8.1).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::domain::text::excerpt;

use super::fault::Fault;
use super::relying_party::RelyingParty;
use super::wire::{Object, present};

/// Bytes of `clientDataJSON`, at most; browsers write some 150 to 400.
pub(super) const CLIENT_DATA_BYTES_MAX: usize = 4096;

/// The kind of a ceremony, as its `type` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ceremony {
    Create,
    Get,
}

impl Ceremony {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// The members that are judged. Others may be there: browsers add some at random, so that nobody
/// compares templates (section 5.8.1); a member of these that occurs twice is refused.
#[derive(Deserialize)]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default, deserialize_with = "present")]
    cross_origin: Option<bool>,
    #[serde(rename = "topOrigin", default, deserialize_with = "present")]
    top_origin: Option<String>,
}

/// Judges `clientDataJSON`: section 7.1 steps 5 to 11, section 7.2 steps 8 to 14.
///
/// The challenge is compared as text, so that it has one encoding, and in constant time.
///
/// # Errors
/// The first check that fails, in the order of the specification.
pub(super) fn judge(
    rp: &RelyingParty,
    ceremony: Ceremony,
    challenge: &[u8; 32],
    json: &[u8],
) -> Result<(), Fault> {
    let Object(found): Object<ClientData> = serde_json::from_slice(json).map_err(|refused| {
        let shown: String = refused.to_string().escape_debug().take(200).collect();
        Fault::ClientData(format!("found {shown}; expected type, challenge and origin"))
    })?;
    let expected = ceremony.name();
    if found.r#type != expected {
        return Err(Fault::Type { found: excerpt(&found.r#type), expected });
    }
    let expected = BASE64URL_NOPAD.encode(challenge);
    if verify_slices_are_equal(found.challenge.as_bytes(), expected.as_bytes()).is_err() {
        return Err(Fault::Challenge { found: excerpt(&found.challenge), expected });
    }
    if !rp.has_origin(&found.origin) {
        let expected: Vec<&str> = rp.origins().iter().map(|origin| origin.as_str()).collect();
        let expected = expected.join(", ");
        return Err(Fault::Origin { found: excerpt(&found.origin), expected });
    }
    if found.cross_origin == Some(true) {
        return Err(Fault::CrossOrigin);
    }
    match found.top_origin {
        None => Ok(()),
        Some(found) => Err(Fault::TopOrigin { found: excerpt(&found) }),
    }
}
