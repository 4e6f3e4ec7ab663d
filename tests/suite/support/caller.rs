//! A gateway, or whoever pretends to be one.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::Identity;

/// A client with keep-alive connections of its own.
#[derive(Clone)]
pub(crate) struct Caller {
    agent: ureq::Agent,
    base: String,
}

/// What it was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    /// A text of the body.
    pub(crate) fn str(&self, pointer: &str) -> &str {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text {pointer} in {self:?}"))
    }

    /// The JWS of a signed payment.
    pub(crate) fn jws(&self) -> &str {
        assert!(matches!(self.status, 200 | 201), "{self:?}");
        self.str("/jws")
    }
}

impl Caller {
    /// A client that trusts `authority`, shows `identity`, and talks to `address`.
    pub(crate) fn new(authority: &Path, identity: Option<&Identity>, address: SocketAddr) -> Self {
        let certificate =
            |path: &Path| Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap();
        let shown = identity.map(|identity| {
            let key = std::fs::read(&identity.private_key).unwrap();
            let key = PrivateKey::from_pem(&key).unwrap();
            ClientCert::new_with_certs(&[certificate(&identity.certificate)], key)
        });
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[certificate(authority)]))
            .client_cert(shown)
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(provider))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)))
            .build()
            .new_agent();
        Self { agent, base: format!("https://localhost:{}", address.port()) }
    }

    /// Submits a payment; panics if there is no answer.
    pub(crate) fn pay(&self, idempotency_key: &str, payment: &Value) -> Answer {
        self.try_pay(idempotency_key, payment).unwrap()
    }

    /// Submits a payment.
    pub(crate) fn try_pay(&self, key: &str, payment: &Value) -> Result<Answer, ureq::Error> {
        self.post("/v1/payments", &[("Idempotency-Key", key)], &payment.to_string())
    }

    /// Posts JSON text with headers.
    pub(crate) fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        self.post_as(path, &headers, body.as_bytes())
    }

    /// Posts anything with headers.
    pub(crate) fn post_as(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send(body).and_then(read)
    }

    /// Opens a stream of events; its lines, or the answer if it was refused.
    pub(crate) fn events(&self, last: Option<&str>) -> Result<impl BufRead + use<>, Box<Answer>> {
        let mut request = self.agent.get(format!("{}/v1/events", self.base));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.call().unwrap();
        match response.status().as_u16() {
            200 => Ok(BufReader::new(response.into_body().into_reader())),
            _ => Err(Box::new(read(response).unwrap())),
        }
    }

    /// Gets; panics if there is no answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    /// Gets.
    pub(crate) fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.agent.get(format!("{}{path}", self.base)).call().and_then(read)
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (media_type, location) = (header("content-type"), header("location"));
    let retry_after = header("retry-after");
    let bytes = response.body_mut().read_to_vec()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer {
        status: response.status().as_u16(),
        media_type: media_type.unwrap_or_default(),
        location,
        retry_after,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    })
}
