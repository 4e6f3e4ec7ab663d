//! The way to a witness: one connection that is kept, every answer bounded in size and time.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::deployment::WitnessEntry;
use crate::http::tls::{self, TlsError};
use crate::log::witness::WITNESS_BYTES_MAX;
use crate::pipeline::witnesses::{Witness, WitnessLine, WitnessReply};

/// Why a witness cannot be talked to at all.
pub type WitnessClientError = TlsError;

/// A client of one witness.
pub struct WitnessClient {
    url: String,
    agent: ureq::Agent,
}

impl WitnessClient {
    /// A client for a witness of the configuration.
    ///
    /// # Errors
    /// [`TlsError`] if its authority cannot be read.
    pub fn new(entry: &WitnessEntry) -> Result<Self, WitnessClientError> {
        let roots = match &entry.ca {
            Some(path) => tls::certificates(path)?,
            None => Vec::new(),
        };
        let certificate =
            |der: &CertificateDer<'static>| Certificate::from_der(der.as_ref()).to_owned();
        let roots: Vec<_> = roots.iter().map(certificate).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(tls::provider())
            .build();
        let wait = Duration::from_secs(entry.timeout.seconds().unsigned_abs());
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(wait))
            .build()
            .new_agent();
        Ok(Self { url: entry.url.clone(), agent })
    }

    /// The witness with a way to it.
    ///
    /// # Errors
    /// [`TlsError`] if its authority cannot be read.
    pub fn witness(entry: &WitnessEntry) -> Result<Witness, WitnessClientError> {
        let line = std::sync::Arc::new(Self::new(entry)?);
        Ok(Witness {
            name: entry.name.clone(),
            key: entry.key.clone(),
            required_at_start: entry.required_at_start,
            signing_waits: entry.signing_waits,
            line,
        })
    }

    fn read(
        &self,
        asked: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<WitnessReply, String> {
        let told = |refused: ureq::Error| format!("{}: {refused}", self.url);
        let mut response = asked.map_err(told)?;
        let media_type = response.headers().get("content-type");
        let media_type = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (status, media_type) = (response.status().as_u16(), media_type.to_owned());
        let most = u64::try_from(WITNESS_BYTES_MAX).unwrap_or(u64::MAX);
        let body = response.body_mut().with_config().limit(most).read_to_vec().map_err(told)?;
        Ok(WitnessReply { status, media_type, body })
    }
}

impl WitnessLine for WitnessClient {
    fn add_checkpoint(&self, request: &str) -> Result<WitnessReply, String> {
        let url = format!("{}/add-checkpoint", self.url);
        let post = self.agent.post(url).header("Content-Type", "text/plain; charset=utf-8");
        self.read(post.send(request))
    }

    fn newest(&self, origin_hash: &str) -> Result<WitnessReply, String> {
        self.read(self.agent.get(format!("{}/{origin_hash}/checkpoint", self.url)).call())
    }
}
