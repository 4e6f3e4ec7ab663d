//! Mail to people, seen by the server that takes it.

use crate::support::mailbox::{Mailbox, Manner};
use crate::support::{Installation, eventually, payment};

/// Routes of the denials of a caller to an address, over a server.
fn told(installation: &Installation, server: &Mailbox, more: &str) {
    let table = format!(
        "[notifications.mail]\nserver = \"localhost:{}\"\nsecurity = \"{}\"\n\
         ca = \"tls/authority.pem\"\nfrom = \"countersign@pay.test.example\"\n{more}",
        server.address.port(),
        if server.is_wrapped { "tls" } else { "none" },
    );
    let route = "[notifications.to.books]\ncaller = \"shop\"\nmail = \"books@shop.example\"\n\
                 events = [\"payment.denied\"]\n";
    installation.add_routes("", &[route.to_owned(), table]);
}

#[test]
fn a_denial_is_told_over_tls_with_what_a_person_needs() {
    let installation = Installation::new();
    let server = Mailbox::start(&installation, true, Manner::Takes);
    let password = installation.path("mail-password");
    std::fs::write(&password, "mail-secret-4711\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    told(&installation, &server, "user = \"pay\"\npassword_file = \"mail-password\"\n");
    let daemon = installation.start();
    let shop = installation.caller(&daemon, "shop");
    assert_eq!(shop.pay("FINE", &payment("0.01", "FINE")).status, 201);
    let mut asked = payment("50.01", "TOO-MUCH");
    asked["creditor"]["name"] = "Bäckerei <b>Sol</b>: \"Bcc\" x@y.example".into();
    assert_eq!(shop.pay("TOO-MUCH", &asked).status, 403);
    eventually("a mail came", || !server.mails().is_empty());
    let mails = server.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("countersign@pay.test.example", &["books@shop.example".to_owned()][..],)
    );
    let (head, _) = mail.data.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = head
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split_once(": ").unwrap().0)
        .collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "Auto-Submitted",
            "Content-Transfer-Encoding",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ],
        "{head}"
    );
    let text = mail.text();
    for line in ["Amount      50.01 EUR", "Creditor    Bäckerei <b>Sol</b>", "Reference   TOO-MUCH"]
    {
        assert!(text.contains(line), "{text}");
    }
    let log = std::fs::read_to_string(&daemon.log).unwrap();
    assert!(!log.contains("mail-secret-4711") && !mail.data.contains("mail-secret-4711"));
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_a_dead_mailbox_is_given_up() {
    for (manner, dead) in [(Manner::BusyAtFirst(2), 0), (Manner::NoSuchMailbox, 1)] {
        let installation = Installation::new();
        let server = Mailbox::start(&installation, false, manner);
        told(&installation, &server, "");
        let daemon = installation.start();
        let shop = installation.caller(&daemon, "shop");
        assert_eq!(shop.pay("TOO-MUCH", &payment("50.01", "TOO-MUCH")).status, 403);
        let letters = || -> serde_json::Value {
            let (_, text) = daemon.operations_text("/notifications");
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["dead_letters"].clone()
        };
        let count = |letters: serde_json::Value| letters.as_array().unwrap().len();
        eventually("it was told or given up", || {
            !server.mails().is_empty() || count(letters()) > 0
        });
        assert_eq!((count(letters()), server.mails().len()), (dead, 1 - dead), "{manner:?}");
        if dead > 0 {
            let reason = letters()[0]["reason"].as_str().unwrap().to_owned();
            assert!(reason.contains("550") || reason.contains("no such"), "{reason}");
        }
    }
}
