//! The load generator: HTTP/1.1 with keep-alive over TLS 1.3 with a client certificate, each
//! connection with one request at a time, all on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::support::{Installation, payment};

/// Numbers payments, so that no two are the same.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A load to be put on a daemon.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) gateway: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) seconds: Duration,
    /// Payments per second of all connections together; as fast as it goes if there is none.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
pub(crate) struct Measured {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Measured {
    pub(crate) fn payments(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * percent / 100.0).round() as usize;
        self.latencies[index].as_secs_f64() * 1000.0
    }
}

impl Load {
    pub(crate) fn run(&self, installation: &Installation) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connector = connector(installation);
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let mut senders = Vec::new();
            for _ in 0..self.connections {
                senders.push(connect(&connector, self.gateway).await);
            }
            let started = Instant::now();
            let pace =
                self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
            let clients: Vec<_> = senders
                .into_iter()
                .enumerate()
                .map(|(index, sender)| {
                    let offset = pace.unwrap_or_default().mul_f64(index as f64)
                        / u32::try_from(self.connections).unwrap();
                    let until = started + self.seconds;
                    tokio::task::spawn_local(client(sender, started + offset, pace, until))
                })
                .collect();
            let mut latencies = Vec::new();
            for client in clients {
                latencies.extend(client.await.unwrap());
            }
            let elapsed = started.elapsed();
            latencies.sort_unstable();
            Measured { latencies, elapsed }
        })
    }
}

/// Pays until the time is over. With a pace, latency counts from when the payment was due, so
/// that a daemon that stalls is not excused for what was not sent meanwhile.
async fn client(
    mut sender: SendRequest<Full<Bytes>>,
    first: Instant,
    pace: Option<Duration>,
    until: Instant,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut due = first;
    loop {
        if let Some(pace) = pace {
            tokio::time::sleep_until(due.into()).await;
            due += pace;
        } else {
            due = Instant::now();
        }
        let sent = if pace.is_some() { due - pace.unwrap() } else { due };
        if Instant::now() >= until {
            return latencies;
        }
        let id = format!("B{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let request = hyper::Request::post("/v1/payments")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("idempotency-key", &id)
            .body(Full::from(payment("0.01", &id).to_string()))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        latencies.push(sent.elapsed());
    }
}

fn connector(installation: &Installation) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let path = |name: &str| installation.path(name);
    for certificate in CertificateDer::pem_file_iter(path("tls/authority.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_file_iter(path("tls/shop.crt.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("tls/shop.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, gateway: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = tokio::net::TcpStream::connect(gateway).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, socket).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::task::spawn_local(connection);
    sender
}
