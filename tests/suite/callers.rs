//! Who is let in: client certificates, from the handshake to the end of a long-lived connection.

use std::process::Command;
use std::time::Duration;

use crate::support::{Authority, Caller, Identity, Installation, eventually, payment};

fn caller_as(installation: &Installation, shown: Option<&Identity>, port: &str) -> Caller {
    let address = port.parse().unwrap();
    Caller::new(&installation.path("tls/authority.pem"), shown, address)
}

#[test]
fn only_certificates_that_show_a_caller_pass_the_handshake() {
    let installation = Installation::new();
    let tls = installation.path("tls");
    let foreign = Authority::new(&tls, "foreign").caller("shop-of-foreign");
    let expired = installation.authority.expired_caller("shop");
    let stranger = installation.authority.caller("stranger");
    let server = installation.authority.server("server-as-client");
    let revoked = installation.authority.caller("batch");
    installation.authority.revoke(&installation.path("tls/revoked.pem"), &[&revoked]);
    let daemon = installation.start();
    let gateway = daemon.gateway.to_string();
    for (who, shown) in [
        ("nobody", None),
        ("a foreign authority", Some(&foreign)),
        ("an expired certificate", Some(&expired)),
        ("a certificate of no caller", Some(&stranger)),
        ("a server certificate", Some(&server)),
        ("a revoked certificate", Some(&revoked)),
    ] {
        let answer = caller_as(&installation, shown, &gateway).try_get("/v1/keys");
        assert!(answer.is_err(), "{who} was let in: {answer:?}");
    }
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.get("/v1/keys").status, 200);
}

#[test]
fn a_caller_may_be_known_by_the_fingerprint_of_its_certificate() {
    let installation = Installation::new();
    let pinned = installation.authority.caller("pinned");
    let other = installation.authority.caller("other");
    let digest = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&pinned.certificate)
        .output()
        .unwrap();
    let text = String::from_utf8(digest.stdout).unwrap();
    let (_, fingerprint) = text.trim().split_once('=').unwrap();
    let certificate = format!("certificates = [\"sha256:{fingerprint}\"]");
    let by_uri = "certificates = [\"uri:spiffe://test.example/batch\"]";
    installation.edit("policy.toml", by_uri, &certificate);
    let daemon = installation.start();
    let gateway = daemon.gateway.to_string();
    let known = caller_as(&installation, Some(&pinned), &gateway);
    assert_eq!(known.pay("key-1", &payment("1.00", "INV-1")).status, 201);
    assert!(caller_as(&installation, Some(&other), &gateway).try_get("/v1/keys").is_err());
}

#[test]
fn a_revoked_certificate_ends_a_living_connection_too() {
    let installation = Installation::new();
    let held = installation.authority.caller("batch");
    let daemon = installation.start();
    let batch = installation.caller(&daemon, "batch");
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(batch.pay("key-1", &payment("1.00", "INV-1")).status, 201);

    installation.authority.revoke(&installation.path("tls/revoked.pem"), &[&held]);

    let mut last = None;
    eventually("the revoked caller is turned away", || match batch.try_get("/v1/keys") {
        Ok(answer) if answer.status == 200 => false,
        turned_away => {
            last = Some(turned_away);
            true
        }
    });
    let answer = last.unwrap().expect("a living connection gets an answer");
    assert_eq!((answer.status, answer.str("/rule")), (401, "certificate"), "{answer:?}");
    assert!(batch.try_get("/v1/keys").is_err(), "and no new connection");
    assert_eq!(shop.get("/v1/keys").status, 200, "others are not affected");

    std::fs::write(installation.path("tls/revoked.pem"), "no list").unwrap();
    eventually("without a list nobody is let in", || {
        installation.caller(&daemon, "shop").try_get("/v1/keys").is_err()
    });
    let (status, ready) = daemon.operations_text("/health/ready");
    assert!(status == 503 && ready.contains("revocation list"), "{status} {ready}");
    installation.authority.revoke(&installation.path("tls/revoked.pem"), &[&held]);
    eventually("with a list they are let in again", || {
        installation.caller(&daemon, "shop").try_get("/v1/keys").is_ok()
    });
    assert_eq!(daemon.operations_text("/health/ready").0, 200);
}

#[test]
fn a_certificate_that_expires_ends_a_living_connection() {
    let installation = Installation::new();
    let daemon = installation.start();
    let brief = installation.authority.caller_for("shop", Duration::from_secs(6));
    let shop = caller_as(&installation, Some(&brief), &daemon.gateway.to_string());
    assert_eq!(shop.get("/v1/keys").status, 200);
    let mut last = None;
    eventually("the expired caller is turned away", || match shop.try_get("/v1/keys") {
        Ok(answer) if answer.status == 200 => false,
        turned_away => {
            last = Some(turned_away);
            true
        }
    });
    let answer = last.unwrap().expect("a living connection gets an answer");
    assert_eq!((answer.status, answer.str("/rule")), (401, "certificate"), "{answer:?}");
    assert!(shop.try_get("/v1/keys").is_err(), "and no new connection");
}

/// curl is somebody else's client: it shows which versions and protocols are spoken.
fn curl(installation: &Installation, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--write-out", " %{http_version} %{http_code}"])
        .arg("--cacert")
        .arg(installation.path("tls/authority.pem"))
        .arg("--cert")
        .arg(installation.path("tls/shop.crt.pem"))
        .arg("--key")
        .arg(installation.path("tls/shop.key.pem"))
        .args(arguments)
        .output()
        .expect("curl; `make deps` installs it");
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_gateway_speaks_tls_1_3_and_both_versions_of_http() {
    let installation = Installation::new();
    let daemon = installation.start();
    let gateway = format!("https://localhost:{}/v1/keys", daemon.gateway.port());
    let public = format!("https://localhost:{}/.well-known/jwks.json", daemon.public.port());
    for (arguments, ends) in [
        (vec!["--http1.1", &gateway], Some(" 1.1 200")),
        (vec!["--http2", &gateway], Some(" 2 200")),
        (vec!["--tls-max", "1.2", &gateway], None),
        (vec!["--http2", &public], Some(" 2 200")),
        (vec!["--tls-max", "1.2", &public], Some(" 2 200")),
        (vec!["--tls-max", "1.1", &public], None),
    ] {
        let (passed, told) = curl(&installation, &arguments);
        match ends {
            Some(ends) => assert!(passed && told.ends_with(ends), "{arguments:?}: {told}"),
            None => assert!(!passed, "{arguments:?}: {told}"),
        }
    }
}

#[test]
fn oversized_heads_are_refused_and_idle_handshakes_do_not_block_others() {
    let installation = Installation::new();
    let daemon = installation.start();
    let gateway = format!("https://localhost:{}/v1/keys", daemon.gateway.port());
    let large = format!("X-Large: {}", "x".repeat(20_000));
    let many: Vec<String> = (0..80).map(|n| format!("X-{n}: x")).collect();
    let large = vec!["--http1.1", "-H", &large, &gateway];
    let mut too_many = vec!["--http1.1", &gateway];
    for header in &many {
        too_many.extend(["-H", header]);
    }
    for arguments in [large, too_many] {
        let (_, told) = curl(&installation, &arguments);
        assert!(told.ends_with(" 431"), "{told}");
    }
    let idle: Vec<_> =
        (0..50).map(|_| std::net::TcpStream::connect(daemon.gateway).unwrap()).collect();
    assert_eq!(installation.caller(&daemon, "shop").get("/v1/keys").status, 200);
    drop(idle);
}
