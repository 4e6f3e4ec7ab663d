//! Talking to a running daemon as a caller.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::config::client::Client;

use super::output::{Exit, Failure};

/// Longest that an answer may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(75);

/// A connection to a daemon.
pub(super) struct Daemon {
    url: String,
    agent: ureq::Agent,
}

/// What the daemon answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Daemon {
    /// Reads the client file and the certificates that it names.
    pub(super) fn load(path: &Path) -> Result<Self, Failure> {
        let client = Client::load(path).map_err(Failure::broken)?;
        let roots = certificates(&client.server_ca)?;
        let key = read(&client.private_key)?;
        let key = PrivateKey::from_pem(&key)
            .map_err(|refused| unusable(&client.private_key, &refused))?;
        let identity = ClientCert::new_with_certs(&certificates(&client.certificate)?, key);
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(Some(identity))
            .unversioned_rustls_crypto_provider(crate::http::tls::provider())
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WAIT_MAX))
            .build()
            .new_agent();
        Ok(Self { url: client.url.trim_end_matches('/').to_owned(), agent })
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        let asked = self.agent.get(format!("{}{path}", self.url)).call();
        self.answer(asked)
    }

    pub(super) fn post(
        &self,
        path: &str,
        idempotency_key: Option<&str>,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.answer(request.send_json(body))
    }

    fn answer(
        &self,
        asked: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, Failure> {
        let unreachable = |refused: ureq::Error| Failure {
            message: format!(
                "no answer from {}: {refused}; check that the daemon runs, that `url` is its \
                 gateway listener, and that it knows our certificate",
                self.url
            ),
            exit: Exit::Unavailable,
        };
        let mut response = asked.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = response.body_mut().read_json().map_err(unreachable)?;
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The exit code that tells this answer.
    pub(super) fn exit(&self) -> Exit {
        match self.status {
            202 => Exit::Pending,
            200..=299 => Exit::Done,
            403 => Exit::Denied,
            429 | 503 => Exit::Unavailable,
            400..=499 => Exit::Refused,
            _ => Exit::Failed,
        }
    }

    /// A text of the body, empty if it is not there.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The problem that a refusal tells, in a line.
    pub(super) fn problem(&self) -> String {
        let (title, detail) = (self.text("/title"), self.text("/detail"));
        match self.text("/field") {
            "" => format!("{title}: {detail}"),
            field => format!("{title}: {field}: {detail}"),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|refused| unusable(path, &refused))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let pem = read(path)?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|refused| unusable(path, &refused))?
        {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(unusable(path, &"it holds no certificate")),
        false => Ok(certificates),
    }
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::broken(format!("cannot use {}: {reason}; expected a PEM file", path.display()))
}
