//! `[[witness]]`: who cosigns the log from elsewhere.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::super::Problems;
use super::super::WitnessEntry;
use crate::domain::time::Duration;
use crate::log::note::{SignatureKind, VerifierKey};

/// Most witnesses of one log.
const WITNESSES_MAX: usize = 16;
/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 200;
/// Longest that a witness may take to answer where the file says nothing.
const TIMEOUT: &str = "5s";
/// Longest that it may ever take: the daemon waits for it at start.
const TIMEOUT_MAX: Duration = Duration::from_seconds(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: String,
    url: String,
    key: String,
    ca: Option<PathBuf>,
    timeout: Option<String>,
    #[serde(default)]
    required_at_start: bool,
    #[serde(default)]
    signing_waits: bool,
}

/// All witnesses of the file.
pub(super) fn check(
    entries: Vec<Entry>,
    base: &Path,
    problems: &mut Problems,
) -> Vec<WitnessEntry> {
    if entries.len() > WITNESSES_MAX {
        let detail = format!("found {}; expected at most {WITNESSES_MAX}", entries.len());
        problems.note("witness", detail);
    }
    let mut checked: Vec<WitnessEntry> = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let place = format!("witness[{number}]");
        let Some(entry) = entry.check(&place, base, problems) else { continue };
        if checked.iter().any(|other| other.name == entry.name) {
            let detail = format!("found \"{}\" twice; expected a name of its own", entry.name);
            problems.note(format!("{place}.name"), detail);
        }
        if checked.iter().any(|other| other.key == entry.key) {
            let detail = "found the key of another witness; two entries are two witnesses";
            problems.note(format!("{place}.key"), detail);
        }
        checked.push(entry);
    }
    checked
}

impl Entry {
    fn check(self, place: &str, base: &Path, problems: &mut Problems) -> Option<WitnessEntry> {
        let plain = !self.name.is_empty()
            && self.name.len() <= 32
            && self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !plain {
            let detail = "expected a name of 1 to 32 lower-case letters, digits and hyphens";
            problems.note(format!("{place}.name"), detail);
        }
        if let Err(detail) = is_url(&self.url, self.ca.is_some()) {
            problems.note(format!("{place}.url"), detail);
        }
        let timeout = self.timeout.as_deref().unwrap_or(TIMEOUT);
        let timeout = problems.keep(Duration::parse(&format!("{place}.timeout"), timeout));
        if timeout.is_some_and(|timeout| timeout > TIMEOUT_MAX) {
            let detail = format!("expected at most {TIMEOUT_MAX}");
            problems.note(format!("{place}.timeout"), detail);
        }
        let key = self.key.parse::<VerifierKey>().map_err(|refused| refused.to_string());
        let key = key.and_then(|key| match key.kind() {
            SignatureKind::CosignatureV1 => Ok(key),
            _ => Err("it is the key of a log; expected that of a witness, of type 0x04".to_owned()),
        });
        let key = key.map_err(|detail| problems.note(format!("{place}.key"), detail)).ok();
        Some(WitnessEntry {
            name: self.name,
            url: self.url.trim_end_matches('/').to_owned(),
            key: key?,
            ca: self.ca.map(|path| base.join(path)),
            timeout: timeout?,
            required_at_start: self.required_at_start,
            signing_waits: self.signing_waits,
        })
    }
}

/// https with an authority to trust, or plain HTTP that does not leave the machine.
fn is_url(url: &str, has_ca: bool) -> Result<(), String> {
    let no_url = || format!("found \"{url}\"; expected https://host/prefix, without user or query");
    let (scheme, rest) = url.split_once("://").ok_or_else(no_url)?;
    let authority = rest.split('/').next().unwrap_or_default();
    let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#'));
    if authority.is_empty() || !plain || url.len() > URL_BYTES_MAX {
        return Err(no_url());
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    match scheme {
        "https" if has_ca => Ok(()),
        "https" => {
            Err("https needs `ca`: a PEM file with the authority of the witness, or that of \
                        the system for a public one"
                .to_owned())
        }
        "http" if matches!(host, "127.0.0.1" | "[::1]" | "localhost") => Ok(()),
        "http" => Err(format!("found \"{url}\"; plain HTTP is for loopback only, use https")),
        _ => Err(no_url()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_keep_requests_whole_are_taken() {
        for (url, has_ca, taken) in [
            ("https://witness.example", true, true),
            ("https://witness.example:8443/prefix/", true, true),
            ("https://witness.example", false, false),
            ("http://127.0.0.1:1/a", false, true),
            ("http://[::1]:1", false, true),
            ("http://[::1]", false, true),
            ("http://localhost", false, true),
            ("http://witness.example", true, false),
            ("http://localhost.example", false, false),
            ("http://127.0.0.1.example", false, false),
            ("http://127.0.0.1@witness.example", false, false),
            ("http://witness.example#127.0.0.1", false, false),
            ("https://", true, false),
            ("https:///a", true, false),
            ("https://witness.example?a", true, false),
            ("https://witness .example", true, false),
            ("ftp://127.0.0.1", true, false),
            ("127.0.0.1", true, false),
            ("", true, false),
        ] {
            assert_eq!(is_url(url, has_ca).is_ok(), taken, "{url}");
        }
    }
}
