//! Reading JSON that others wrote: objects where objects are expected, bytes as base64url.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use data_encoding::BASE64URL_NOPAD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::domain::credential::CredentialId;
use crate::domain::text::excerpt;

use super::fault::Fault;

/// A `T` that was written as an object; serde would read an array of its members as well.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(OfMap(PhantomData)).map(Self)
    }
}

/// A member that may be left out but not be null.
///
/// # Errors
/// Those of `T`.
pub(super) fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads one JSON object of at most `bytes_max` bytes.
///
/// # Errors
/// [`Fault::Wire`].
pub(super) fn object<T: DeserializeOwned>(json: &[u8], bytes_max: usize) -> Result<T, Fault> {
    if json.len() > bytes_max {
        let found = json.len();
        return Err(Fault::Wire(format!("found {found} bytes; expected at most {bytes_max}")));
    }
    let read: Result<Object<T>, _> = serde_json::from_slice(json);
    match read {
        Ok(Object(value)) => Ok(value),
        Err(refused) => {
            let detail = refused.to_string();
            let shown: String = detail.escape_debug().take(200).collect();
            Err(Fault::Wire(format!("found {shown}; expected the JSON of a PublicKeyCredential")))
        }
    }
}

/// Reads base64url without padding, of so many bytes.
///
/// # Errors
/// [`Fault::Wire`].
pub(super) fn bytes(
    member: &str,
    text: &str,
    length: RangeInclusive<usize>,
) -> Result<Vec<u8>, Fault> {
    let decoded = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|refused| {
        Fault::Wire(format!("{member}: found {refused}; expected base64url without padding"))
    })?;
    if length.contains(&decoded.len()) {
        return Ok(decoded);
    }
    let (least, most) = (length.start(), length.end());
    let found = decoded.len();
    Err(Fault::Wire(format!("{member}: found {found} bytes; expected {least} to {most}")))
}

/// What both kinds of answer begin with: `id` and `rawId` are the same, and `type` is the only one
/// there is (section 5.1).
///
/// # Errors
/// [`Fault::Wire`].
pub(super) fn head(id: &str, raw_id: &str, kind: &str) -> Result<CredentialId, Fault> {
    if kind != "public-key" {
        let found = excerpt(kind);
        return Err(Fault::Wire(format!("type: found {found}; expected \"public-key\"")));
    }
    if id != raw_id {
        return Err(Fault::Wire("found an id that is not rawId; expected them equal".to_owned()));
    }
    CredentialId::parse("id", id).map_err(|refused| Fault::Wire(refused.to_string()))
}
