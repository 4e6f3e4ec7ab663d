//! The log, seen from outside: what is decided is on it, and software that is not ours can check
//! it with public keys alone.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Daemon, Installation, eventually, payment};

/// Verifies a log without anything of ours: fetches checkpoint, tiles and leaves, recomputes the
/// root by the recursive definition of RFC 6962 section 2.1, and has OpenSSL verify the note.
const OUTSIDER: &str = r#"
import base64, hashlib, json, ssl, struct, subprocess, sys, urllib.request
base, authority, scratch = sys.argv[1:4]
trust = ssl.create_default_context(cafile=authority)
def get(path):
    return urllib.request.urlopen(base + path, context=trust).read()
def sha(b):
    return hashlib.sha256(b).digest()
key = get("/log/key").decode().strip()
text, signatures = get("/log/checkpoint").decode().split("\n\n")
origin, size, root = text.split("\n")[:3]
size = int(size)
name, number, encoded = key.split("+", 2)
public = base64.b64decode(encoded)
assert name == origin and public[0] == 1, key
assert sha(name.encode() + b"\n" + public)[:4].hex() == number
line = [l for l in signatures.split("\n") if l.startswith("\u2014 " + origin + " ")][0]
signature = base64.b64decode(line.split(" ")[2])
assert signature[:4].hex() == number
open(scratch + "/text", "w").write(text + "\n")
open(scratch + "/sig", "wb").write(signature[4:])
open(scratch + "/pub", "wb").write(bytes.fromhex("302a300506032b6570032100") + public[1:])
subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey",
    scratch + "/pub", "-rawin", "-in", scratch + "/text", "-sigfile", scratch + "/sig"],
    check=True, stdout=subprocess.DEVNULL)
def number_path(n):
    parts = []
    while True:
        parts.insert(0, "%03d" % (n % 1000)); n //= 1000
        if not n: break
    return "/".join(["x" + p for p in parts[:-1]] + parts[-1:])
leaves, hashes = [], []
for tile in range((size + 255) // 256):
    width = min(256, size - tile * 256)
    partial = "" if width == 256 else ".p/%d" % width
    bundle = get("/log/tile/entries/" + number_path(tile) + partial)
    while bundle:
        (length,) = struct.unpack(">H", bundle[:2])
        leaves.append(bundle[2:2 + length]); bundle = bundle[2 + length:]
    level = get("/log/tile/0/" + number_path(tile) + partial)
    hashes += [level[i:i + 32] for i in range(0, len(level), 32)]
assert len(leaves) == size == len(hashes), (len(leaves), len(hashes), size)
assert [sha(b"\0" + leaf) for leaf in leaves] == hashes
def mth(d):
    if len(d) == 1: return d[0]
    k = 1
    while k * 2 < len(d): k *= 2
    return sha(b"\1" + mth(d[:k]) + mth(d[k:]))
assert base64.b64encode(mth(hashes)).decode() == root, "the root differs"
if size >= 512:
    above = get("/log/tile/1/000.p/%d" % (size // 256))
    assert [above[i:i + 32] for i in range(0, len(above), 32)] == \
        [mth(hashes[i:i + 256]) for i in range(0, size // 256 * 256, 256)]
print(json.dumps([json.loads(leaf) for leaf in leaves]))
"#;

/// The leaves of a daemon's log, as an outsider reads and verifies them.
fn verified(installation: &Installation, daemon: &Daemon) -> Vec<Value> {
    let scratch = installation.path("outsider");
    drop(std::fs::create_dir(&scratch));
    let output = Command::new("python3")
        .args(["-c", OUTSIDER, &format!("https://localhost:{}", daemon.public.port())])
        .args([&installation.path("tls/authority.pem"), &scratch])
        .output()
        .expect("python3; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How many leaves the newest checkpoint covers.
fn covered(daemon: &Daemon) -> u64 {
    if daemon.public_status("/log/checkpoint") == 404 {
        return 0;
    }
    let note = daemon.public_text("/log/checkpoint");
    note.lines().nth(1).unwrap().parse().unwrap()
}

fn of_kind<'a>(leaves: &'a [Value], kind: &str) -> Vec<&'a Value> {
    leaves.iter().filter(|leaf| leaf["kind"] == kind).collect()
}

#[test]
fn every_decision_is_on_a_log_that_foreign_software_verifies() {
    let installation = Installation::new();
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    let signed = shop.pay("A-1", &payment("12.34", "A-1"));
    assert_eq!(signed.status, 201);
    assert_eq!(shop.pay("A-1", &payment("12.34", "A-1")), signed);
    let denied = shop.pay("A-2", &payment("99.00", "A-2"));
    assert_eq!((denied.status, denied.str("/rule")), (403, "limit_exceeded"));
    assert_eq!(shop.pay("A-3", &json!({ "key": "settlement-eur" })).status, 422);
    // One start; accepted and signed; denied.
    eventually("four leaves are covered", || covered(&daemon) == 4);
    let leaves = verified(&installation, &daemon);
    let kinds: Vec<&str> = leaves.iter().map(|leaf| leaf["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "accepted", "signed", "denied"]);
    for leaf in [&leaves[1], &leaves[2]] {
        assert_eq!(leaf["payment"], signed.str("/id"));
        assert_eq!((&leaf["amount"], &leaf["currency"]), (&json!("12.34"), &json!("EUR")));
    }
    assert_eq!(leaves[3]["payment"], denied.str("/payment_id"));
    assert_eq!(leaves[3]["denial"]["limit"], "single");
    assert_eq!(daemon.stop(), Some(0));

    // What was refused without a decision is summed up, at the latest when the daemon stops.
    let daemon = installation.start();
    eventually("the second start is covered", || covered(&daemon) == 7);
    let leaves = verified(&installation, &daemon);
    let sum = of_kind(&leaves, "unserved")[0];
    assert_eq!((&sum["caller"], &sum["refusals"]), (&json!("shop"), &json!({"malformed": "1"})));
    assert_eq!(leaves[5]["kind"], "stopped");
    assert_eq!((&leaves[6]["kind"], &leaves[6]["leaves"]), (&json!("started"), &json!("6")));
}

#[test]
fn a_log_of_several_tiles_is_verified_after_kills_in_its_middle() {
    let installation = Installation::new();
    let mut paid = 0;
    for round in 0..3 {
        let daemon = installation.start();
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (daemon, installation) = (&daemon, &installation);
                scope.spawn(move || {
                    let shop = installation.caller(daemon, "shop");
                    for n in 0..60 {
                        let id = format!("R-{round}-{client}-{n}");
                        assert_eq!(shop.pay(&id, &payment("0.01", &id)).status, 201);
                    }
                });
            }
        });
        paid += 240;
        daemon.kill();
    }
    let daemon = installation.start();
    let leaves = u64::try_from(2 * paid + 4).unwrap();
    eventually("everything is covered", || covered(&daemon) == leaves);
    let leaves = verified(&installation, &daemon);
    let ids = |kind: &str| {
        let of = of_kind(&leaves, kind);
        let ids: std::collections::BTreeSet<_> = of.iter().map(|l| l["payment"].as_str()).collect();
        assert_eq!(ids.len(), of.len(), "each once");
        ids.len()
    };
    assert_eq!((ids("accepted"), ids("signed")), (paid, paid));
}

#[test]
fn what_the_newest_checkpoint_does_not_cover_is_not_shown() {
    let installation = Installation::new();
    let daemon = installation.start();
    eventually("the start is covered", || covered(&daemon) == 1);
    for (path, status) in [
        ("/log/tile/0/000.p/1", 200),
        ("/log/tile/entries/000.p/1", 200),
        ("/log/tile/0/000.p/2", 404),
        ("/log/tile/0/000", 404),
        ("/log/tile/0/001.p/1", 404),
        ("/log/tile/1/000.p/1", 404),
        ("/log/tile/0/0.p/1", 404),
        ("/log/tile/64/000.p/1", 404),
        ("/log/tile/entries/000.p/0", 404),
        ("/log/tile/entries", 404),
        ("/log/tile/../../etc/passwd", 404),
    ] {
        assert_eq!(daemon.public_status(path), status, "{path}");
    }
}

#[test]
fn a_signed_payment_has_a_receipt_and_nothing_else_has() {
    let installation = Installation::new();
    let daemon = installation.start();
    let (shop, batch) =
        (installation.caller(&daemon, "shop"), installation.caller(&daemon, "batch"));
    let signed = shop.pay("A-1", &payment("12.34", "A-1"));
    let denied = shop.pay("A-2", &payment("99.00", "A-2"));
    let path = format!("/v1/payments/{}/receipt", signed.str("/id"));
    let receipt = shop.get(&path);
    assert_eq!(receipt.status, 200, "{receipt:?}");
    assert_eq!(receipt.body["jws"], signed.jws());
    for (member, kind) in [("decision", "accepted"), ("outcome", "signed")] {
        let text = receipt.body[member]["leaf"].as_str().unwrap();
        let leaf: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&leaf["kind"], &leaf["payment"]), (&json!(kind), &signed.body["id"]));
    }
    // It is the caller's own, and a decision "no" has none.
    assert_eq!(batch.get(&path).status, 404);
    let denied = format!("/v1/payments/{}/receipt", denied.str("/payment_id"));
    assert_eq!(shop.get(&denied).status, 404);
}
