//! Mail to people: plain text over the configured server, and nothing that an attacker could write
//! into a header.
//!
//! To tell a person something is [`Mailbox::tell`] with a [`Notice`]; what a notice says is in
//! [`text`], what it may hold is up to its type.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::Mailbox as Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport};

use crate::config::deployment::notifications::{Mail, MailSecurity};
use crate::domain::time::Timestamp;

use super::{Missed, blocking};

mod password;
pub mod text;

pub use text::{Notice, Text};

/// Longest that a step of a conversation with the server may take.
const STEP_WAIT_MAX: Duration = Duration::from_secs(10);
/// Largest file of certificates, in bytes; a bound on what a wrong path reads.
const CA_BYTES_MAX: u64 = 1024 * 1024;
/// Answers that mean this mailbox and this mail, not us and not today (RFC 5321 section 4.2.3):
/// unavailable, not local, name not allowed, and failed for good.
const MAILBOX_REFUSED: [u16; 4] = [550, 551, 553, 554];

/// Why mail cannot be sent with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum UnusableMail {
    /// An address that the mail library does not take.
    #[error("{address} is no mail address: {reason}")]
    Address {
        /// What was found.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that cannot be used.
    #[error("{} cannot be used for mail: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why, and what was expected.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("the mail server {host} cannot be reached over TLS: {reason}")]
    Tls {
        /// Its name.
        host: String,
        /// What the library says.
        reason: String,
    },
}

/// The server, and who we are there. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: SmtpTransport,
    from: Address,
    /// Host of the issuer: the right half of the names of our mails.
    host: String,
}

impl Mailer {
    /// A mailer for a server; connects to nobody yet. `issuer` is the daemon's name, a URL.
    ///
    /// # Errors
    /// [`UnusableMail`].
    pub fn new(mail: &Mail, issuer: &str) -> Result<Self, UnusableMail> {
        let host = issuer.strip_prefix("https://").unwrap_or(issuer);
        let host = host.split(['/', ':']).next().unwrap_or(host).to_owned();
        let mut builder = SmtpTransport::builder_dangerous(&mail.host)
            .port(mail.port)
            .hello_name(ClientId::Domain(host.clone()))
            .timeout(Some(STEP_WAIT_MAX))
            .tls(secured(mail)?);
        if let (Some(user), Some(path)) = (&mail.user, &mail.password_file) {
            let refused = |reason| UnusableMail::File { path: path.clone(), reason };
            let password = password::read(path).map_err(refused)?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(Self { transport: builder.build(), from: address(&mail.from)?, host })
    }

    /// The mailbox of somebody, by address.
    ///
    /// # Errors
    /// [`UnusableMail::Address`].
    pub fn to(&self, to: &str) -> Result<Mailbox, UnusableMail> {
        Ok(Mailbox { mailer: self.clone(), to: address(to)? })
    }
}

/// Where somebody reads mail.
pub struct Mailbox {
    mailer: Mailer,
    to: Address,
}

impl Mailbox {
    /// Tells somebody something, once; this function is all that the rest of the daemon needs to
    /// know of mail. `id` names what is told, in the characters of an event's id: a mail that is
    /// sent again has the same name.
    ///
    /// # Errors
    /// [`Missed`]; [`Missed::Refused`] only if the server takes no mail for this mailbox.
    pub async fn tell(&self, notice: &Notice<'_>, id: &str, now: Timestamp) -> Result<(), Missed> {
        let message = self.message(&notice.to_text(), id, now)?;
        let transport = self.mailer.transport.clone();
        blocking(move || match transport.send(&message) {
            Ok(_) => Ok(()),
            Err(refused) => Err(judged(&refused)),
        })
        .await
    }

    fn message(&self, text: &Text, id: &str, now: Timestamp) -> Result<Message, Missed> {
        let unfit = |refused: lettre::error::Error| Missed::NotSent(refused.to_string());
        // RFC 3834 section 5: so that no vacation answers it.
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Message::builder()
            .from(self.mailer.from.clone())
            .to(self.to.clone())
            .date(date(now))
            .message_id(Some(format!("<{id}@{}>", self.mailer.host)))
            .raw_header(automatic)
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .subject(text.subject.as_str())
            .body(text.body.clone())
            .map_err(unfit)
    }
}

/// What the server's answer means.
fn judged(refused: &lettre::transport::smtp::Error) -> Missed {
    let code = refused.status().map(u16::from);
    match code.is_some_and(|code| MAILBOX_REFUSED.contains(&code)) {
        true => Missed::Refused(told(refused)),
        // A wrong password, say, is not the fault of the mailbox: it is tried again.
        false => Missed::failed(told(refused)),
    }
}

/// An error with what caused it.
fn told(refused: &lettre::transport::smtp::Error) -> String {
    match std::error::Error::source(refused) {
        Some(source) => format!("{refused}: {source}"),
        None => refused.to_string(),
    }
}

fn date(now: Timestamp) -> SystemTime {
    let since_1970 = Duration::from_millis(now.unix_ms().unsigned_abs());
    UNIX_EPOCH.checked_add(since_1970).unwrap_or(UNIX_EPOCH)
}

fn address(text: &str) -> Result<Address, UnusableMail> {
    text.parse().map_err(|refused: lettre::address::AddressError| UnusableMail::Address {
        address: text.to_owned(),
        reason: refused.to_string(),
    })
}

fn secured(mail: &Mail) -> Result<Tls, UnusableMail> {
    let broken = |refused: lettre::transport::smtp::Error| UnusableMail::Tls {
        host: mail.host.clone(),
        reason: told(&refused),
    };
    let mut parameters = TlsParameters::builder(mail.host.clone());
    if let Some(path) = &mail.ca {
        parameters = parameters.certificate_store(CertificateStore::None);
        for certificate in certificates(path)? {
            parameters = parameters.add_root_certificate(certificate);
        }
    }
    Ok(match mail.security {
        MailSecurity::Plain => Tls::None,
        MailSecurity::Wrapped => Tls::Wrapper(parameters.build().map_err(broken)?),
        MailSecurity::StartTls => Tls::Required(parameters.build().map_err(broken)?),
    })
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<Certificate>, UnusableMail> {
    let refused = |reason: &dyn std::fmt::Display| UnusableMail::File {
        path: path.to_owned(),
        reason: format!("{reason}; expected certificates in PEM"),
    };
    let size = std::fs::metadata(path).map_err(|e| refused(&e))?.len();
    if size > CA_BYTES_MAX {
        return Err(refused(&"it is too large"));
    }
    let pem = std::fs::read_to_string(path).map_err(|e| refused(&e))?;
    const END: &str = "-----END CERTIFICATE-----";
    let parts = pem.split_inclusive(END).filter(|part| part.contains(END));
    let read: Result<Vec<_>, _> =
        parts.map(|part| Certificate::from_pem(part.as_bytes())).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(refused(&"it holds no certificate")),
        Err(broken) => Err(refused(&broken)),
    }
}

#[cfg(test)]
mod tests {
    use super::text::Line;
    use super::*;

    fn mailbox() -> Mailbox {
        let mail = Mail {
            host: "localhost".to_owned(),
            port: 25,
            security: MailSecurity::Plain,
            ca: None,
            from: "countersign@pay.example".to_owned(),
            user: None,
            password_file: None,
        };
        Mailer::new(&mail, "https://pay.example:8444/x").unwrap().to("ann@shop.example").unwrap()
    }

    #[test]
    fn nothing_that_is_told_starts_a_header() {
        let hostile = "Sol\r\nBcc: everybody@example.com\r\n\r\nPay at once\u{0}\u{2028}x";
        let text = Text {
            subject: Line::of(hostile),
            body: format!("{}\n.\nMAIL FROM:<x@y>\n", Line::of(hostile)),
        };
        let message = mailbox().message(&text, "7-ab", Timestamp::from_unix_ms(0)).unwrap();
        let formatted = String::from_utf8(message.formatted()).unwrap();
        let (head, _) = formatted.split_once("\r\n\r\n").unwrap();
        let names = head.split("\r\n").filter(|line| !line.starts_with(' '));
        let names: Vec<&str> = names.map(|line| line.split(':').next().unwrap()).collect();
        assert!(!names.contains(&"Bcc"), "{head}");
        assert_eq!(names.iter().filter(|name| **name == "To").count(), 1);
        assert!(head.contains("Message-ID: <7-ab@pay.example>"), "{head}");
        assert_eq!(message.envelope().to().len(), 1);
    }

    #[test]
    fn an_address_that_is_none_is_refused_at_start() {
        let mailer = mailbox().mailer;
        for text in ["", "ann", "ann@", "a@b\r\nBcc: c@d"] {
            assert!(mailer.to(text).is_err(), "{text:?}");
        }
    }
}
