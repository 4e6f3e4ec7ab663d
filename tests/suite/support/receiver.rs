//! A gateway's receiver of webhooks: a small HTTPS server that answers as it is told, and checks
//! signatures by RFC 9421 with code of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Installation, eventually};

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Answers with this status.
    Status(u16),
    /// Answers 503 and asks to come again after so many seconds.
    Later(u32),
    /// Answers 307 to another path.
    Redirect,
    /// Takes the request and says nothing.
    Hang,
    /// Takes the request and hangs up.
    HangUp,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) at: Instant,
    pub(crate) reply: Reply,
}

/// What decides on a reply: the body, and how many requests came before.
type Manner = dyn Fn(&Value, usize) -> Reply + Send + Sync;

struct Shared {
    manner: Box<Manner>,
    requests: Mutex<Vec<Request>>,
    closed: AtomicBool,
    config: Arc<ServerConfig>,
}

/// A receiver that ends with its test.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// A port that nobody listens on, for now.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Receiver {
    /// One on a free port, that answers in this manner.
    pub(crate) fn start(
        installation: &Installation,
        manner: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(installation, closed_port(), manner)
    }

    pub(crate) fn start_at(
        installation: &Installation,
        address: SocketAddr,
        manner: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared {
            manner: Box::new(manner),
            requests: Mutex::default(),
            closed: AtomicBool::new(false),
            config: server_config(installation),
        });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (ours, stream) = (Arc::clone(&ours), stream.unwrap());
                std::thread::spawn(move || drop(serve(&ours, stream)));
            }
        });
        Self { address, shared }
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        url(self.address, path)
    }

    /// Everything that has come, in the order in which it came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// What was taken with a 2xx.
    pub(crate) fn taken(&self) -> Vec<Request> {
        let taken = |request: &Request| matches!(request.reply, Reply::Status(200..=299));
        self.requests().into_iter().filter(taken).collect()
    }

    /// Waits until so many were taken.
    pub(crate) fn takes(&self, count: usize) -> Vec<Request> {
        eventually(&format!("{count} are taken"), || self.taken().len() >= count);
        self.taken()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

pub(crate) fn url(address: SocketAddr, path: &str) -> String {
    format!("https://localhost:{}{path}", address.port())
}

/// TLS with the certificate of the test's server.
pub(crate) fn server_config(installation: &Installation) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(installation.path("tls/server.crt.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(installation.path("tls/server.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key);
    Arc::new(config.unwrap())
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(&shared.config)).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some((head, body)) = request(&mut stream)? {
        let reply = record(shared, &head, body);
        let answer = match reply {
            Reply::Status(status) => format!("HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nok"),
            Reply::Later(seconds) => {
                format!("HTTP/1.1 503 x\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n")
            }
            Reply::Redirect => {
                "HTTP/1.1 307 x\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            Reply::HangUp => return Ok(()),
            Reply::Hang => {
                while !shared.closed.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
        };
        stream.get_mut().write_all(answer.as_bytes())?;
        stream.get_mut().flush()?;
    }
    Ok(())
}

fn request(stream: &mut impl BufRead) -> std::io::Result<Option<(Vec<String>, String)>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Some((head, String::from_utf8(body).unwrap())))
}

fn record(shared: &Shared, head: &[String], body: String) -> Reply {
    let mut first = head[0].split(' ');
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers = head[1..].iter().map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    let headers = headers.collect();
    let mut requests = shared.requests.lock().unwrap();
    let reply = (shared.manner)(&serde_json::from_str(&body).unwrap(), requests.len());
    requests.push(Request { method, path, headers, body, at: Instant::now(), reply });
    reply
}

impl Request {
    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The event's id.
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    /// Checks digest and signature as a gateway would, from RFC 9421 and 9530 alone; `origin` is
    /// the scheme and authority that the receiver knows itself by, `keys` the published key set.
    pub(crate) fn verify(&self, origin: &str, keys: &Value) -> Result<(), String> {
        let field = |name: &str| {
            self.headers.get(name).map(String::as_str).ok_or(format!("there is no {name}"))
        };
        let digest = BASE64.encode(&Sha256::digest(self.body.as_bytes()));
        if field("content-digest")? != format!("sha-256=:{digest}:") {
            return Err("the digest is not that of the body".to_owned());
        }
        let params = field("signature-input")?.strip_prefix("sig1=").ok_or("no label")?;
        let (covered, rest) = params.split_once(')').ok_or("no list of components")?;
        let covered: Vec<&str> =
            covered.trim_start_matches('(').split(' ').map(|name| name.trim_matches('"')).collect();
        for needed in ["@method", "@target-uri", "content-type", "content-digest"] {
            if !covered.contains(&needed) {
                return Err(format!("{needed} is not covered"));
            }
        }
        let mut base = String::new();
        for name in covered {
            let value = match name {
                "@method" => self.method.clone(),
                "@target-uri" => format!("{origin}{}", self.path),
                other => field(other)?.to_owned(),
            };
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {params}"));
        let param = |name: &str| {
            let value = rest.split(';').find_map(|p| p.strip_prefix(&format!("{name}=")));
            value.map(|value| value.trim_matches('"')).ok_or(format!("there is no {name}"))
        };
        let keyid = param("keyid")?;
        let all = keys["keys"].as_array().unwrap();
        let key = all.iter().find(|key| key["kid"] == keyid).ok_or("the key is not published")?;
        let part = |name: &str| BASE64URL_NOPAD.decode(key[name].as_str().unwrap().as_bytes());
        let (algorithm, point): (&dyn VerificationAlgorithm, _) = match param("alg")? {
            "ecdsa-p256-sha256" if key["crv"] == "P-256" => (
                &ECDSA_P256_SHA256_FIXED,
                [vec![4], part("x").unwrap(), part("y").unwrap()].concat(),
            ),
            "ed25519" if key["crv"] == "Ed25519" => (&ED25519, part("x").unwrap()),
            other => return Err(format!("{other} is not the algorithm of {key}")),
        };
        let signature =
            field("signature")?.strip_prefix("sig1=:").and_then(|s| s.strip_suffix(':'));
        let signature = BASE64.decode(signature.ok_or("no signature")?.as_bytes()).unwrap();
        UnparsedPublicKey::new(algorithm, point)
            .verify(base.as_bytes(), &signature)
            .map_err(|_| format!("the signature is not over\n{base}"))?;
        if param("nonce")? != self.id() || param("tag")? != "countersign-notification" {
            return Err("nonce or tag is another".to_owned());
        }
        Ok(())
    }
}
