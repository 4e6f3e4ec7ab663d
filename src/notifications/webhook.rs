//! Signed requests to a gateway (RFC 9421): one event each, to the configured URL and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::domain::key::{KeyId, PublicKey, Signature};
use crate::domain::notification::Event;
use crate::domain::notification::message::{CONTENT_TYPE, NotificationMessage};
use crate::domain::notification::target::Target;
use crate::domain::time::Timestamp;
use crate::hsm::Hsm;

use super::{Missed, blocking};

/// Longest that one request may take, from the name of the host to the head of the answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest that a connection may take.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Largest body of an answer that is read; it is read for the sake of the connection and ignored.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// The name that receivers see.
const USER_AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));

/// Who signs webhooks.
#[derive(Clone)]
pub struct Signer {
    /// The tokens.
    pub hsm: Hsm,
    /// The key, of purpose `notification`.
    pub key: KeyId,
    /// Its public half, as pinned.
    pub public: PublicKey,
    /// Longest that a signature may take.
    pub wait: Duration,
}

/// A gateway's URL, and how it is reached.
pub struct Webhook {
    target: Target,
    signer: Signer,
    agent: ureq::Agent,
}

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used for webhooks: {reason}; expected certificates in PEM", path.display())]
pub struct UnusableRoots {
    path: PathBuf,
    reason: String,
}

impl Webhook {
    /// A webhook whose server shows a certificate of the authority in `ca`, or of one that the
    /// system trusts.
    ///
    /// # Errors
    /// [`UnusableRoots`].
    pub fn new(target: Target, ca: Option<&Path>, signer: Signer) -> Result<Self, UnusableRoots> {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots(ca)?))
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            // Only the configured URL is ever called: not the one of an environment variable, and
            // not one that an answer names.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .timeout_connect(Some(CONNECT_WAIT_MAX))
            .timeout_global(Some(ANSWER_WAIT_MAX))
            .build()
            .new_agent();
        Ok(Self { target, signer, agent })
    }

    pub(super) async fn tell(&self, event: &Event, now: Timestamp) -> Result<(), Missed> {
        let message = NotificationMessage::new(event, &self.target, now, &self.signer.public);
        let signature = self.signed(&message).await?;
        let agent = self.agent.clone();
        blocking(move || send(&agent, &message, &signature)).await
    }

    async fn signed(&self, message: &NotificationMessage) -> Result<Signature, Missed> {
        let Signer { hsm, key, wait, .. } = &self.signer;
        match tokio::time::timeout(*wait, hsm.sign_notification(key, message.clone())).await {
            Ok(Ok(Ok(signature))) => Ok(signature),
            Ok(Ok(Err(failure))) => Err(Missed::NotSent(failure.to_string())),
            Ok(Err(_)) => Err(Missed::NotSent("the token's worker has gone".to_owned())),
            Err(_) => Err(Missed::NotSent("the token did not sign in time".to_owned())),
        }
    }
}

fn send(
    agent: &ureq::Agent,
    message: &NotificationMessage,
    signature: &Signature,
) -> Result<(), Missed> {
    let request = agent
        .post(message.target().as_str())
        .header("Content-Type", CONTENT_TYPE)
        .header("Content-Digest", message.content_digest())
        .header("Signature-Input", message.signature_input())
        .header("Signature", NotificationMessage::signature_field(signature));
    let mut response = request.send(message.body()).map_err(Missed::failed)?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let judged = judged(response.status().as_u16(), retry_after);
    // Read so that the connection can be used again. Whatever it says, it was answered.
    drop(response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec());
    judged
}

/// What a status means: taken, never again, or later.
fn judged(status: u16, retry_after: Option<&str>) -> Result<(), Missed> {
    match status {
        200..=299 => Ok(()),
        // RFC 9110 section 15.5.11: gone, and likely for good.
        410 => Err(Missed::Refused("it answered 410: the receiver is gone".to_owned())),
        300..=399 => Err(Missed::failed(format!(
            "it answered {status}; a redirect is not followed: configure the new URL"
        ))),
        _ => Err(Missed::Failed {
            reason: format!("it answered {status}; expected 2xx"),
            // RFC 9110 section 10.2.3; a date is not understood, and the own pause then holds.
            retry_after_s: retry_after.and_then(|text| text.trim().parse().ok()),
        }),
    }
}

fn roots(ca: Option<&Path>) -> Result<Vec<Certificate<'static>>, UnusableRoots> {
    let path = ca.unwrap_or(Path::new("the certificates of the system"));
    let unusable = |reason: &dyn std::fmt::Display| UnusableRoots {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut certificates = Vec::new();
    match ca {
        None => {
            let found = rustls_native_certs::load_native_certs();
            let certs = found.certs.iter();
            certificates.extend(certs.map(|der| Certificate::from_der(der).to_owned()));
        }
        Some(path) => {
            let pem = std::fs::read(path).map_err(|refused| unusable(&refused))?;
            for item in parse_pem(&pem) {
                if let PemItem::Certificate(certificate) = item.map_err(|e| unusable(&e))? {
                    certificates.push(certificate);
                }
            }
        }
    }
    match certificates.is_empty() {
        true => Err(unusable(&"there is no certificate")),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_taken_for_what_they_mean() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judged(status, None), Ok(()), "{status}");
        }
        for (status, retry_after, seconds) in [
            (301, Some("7"), None),
            (307, None, None),
            (400, None, None),
            (404, None, None),
            (429, Some("7"), Some(7)),
            (429, Some(" 7 "), Some(7)),
            (500, Some("-1"), None),
            (503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (503, Some("99999999999"), None),
            (100, None, None),
            (600, None, None),
        ] {
            match judged(status, retry_after) {
                Err(Missed::Failed { retry_after_s, .. }) => assert_eq!(retry_after_s, seconds),
                other => panic!("{status}: {other:?}"),
            }
        }
        assert!(matches!(judged(410, None), Err(Missed::Refused(_))));
    }
}
