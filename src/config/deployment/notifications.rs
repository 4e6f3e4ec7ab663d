//! Who is told what, over what: routes, and the mail server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::domain::caller::CallerId;
use crate::domain::key::KeyId;
use crate::domain::notification::EventKind;
use crate::domain::notification::target::Target;
use crate::domain::time::Duration;

/// Everything about notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifications {
    /// The key that signs webhooks, among those of the deployment.
    pub key: Option<KeyId>,
    /// Routes, in the order of their names.
    pub routes: Vec<Route>,
    /// The mail server.
    pub mail: Option<Mail>,
}

/// One addressee of one caller's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Whose payments it is told about.
    pub caller: CallerId,
    /// What it is told.
    pub events: BTreeSet<EventKind>,
    /// Over what.
    pub channel: Channel,
    /// Age at which an event that cannot be delivered is given up.
    pub give_up_after: Duration,
}

/// Over what somebody is told. The set is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A signed POST request.
    Webhook {
        /// Where to.
        target: Target,
        /// Authority of the server's certificate, PEM; those of the system if `None`.
        ca: Option<PathBuf>,
    },
    /// A mail.
    Mail {
        /// Address, as RFC 5321 section 4.1.2 has it, without a name.
        to: String,
    },
}

/// The mail server and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: MailSecurity,
    /// Authority of its certificate, PEM; those of the system if `None`.
    pub ca: Option<PathBuf>,
    /// Address of the sender.
    pub from: String,
    /// Our name there, if it asks for one.
    pub user: Option<String>,
    /// The password, in a file of ours with mode 0600 or 0400.
    pub password_file: Option<PathBuf>,
}

/// How a connection to the mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314).
    Wrapped,
    /// TLS after STARTTLS (RFC 3207), or nothing is sent.
    StartTls,
    /// None; a server on loopback only.
    Plain,
}
