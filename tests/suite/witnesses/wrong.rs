//! Witnesses that are wrong: made by hand, they answer whatever they like.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Installation, Watcher, eventually, payment};

/// Listens until the test ends, and has each connection answered by `answer`.
fn listen(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (answer, count) = (Arc::new(answer), Arc::clone(&asked));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer(stream));
        }
    });
    (address, asked)
}

/// Reads a request to its end, then writes.
fn says(mut stream: TcpStream, response: &[u8]) {
    let mut request = vec![0; 65_536];
    drop(stream.set_read_timeout(Some(Duration::from_millis(300))));
    while stream.read(&mut request).is_ok_and(|read| read > 0) {}
    drop(stream.write_all(response));
}

fn response(status: &str, media_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[test]
fn a_witness_that_is_wrong_is_not_believed_and_stops_nothing() {
    let installation = Installation::new();
    let watcher = Watcher::over(&installation);
    // A line of the right name and id with a signature that is none.
    let id =
        data_encoding::HEXLOWER.decode(watcher.key.split('+').nth(1).unwrap().as_bytes()).unwrap();
    let line = |id: &[u8]| {
        let bytes = [id, &1_700_000_000_u64.to_be_bytes(), &[7; 64]].concat();
        format!("— witness.test.example/w1 {}\n", data_encoding::BASE64.encode(&bytes))
    };
    let (forged, foreign) = (line(&id), line(&[0; 4]));
    let text = "text/plain";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("forged", response("200 OK", text, &forged), "does not verify"),
        ("of another key", response("200 OK", text, &foreign), "is by the witness's key"),
        ("garbage", response("200 OK", "text/html", "<html>"), "is no signature"),
        ("no HTTP", b"SSH-2.0-OpenSSH\r\n".to_vec(), "cannot be reached"),
        ("nothing", Vec::new(), "cannot be reached"),
        ("huge", response("200 OK", text, &"x".repeat(1_000_000)), "cannot be reached"),
        ("no size", response("409 Conflict", "text/x.tlog.size", "many\n"), "says the size"),
        ("error", response("500 Oops", text, "down"), "answers 500"),
        ("elsewhere", response("302 Found\r\nLocation: /a", text, ""), "answers 302"),
    ];
    let entry = |address: SocketAddr| {
        format!(
            "[[witness]]\nname = \"second\"\nurl = \"http://{address}\"\nkey = \"{}\"\n\
             timeout = \"1s\"\n\n[log]",
            watcher.key
        )
    };
    let mut before = "[log]".to_owned();
    for (number, (name, response, expected)) in cases.into_iter().enumerate() {
        let (address, asked) = listen(move |stream| says(stream, &response));
        installation.edit("countersign.toml", &before, &entry(address));
        before = entry(address);
        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        let id = format!("A-{number}");
        assert_eq!(shop.pay(&id, &payment("1.00", &id)).status, 201, "{name}");
        eventually("it was asked and not believed", || {
            asked.load(Ordering::Relaxed) > 0 && super::figure(&daemon, "up") == Some(0)
        });
        assert_eq!(super::figure(&daemon, "cosigned"), Some(0), "{name}");
        let note = daemon.public_text("/log/checkpoint");
        assert!(!note.contains("witness.test.example"), "{name}: {note}");
        assert_eq!(daemon.public_status("/log/cosigned"), 404, "{name}");
        assert_eq!(daemon.operations_text("/health/ready").0, 200, "{name}");
        let log = std::fs::read_to_string(&daemon.log).unwrap();
        assert!(log.contains(expected), "{name}: {log}");
        std::fs::remove_file(&daemon.log).unwrap();
        drop(shop);
        assert_eq!(daemon.stop(), Some(0), "{name}");
    }
}

#[test]
fn a_witness_that_is_slow_is_waited_for_within_its_time() {
    let installation = Installation::new();
    let watcher = Watcher::over(&installation);
    // It drips its answer for as long as it is listened to.
    let (address, asked) = listen(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"));
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let entry = format!(
        "[[witness]]\nname = \"second\"\nurl = \"http://{address}\"\nkey = \"{}\"\n\
         timeout = \"1s\"\n\n[log]",
        watcher.key
    );
    installation.edit("countersign.toml", "[log]", &entry);
    let daemon = installation.start();
    assert!(asked.load(Ordering::Relaxed) > 0, "it was asked before the start");
    let shop = installation.caller(&daemon, "shop");
    for number in 0..20 {
        let id = format!("A-{number}");
        assert_eq!(shop.pay(&id, &payment("1.00", &id)).status, 201);
    }
    eventually("it is given up", || super::figure(&daemon, "up") == Some(0));
    drop(shop);
    assert_eq!(daemon.stop(), Some(0));
}
