//! The load generator: HTTP/1.1 with keep-alive over TLS 1.3 with a client certificate, each
//! connection with one request at a time, all on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
    /// How long those waited who were told to come again later.
    refusals: Vec<Duration>,
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
        percentile_ms(&self.latencies, percent)
    }

    /// Share of the requests that were refused, in percent.
    pub(crate) fn refused(&self) -> f64 {
        let all = self.refusals.len() + self.latencies.len();
        self.refusals.len() as f64 * 100.0 / all as f64
    }

    pub(crate) fn refusal_percentile_ms(&self, percent: f64) -> f64 {
        percentile_ms(&self.refusals, percent)
    }
}

fn percentile_ms(sorted: &[Duration], percent: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * percent / 100.0).round() as usize;
    sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

impl Load {
    pub(crate) fn run(&self, installation: &Installation) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connector = connector(installation);
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let mut connections = Vec::new();
            for _ in 0..self.connections {
                connections.push(connect(&connector, self.gateway).await);
            }
            let started = Instant::now();
            let pace =
                self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
            let clients: Vec<_> = connections
                .into_iter()
                .enumerate()
                .map(|(index, connection)| {
                    let offset = pace.unwrap_or_default().mul_f64(index as f64)
                        / u32::try_from(self.connections).unwrap();
                    let until = started + self.seconds;
                    tokio::task::spawn_local(client(connection, started + offset, pace, until))
                })
                .collect();
            let (mut latencies, mut refusals) = (Vec::new(), Vec::new());
            for client in clients {
                let (accepted, refused) = client.await.unwrap();
                latencies.extend(accepted);
                refusals.extend(refused);
            }
            let elapsed = started.elapsed();
            latencies.sort_unstable();
            refusals.sort_unstable();
            Measured { latencies, refusals, elapsed }
        })
    }
}

/// Pays until the time is over. With a pace, latency counts from when the payment was due, so
/// that a daemon that stalls is not excused for what was not sent meanwhile.
async fn client(
    mut connection: Connection,
    first: Instant,
    pace: Option<Duration>,
    until: Instant,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut latencies, mut refusals) = (Vec::new(), Vec::new());
    let mut due = first;
    loop {
        match pace {
            Some(pace) => {
                tokio::time::sleep_until(due.into()).await;
                due += pace;
            }
            None => due = Instant::now(),
        }
        let sent = due - pace.unwrap_or_default();
        if Instant::now() >= until {
            return (latencies, refusals);
        }
        match connection.pay(NEXT.fetch_add(1, Ordering::Relaxed)).await {
            true => latencies.push(sent.elapsed()),
            false => {
                refusals.push(sent.elapsed());
                // Far sooner than the second that it was told to wait.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A connection that speaks just enough HTTP/1.1 to be cheap: the machine is the daemon's.
struct Connection {
    stream: TlsStream<TcpStream>,
    /// The request, with ten digits where its number goes.
    request: Vec<u8>,
    places: Vec<usize>,
    answer: Vec<u8>,
}

impl Connection {
    fn new(stream: TlsStream<TcpStream>) -> Self {
        const NUMBER: &str = "0000000000";
        let body = payment("0.01", &format!("B{NUMBER}")).to_string();
        let request = format!(
            "POST /v1/payments HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             idempotency-key: B{NUMBER}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let places = request.match_indices(NUMBER).map(|(at, _)| at).collect();
        Self { stream, request: request.into_bytes(), places, answer: vec![0; 16 * 1024] }
    }

    /// Whether it was signed, not told to come again later.
    async fn pay(&mut self, number: u64) -> bool {
        let digits = format!("{number:010}");
        for at in &self.places {
            self.request[*at..*at + digits.len()].copy_from_slice(digits.as_bytes());
        }
        self.stream.write_all(&self.request).await.unwrap();
        let mut filled = 0;
        loop {
            filled += self.stream.read(&mut self.answer[filled..]).await.unwrap();
            let answer = &self.answer[..filled];
            let Some(head) = find(answer, b"\r\n\r\n") else { continue };
            let at = find(answer, b"content-length: ").expect("a length") + 16;
            let end = at + find(&answer[at..], b"\r").unwrap();
            let length: usize = std::str::from_utf8(&answer[at..end]).unwrap().parse().unwrap();
            if filled == head + 4 + length {
                let signed = answer.starts_with(b"HTTP/1.1 201");
                let later = answer.starts_with(b"HTTP/1.1 429");
                assert!(signed || later, "{}", String::from_utf8_lossy(answer));
                return signed;
            }
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
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

async fn connect(connector: &TlsConnector, gateway: SocketAddr) -> Connection {
    let socket = TcpStream::connect(gateway).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    Connection::new(connector.connect(name, socket).await.unwrap())
}
