//! Where a webhook is: a URL in a narrow spelling, so that what is called, what is signed and what
//! the receiver sees are the same text.

use std::fmt;
use std::net::IpAddr;

use crate::domain::text::{Malformed, excerpt};

/// Longest URL, in characters.
pub const TARGET_CHARS_MAX: usize = 500;

/// An `https` URL, or an `http` one of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Reads `https://host[:port]/path[?query]`: lower-case host, a path, no user, no fragment.
    /// Plain `http` is taken for `localhost` and loopback addresses only.
    ///
    /// # Errors
    /// [`Malformed`] with rule `target`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Malformed> {
        let refuse = |expected: &str| {
            let detail = format!("found {}; expected {expected}", excerpt(text));
            Malformed::new(field, "target", detail)
        };
        if text.len() > TARGET_CHARS_MAX {
            return Err(refuse("at most 500 characters"));
        }
        let (is_plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(refuse("https:// and a host in lower case")),
        };
        let slash = rest.find('/').ok_or_else(|| refuse("a path after the host, at least /"))?;
        let (authority, path) = rest.split_at(slash);
        let host = host(authority).ok_or_else(|| {
            refuse("a host name in lower case or an address, and a port if not the default one")
        })?;
        // RFC 3986 section 3.3 and 3.4: what a path and a query may hold, percent-encoded.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@/?".contains(c);
        if !path.chars().all(allowed) {
            return Err(refuse("a path of URL characters, without a fragment"));
        }
        if is_plain && !is_loopback(host) {
            return Err(refuse("https; plain http is for localhost and loopback addresses only"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host of `host[:port]`; `None` if either is none.
fn host(authority: &str) -> Option<&str> {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((address, rest)) => {
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("443"))?)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
            let allowed =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            (!host.is_empty() && host.bytes().all(allowed)).then_some((host, port))?
        }
    };
    let number: u16 = port.parse().ok().filter(|number| *number > 0)?;
    (number.to_string() == port).then_some(host)
}

/// Whether a connection to it cannot leave the machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_https_or_stays_on_the_machine() {
        for text in [
            "https://shop.example/",
            "https://shop.example:8443/hooks/countersign?tenant=7&x=%20",
            "https://192.0.2.7/a",
            "https://[2001:db8::1]:8443/a",
            "http://localhost:8080/a",
            "http://127.0.0.1:1/",
            "http://[::1]/a",
        ] {
            assert_eq!(Target::parse("url", text).unwrap().to_string(), text);
        }
        let long = format!("https://shop.example/{}", "a".repeat(500));
        for text in [
            "",
            "shop.example/",
            "ftp://shop.example/",
            "HTTPS://shop.example/",
            "https://shop.example",
            "https:///a",
            "https://Shop.example/",
            "https://user:secret@shop.example/",
            "https://shop.example:0/",
            "https://shop.example:/",
            "https://shop.example:65536/",
            "https://shop.example:0443/",
            "https://[::1/",
            "https://[shop]/",
            "https://shop.example/a#b",
            "https://shop.example/a b",
            "https://shop.example/a\r\nHost: b",
            "https://shop.example/\u{fc}",
            "http://shop.example/",
            "http://192.0.2.7/",
            "http://localhost.shop.example/",
            "http://127.0.0.1.shop.example/",
            &long,
        ] {
            assert_eq!(Target::parse("url", text).unwrap_err().rule, "target", "{text}");
        }
    }
}
