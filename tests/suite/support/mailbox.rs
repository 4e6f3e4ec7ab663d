//! A mail server that takes what it is sent, or does not (RFC 5321).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::{ServerConnection, StreamOwned};

use super::Installation;
use super::receiver::server_config;

/// What a server does with recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes them.
    Takes,
    /// Is busy for so many, then takes them.
    BusyAtFirst(usize),
    /// Knows none.
    NoSuchMailbox,
}

/// A mail as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

impl Mail {
    /// The text of the body, decoded.
    pub(crate) fn text(&self) -> String {
        let (head, body) = self.data.split_once("\r\n\r\n").unwrap();
        if head.contains("base64") {
            let body: String = body.split_whitespace().collect();
            let bytes = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
            return String::from_utf8(bytes).unwrap();
        }
        if !head.contains("quoted-printable") {
            return body.to_owned();
        }
        let joined = body.replace("=\r\n", "");
        let mut bytes = Vec::new();
        let mut rest = joined.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                b'=' => {
                    let digits = std::str::from_utf8(&rest[..2]).unwrap();
                    bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    rest = &rest[2..];
                }
                other => bytes.push(*other),
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}

struct Shared {
    manner: Manner,
    asked: AtomicUsize,
    mails: Mutex<Vec<Mail>>,
    closed: AtomicBool,
}

/// A server that ends with its test.
pub(crate) struct Mailbox {
    pub(crate) address: SocketAddr,
    pub(crate) is_wrapped: bool,
    shared: Arc<Shared>,
}

impl Mailbox {
    /// One on a free port, with TLS from the first byte or without.
    pub(crate) fn start(installation: &Installation, is_wrapped: bool, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            manner,
            asked: AtomicUsize::new(0),
            mails: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let (ours, config) = (Arc::clone(&shared), server_config(installation));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (ours, config, stream) =
                    (Arc::clone(&ours), Arc::clone(&config), stream.unwrap());
                std::thread::spawn(move || match is_wrapped {
                    true => {
                        let connection = ServerConnection::new(config).unwrap();
                        drop(converse(&ours, StreamOwned::new(connection, stream)));
                    }
                    false => drop(converse(&ours, stream)),
                });
            }
        });
        Self { address, is_wrapped, shared }
    }

    /// Everything that was taken.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn converse(shared: &Shared, stream: impl Read + Write) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut mail = Mail::default();
    say(&mut stream, "220 mail.test.example")?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let address = address.map(|(address, _)| address.to_owned()).unwrap_or_default();
        match line.split([' ', ':']).next().unwrap().to_ascii_uppercase().as_str() {
            "EHLO" => say(&mut stream, "250-mail.test.example\r\n250-8BITMIME\r\n250 AUTH PLAIN")?,
            "AUTH" => say(&mut stream, "235 good")?,
            "MAIL" => {
                mail = Mail { from: address, ..Mail::default() };
                say(&mut stream, "250 good")?;
            }
            "RCPT" => {
                let before = shared.asked.fetch_add(1, Ordering::SeqCst);
                match shared.manner {
                    Manner::NoSuchMailbox => say(&mut stream, "550 no such mailbox")?,
                    Manner::BusyAtFirst(busy) if before < busy => {
                        say(&mut stream, "451 come again later")?;
                    }
                    _ => {
                        mail.to.push(address);
                        say(&mut stream, "250 good")?;
                    }
                }
            }
            "DATA" => {
                say(&mut stream, "354 go on")?;
                mail.data = data(&mut stream)?;
                shared.mails.lock().unwrap().push(std::mem::take(&mut mail));
                say(&mut stream, "250 taken")?;
            }
            "QUIT" => return say(&mut stream, "221 bye"),
            _ => say(&mut stream, "250 good")?,
        }
    }
}

fn data(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn say(stream: &mut BufReader<impl Read + Write>, line: &str) -> std::io::Result<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
    stream.get_mut().flush()
}
