//! `[notifications]`: who is told what, over what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::super::Problems;
use super::super::KeyBinding;
use super::super::notifications::{Channel, Mail, MailSecurity, Notifications, Route};
use crate::domain::caller::CallerId;
use crate::domain::key::KeyId;
use crate::domain::notification::EventKind;
use crate::domain::notification::target::Target;
use crate::domain::time::Duration;

/// Most routes: each has a thread's worth of work of its own.
const ROUTES_MAX: usize = 64;
/// The age at which an event is given up where the file gives none.
const GIVE_UP_AFTER: &str = "3d";
/// Longest such age.
const GIVE_UP_AFTER_MAX: Duration = Duration::from_seconds(30 * 86_400);
/// Longest mail address, in characters (RFC 5321 section 4.5.3.1.3).
const ADDRESS_CHARS_MAX: usize = 254;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct NotificationsTable {
    key: Option<String>,
    #[serde(default)]
    to: BTreeMap<String, To>,
    mail: Option<MailTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    caller: String,
    events: Option<Vec<String>>,
    webhook: Option<String>,
    ca: Option<PathBuf>,
    mail: Option<String>,
    give_up_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailTable {
    server: String,
    security: Option<String>,
    ca: Option<PathBuf>,
    from: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

impl NotificationsTable {
    pub(super) fn check(
        self,
        keys: &BTreeMap<KeyId, KeyBinding>,
        base: &Path,
        problems: &mut Problems,
    ) -> Notifications {
        let key = self.key.as_deref().and_then(|name| signer(name, keys, problems));
        if self.to.len() > ROUTES_MAX {
            let detail = format!("found {}; expected at most {ROUTES_MAX}", self.to.len());
            problems.note("notifications.to", detail);
        }
        let routes: Vec<Route> =
            self.to.into_iter().filter_map(|(name, to)| to.check(&name, base, problems)).collect();
        let mail = self.mail.and_then(|mail| mail.check(base, problems));
        let over = |is_mail| {
            routes.iter().any(|route| matches!(route.channel, Channel::Mail { .. }) == is_mail)
        };
        if over(false) && self.key.is_none() {
            let detail =
                "missing; webhooks are signed by a key of purpose \"notification\": name it";
            problems.note("notifications.key", detail);
        }
        if over(true) && mail.is_none() {
            problems.note("notifications.mail", "missing; a route goes over mail: name the server");
        }
        Notifications { key, routes, mail }
    }
}

fn signer(
    name: &str,
    keys: &BTreeMap<KeyId, KeyBinding>,
    problems: &mut Problems,
) -> Option<KeyId> {
    let id = KeyId::parse("notifications.key", name).ok().filter(|id| keys.contains_key(id));
    if id.is_none() {
        let known: Vec<&str> = keys.keys().map(KeyId::as_str).collect();
        let detail = format!("found \"{name}\"; expected one of {known:?}");
        problems.note("notifications.key", detail);
    }
    id
}

impl To {
    fn check(self, name: &str, base: &Path, problems: &mut Problems) -> Option<Route> {
        let place = |key: &str| format!("notifications.to.{name}.{key}");
        // The same names as callers have: 1 to 64 characters that need no quotes anywhere.
        let named = problems.keep(CallerId::parse(&format!("notifications.to.{name}"), name));
        let caller = problems.keep(CallerId::parse(&place("caller"), &self.caller));
        let events = self.events(&place("events"), problems);
        let channel = self.channel(&place, base, problems);
        let age = self.give_up_after.as_deref().unwrap_or(GIVE_UP_AFTER);
        let age = problems.keep(Duration::parse(&place("give_up_after"), age));
        if let Some(found) = age.filter(|age| *age > GIVE_UP_AFTER_MAX) {
            let detail = format!("found {found}; expected at most {GIVE_UP_AFTER_MAX}");
            problems.note(place("give_up_after"), detail);
        }
        let (name, give_up_after) = (named?.to_string(), age?);
        Some(Route { name, caller: caller?, events, channel: channel?, give_up_after })
    }

    fn events(&self, place: &str, problems: &mut Problems) -> BTreeSet<EventKind> {
        let Some(names) = &self.events else { return EventKind::ALL.into_iter().collect() };
        if names.is_empty() {
            problems.note(place, "found none; leave it out for all of them, or remove the route");
        }
        let known = names.iter();
        known.filter_map(|name| problems.keep(EventKind::parse(place, name))).collect()
    }

    fn channel(
        &self,
        place: &impl Fn(&str) -> String,
        base: &Path,
        problems: &mut Problems,
    ) -> Option<Channel> {
        match (&self.webhook, &self.mail) {
            (Some(url), None) => {
                let target = problems.keep(Target::parse(&place("webhook"), url))?;
                Some(Channel::Webhook { target, ca: self.ca.as_ref().map(|ca| base.join(ca)) })
            }
            (None, Some(to)) => {
                if self.ca.is_some() {
                    let detail =
                        "is for webhooks; that of the mail server is in notifications.mail";
                    problems.note(place("ca"), detail);
                }
                Some(Channel::Mail { to: address(&place("mail"), to, problems)? })
            }
            _ => {
                let detail = "expected exactly one of webhook = \"https://…\" and mail = \"a@b\"";
                problems.note(place("webhook"), detail);
                None
            }
        }
    }
}

impl MailTable {
    fn check(self, base: &Path, problems: &mut Problems) -> Option<Mail> {
        let place = |key: &str| format!("notifications.mail.{key}");
        let server = self.server.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port: &u16| *port > 0)?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
            (!host.is_empty() && host.bytes().all(plain)).then(|| (host.to_owned(), port))
        });
        if server.is_none() {
            let detail = format!("found \"{}\"; expected \"host:port\"", self.server);
            problems.note(place("server"), detail);
        }
        let is_loopback = server.as_ref().is_some_and(|(host, _)| {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        });
        let security = match self.security.as_deref().unwrap_or("tls") {
            "tls" => Some(MailSecurity::Wrapped),
            "starttls" => Some(MailSecurity::StartTls),
            "none" if is_loopback => Some(MailSecurity::Plain),
            found => {
                let detail = format!(
                    "found \"{found}\"; expected \"tls\", \"starttls\", or \"none\" for a server \
                     on loopback"
                );
                problems.note(place("security"), detail);
                None
            }
        };
        if self.user.is_some() != self.password_file.is_some() {
            problems.note(place("user"), "expected both user and password_file, or neither");
        }
        let from = address(&place("from"), &self.from, problems);
        let (host, port) = server?;
        Some(Mail {
            host,
            port,
            security: security?,
            ca: self.ca.map(|path| base.join(path)),
            from: from?,
            user: self.user,
            password_file: self.password_file.map(|path| base.join(path)),
        })
    }
}

/// An address of the common form: what mail servers quote or argue about is refused.
fn address(place: &str, text: &str, problems: &mut Problems) -> Option<String> {
    let local = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    let domain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
    let good = text.len() <= ADDRESS_CHARS_MAX
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && !host.is_empty()
                && name.bytes().all(local)
                && host.bytes().all(domain)
        });
    if !good {
        let found = crate::domain::text::excerpt(text);
        problems.note(place, format!("found {found}; expected a plain address, name@host"));
    }
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Notifications, Problems) {
        let mut problems = Problems::default();
        let table: NotificationsTable = toml::from_str(text).unwrap();
        let notifications = table.check(&BTreeMap::new(), Path::new("/etc"), &mut problems);
        (notifications, problems)
    }

    const MAIL: &str = "[mail]\nserver = \"mail.example:465\"\nfrom = \"pay@shop.example\"\n";

    #[test]
    fn a_route_is_read_as_it_is_written() {
        let text = format!("{MAIL}[to.books]\ncaller = \"shop\"\nmail = \"books@shop.example\"\n");
        let (found, problems) = checked(&text);
        assert_eq!(problems.0, []);
        let [route] = found.routes.as_slice() else { panic!("{found:?}") };
        assert_eq!((route.name.as_str(), route.caller.as_str()), ("books", "shop"));
        assert_eq!(route.events.len(), EventKind::ALL.len());
        assert_eq!(route.channel, Channel::Mail { to: "books@shop.example".to_owned() });
        assert_eq!(route.give_up_after.to_string(), "3d");
        let mail = found.mail.unwrap();
        assert_eq!((mail.host.as_str(), mail.port), ("mail.example", 465));
        assert_eq!(mail.security, MailSecurity::Wrapped);
        assert_eq!(checked("").0, Notifications { key: None, routes: Vec::new(), mail: None });
    }

    #[test]
    fn each_key_is_refused_by_name() {
        let hook = "[to.a]\ncaller = \"shop\"\nwebhook = \"https://a.example/\"\n";
        let mail = "[to.a]\ncaller = \"shop\"\nmail = \"a@b.example\"\n";
        let server = |line: &str| format!("{MAIL}{line}\n{mail}");
        for (text, place) in [
            (hook.to_owned(), "notifications.key"),
            (format!("key = \"x\"\n{hook}"), "notifications.key"),
            (mail.to_owned(), "notifications.mail"),
            (hook.replace("[to.a]", "[to.A]"), "notifications.to.A"),
            (hook.replace("shop", "Shop"), "notifications.to.a.caller"),
            (hook.replace("https", "http"), "notifications.to.a.webhook"),
            (format!("{hook}mail = \"a@b.example\""), "notifications.to.a.webhook"),
            ("[to.a]\ncaller = \"shop\"\n".to_owned(), "notifications.to.a.webhook"),
            (format!("{hook}events = []"), "notifications.to.a.events"),
            (format!("{hook}events = [\"payment.paid\"]"), "notifications.to.a.events"),
            (format!("{hook}give_up_after = \"31d\""), "notifications.to.a.give_up_after"),
            (format!("{hook}give_up_after = \"0s\""), "notifications.to.a.give_up_after"),
            (format!("{MAIL}{mail}ca = \"x.pem\""), "notifications.to.a.ca"),
            (server("").replace("a@b.example", "a b@c"), "notifications.to.a.mail"),
            (server("").replace("a@b.example", "a@b\\r\\nBcc: c@d"), "notifications.to.a.mail"),
            (server("").replace("a@b.example", "Ann <a@b.example>"), "notifications.to.a.mail"),
            (server("security = \"none\""), "notifications.mail.security"),
            (server("security = \"ssl\""), "notifications.mail.security"),
            (server("user = \"x\""), "notifications.mail.user"),
            (server("").replace(":465", ""), "notifications.mail.server"),
            (server("").replace(":465", ":0"), "notifications.mail.server"),
            (server("").replace("pay@shop", "pay"), "notifications.mail.from"),
        ] {
            let (_, problems) = checked(&text);
            let places: Vec<&str> = problems.0.iter().map(|p| p.place.as_str()).collect();
            assert!(places.contains(&place), "{text}\n{problems}");
        }
    }
}
