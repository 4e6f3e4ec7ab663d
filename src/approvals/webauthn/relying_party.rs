//! Who the evidence is for: the relying party id, and the origins whose pages may ask.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::domain::text::{Malformed, excerpt, readable};

/// Longest id and longest host, in characters (RFC 1035 section 2.3.4).
const HOST_CHARS_MAX: usize = 253;
const NAME_CHARS_MAX: usize = 64;
const ORIGINS_MAX: usize = 16;

/// An installation, as authenticators know it. The id is fixed for good: credentials belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    name: String,
    origins: Vec<Origin>,
}

impl RelyingParty {
    /// Reads an id (a host name in lower case), a name that people see (1 to 64 characters) and
    /// 1 to 16 origins, each on the id's host or on a host below it.
    ///
    /// # Errors
    /// [`Malformed`] with rule `host` for the id, a rule of [`readable`] for the name, `count` or
    /// a rule of [`Origin::parse`] for the origins, `scope` for an origin elsewhere (W3C WebAuthn
    /// section 5.1.3: browsers refuse those too, but only when somebody tries).
    pub fn parse(id: &str, name: &str, origins: &[impl AsRef<str>]) -> Result<Self, Malformed> {
        host("id", id)?;
        let name = readable("name", name, NAME_CHARS_MAX)?;
        if origins.is_empty() || origins.len() > ORIGINS_MAX {
            let found = origins.len();
            let detail = format!("found {found} origins; expected 1 to {ORIGINS_MAX}");
            return Err(Malformed::new("origins", "count", detail));
        }
        let read = |text| Origin::parse("origins", text);
        let origins: Vec<Origin> =
            origins.iter().map(|text| read(text.as_ref())).collect::<Result<_, _>>()?;
        match origins.iter().find(|origin| !origin.is_within(id)) {
            None => Ok(Self { id: id.to_owned(), name, origins }),
            Some(found) => {
                let detail =
                    format!("found {found}; expected a host that is {id} or ends in .{id}");
                Err(Malformed::new("origins", "scope", detail))
            }
        }
    }

    /// The relying party id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What authenticators show to people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The origins whose pages may ask for a touch.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// What authenticator data starts with (section 6.1).
    pub(super) fn id_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.id).into()
    }

    /// Whether a text is one of the origins, byte for byte.
    pub(super) fn has_origin(&self, text: &str) -> bool {
        self.origins.iter().any(|origin| origin.as_str() == text)
    }
}

/// The origin of a page, as browsers write it (RFC 6454 section 6.1): `https`, or `http` on
/// `localhost`; lower case, no path, and no port where it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    host_starts: usize,
    host_ends: usize,
}

impl Origin {
    /// Reads the exact text that a browser would write.
    ///
    /// # Errors
    /// [`Malformed`] with rule `scheme`, `host` or `port`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (rest, None),
        };
        let own_port = match (scheme, name) {
            ("https", _) => "443",
            ("http", "localhost") => "80",
            _ => {
                let found = excerpt(text);
                let detail = format!("found {found}; expected https://, or http://localhost");
                return Err(Malformed::new(field, "scheme", detail));
            }
        };
        host(field, name)?;
        if let Some(port) = port
            && (port == own_port || !is_port(port))
        {
            let detail = format!(
                "found the port {} in {}; expected 1 to 65535, left out where it is {own_port}",
                excerpt(port),
                excerpt(text)
            );
            return Err(Malformed::new(field, "port", detail));
        }
        let host_starts = text.len().saturating_sub(rest.len());
        let host_ends = host_starts.saturating_add(name.len());
        Ok(Self { text: text.to_owned(), host_starts, host_ends })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn is_within(&self, id: &str) -> bool {
        let host = self.text.get(self.host_starts..self.host_ends).unwrap_or_default();
        let below = host.strip_suffix(id);
        below.is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_port(text: &str) -> bool {
    let canonical = text.parse::<u16>().is_ok_and(|port| port.to_string() == text);
    canonical && text != "0"
}

/// Labels of lower-case letters, digits and hyphens; WebAuthn knows no addresses (section 4,
/// "RP ID" is a domain), and names beyond ASCII are written in their `xn--` form.
fn host(field: &str, text: &str) -> Result<(), Malformed> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |label: &str| {
        let whole = !label.is_empty() && label.len() <= 63 && label.chars().all(letters);
        whole && !label.starts_with('-') && !label.ends_with('-')
    };
    let address =
        text.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    if text.len() <= HOST_CHARS_MAX && text.split('.').all(label) && !address {
        return Ok(());
    }
    let detail = format!(
        "found {}; expected a domain name in lower case, such as pay.example.org",
        excerpt(text)
    );
    Err(Malformed::new(field, "host", detail))
}
