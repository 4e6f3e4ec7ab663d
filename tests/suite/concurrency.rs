//! Many at once: one id is one payment, limits hold to the cent, who hangs up loses nothing.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Answer, Daemon, Dice, Installation, eventually, payment};

const CLIENTS: usize = 64;

/// Every client in a thread with a connection of its own; all submit at the same moment.
fn at_once(
    installation: &Installation,
    daemon: &Daemon,
    submit: impl Fn(&crate::support::Caller, usize) -> Vec<Answer> + Sync,
) -> Vec<Answer> {
    let start = std::sync::Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (start, submit) = (&start, &submit);
                scope.spawn(move || {
                    let shop = installation.caller(daemon, "shop");
                    shop.get("/v1/keys");
                    start.wait();
                    submit(&shop, client)
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

#[test]
fn sixty_four_clients_with_one_id_get_one_payment_and_identical_answers() {
    let installation = Installation::new();
    let daemon = installation.start();
    let answers = at_once(&installation, &daemon, |shop, _| {
        vec![shop.pay("the-one", &payment("10.00", "INV-1"))]
    });
    assert_eq!(answers[0].status, 201, "{:?}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let limits = installation.caller(&daemon, "shop").get("/v1/keys/settlement-eur/limits");
    assert_eq!(limits.body["limits"][1]["posted"], "10.00");
    assert_eq!(limits.body["limits"][1]["pending"], "0.00");
}

#[test]
fn sixty_four_clients_asking_for_thrice_the_limit_get_the_limit_to_the_cent() {
    let installation = Installation::with_limits(
        r#"[
  { name = "single", window = "payment", amount = "50.00" },
  { name = "day", window = "24h", amount = "200.00" },
]"#,
    );
    let daemon = installation.start();
    // 64 clients, 15 payments each, 0.63 each: 604.80 against 200.00.
    let answers = at_once(&installation, &daemon, |shop, client| {
        (0..15)
            .map(|n| {
                let id = format!("INV-{client}-{n}");
                shop.pay(&id, &payment("0.63", &id))
            })
            .collect()
    });
    let signed: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    let denied = answers.iter().filter(|answer| answer.status == 403).count();
    assert_eq!(signed.len() + denied, CLIENTS * 15);
    assert_eq!(signed.len(), 317, "317 payments of 0.63 are 199.71, one more would be 200.34");
    let distinct: BTreeSet<&str> = signed.iter().map(|answer| answer.jws()).collect();
    assert_eq!(distinct.len(), signed.len());
    let limits = installation.caller(&daemon, "shop").get("/v1/keys/settlement-eur/limits");
    assert_eq!(limits.body["limits"][1]["posted"], "199.71");
    assert_eq!(limits.body["limits"][1]["free"], "0.29");
}

/// A client that writes as much of a request as it is told to, and hangs up.
fn hang_up_after(installation: &Installation, daemon: &Daemon, request: &[u8], wait: Duration) {
    let mut roots = RootCertStore::empty();
    let pem = |name: &str| installation.path(name);
    for certificate in CertificateDer::pem_file_iter(pem("tls/authority.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let shown = CertificateDer::pem_file_iter(pem("tls/shop.crt.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pem("tls/shop.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(shown.map(Result::unwrap).collect(), key)
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(daemon.gateway).unwrap();
    connection.complete_io(&mut socket).unwrap();
    socket.set_read_timeout(Some(wait)).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    // Reads for as long as it is patient; the answer may or may not arrive.
    drop(stream.read(&mut [0; 1]));
    drop(stream.sock.shutdown(std::net::Shutdown::Both));
}

#[test]
fn a_client_that_hangs_up_at_any_moment_leaves_nothing_stuck() {
    let installation = Installation::new();
    let daemon = installation.start();
    let mut dice = Dice::thrown();
    let mut asked = Vec::new();
    for n in 0..60 {
        let id = format!("INV-{n}");
        let body = payment("0.10", &id).to_string();
        let request = format!(
            "POST /v1/payments HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {id}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let whole = u64::try_from(request.len()).unwrap();
        let cut = if dice.roll(3) == 0 { dice.roll(whole) + 1 } else { whole };
        let wait = Duration::from_micros(1 + dice.roll(20_000));
        let written = &request.as_bytes()[..usize::try_from(cut).unwrap()];
        hang_up_after(&installation, &daemon, written, wait);
        asked.push(id);
    }
    let shop = installation.caller(&daemon, "shop");
    let limits = || shop.get("/v1/keys/settlement-eur/limits");
    eventually("no payment is pending", || limits().body["limits"][1]["pending"] == "0.00");
    for id in &asked {
        let answer = shop.pay(id, &payment("0.10", id));
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(shop.pay(id, &payment("0.10", id)), answer);
    }
    assert_eq!(limits().body["limits"][1]["posted"], "6.00", "each was paid once");
}

#[test]
fn more_than_may_wait_is_refused_at_once_and_may_come_again() {
    let installation = Installation::new();
    installation.edit("countersign.toml", "pin_file", "queue = 1\npin_file");
    let daemon = installation.start();
    let answers = at_once(&installation, &daemon, |shop, client| {
        (0..20)
            .map(|n| {
                let id = format!("INV-{client}-{n}");
                let mut answer = shop.pay(&id, &payment("0.01", &id));
                while answer.status == 429 {
                    assert_eq!(answer.str("/rule"), "overload");
                    assert_eq!(answer.retry_after.as_deref(), Some("1"));
                    answer = shop.pay(&id, &payment("0.01", &id));
                }
                answer
            })
            .collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 201));
    let (_, metrics) = daemon.operations_text("/metrics");
    let overload = metrics.lines().find(|line| line.contains("rule=\"overload\""));
    assert!(overload.is_some(), "nobody was ever refused, so nothing was shown:\n{metrics}");
}
