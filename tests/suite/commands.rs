//! The commands as a person or a script meets them: what they print and what they end with.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::installation::{COUNTERSIGN, MODULE, PIN, WIDE};
use crate::support::{Daemon, Installation, payment};

const DEPLOYMENT: &str = "countersign.toml";

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// Runs a command line, with a text on its standard input. The PIN is never printed.
    fn to(installation: &Installation, arguments: &[&str], input: &str) -> Self {
        let mut command = Command::new("timeout");
        command.args(["60", COUNTERSIGN]).args(arguments).envs(installation.environment());
        command.env("PKCS11SPY", MODULE).env("PKCS11SPY_OUTPUT", installation.path("calls"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever does not read its input may be gone already.
        drop(child.stdin.take().expect("a pipe").write_all(input.as_bytes()));
        let ended = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = ended.status.code().expect("an exit code");
        let said = Self { code, out: text(ended.stdout), err: text(ended.stderr) };
        assert!(!said.out.contains(PIN) && !said.err.contains(PIN), "the PIN: {said:?}");
        said
    }

    /// Fails unless it ended like this and told all of that.
    fn expect(self, code: i32, told: &[&str]) -> Self {
        assert_eq!(self.code, code, "{told:?}: {self:?}");
        for part in told {
            let found = self.out.contains(part) || self.err.contains(part);
            assert!(found, "{part:?} is not told: {self:?}");
        }
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// An installation with these limits whose daemon the commands know.
fn served(limits: &str) -> (Installation, Daemon) {
    let installation = Installation::with_limits(limits);
    let daemon = installation.start();
    installation.write_client(&daemon);
    (installation, daemon)
}

/// Runs a command line of plain words.
fn run(installation: &Installation, line: &str) -> Said {
    Said::to(installation, &line.split(' ').collect::<Vec<_>>(), "")
}

/// Runs `pay` for the payment that [`payment`] makes.
fn pay(installation: &Installation, reference: &str, line: &str) -> Said {
    let fixed = "pay --key settlement-eur --currency EUR --iban ES9121000418450200051332";
    let mut arguments: Vec<&str> = fixed.split(' ').collect();
    arguments.extend(["--creditor-name", "Bakery Sol", "--end-to-end-id", reference]);
    arguments.extend(line.split(' '));
    Said::to(installation, &arguments, "")
}

/// The limits of the key without the time at which they were looked at.
fn limits(installation: &Installation) -> Value {
    run(installation, "limits settlement-eur --json").expect(0, &[]).json()[0]["limits"].take()
}

/// The thumbprint that the deployment pins.
fn pinned(installation: &Installation) -> String {
    let found = run(installation, "keys list --json").expect(0, &[]).json();
    found[1]["thumbprint"].as_str().expect("a thumbprint").to_owned()
}

#[test]
fn a_payment_is_told_in_full_and_a_retry_tells_the_same() {
    let (installation, daemon) = served(WIDE);
    let shop = installation.caller(&daemon, "shop");

    let said = pay(&installation, "INV-1", "--amount 12.34 --idempotency-key K-1");
    let answer = shop.pay("K-1", &payment("12.34", "INV-1"));
    let (id, jws) = (answer.str("/id"), answer.jws());
    let told = ["signed  12.34 EUR to Bakery Sol (INV-1)\n", id, "K-1", answer.str("/kid"), jws];
    assert_eq!(said.expect(0, &told).err, "");
    let again = pay(&installation, "INV-1", "--amount 12.34 --idempotency-key K-1 --json");
    assert_eq!(again.expect(0, &[]).json(), answer.body);

    let drawn = pay(&installation, "INV-2", "--amount 1.00").expect(0, &["signed  1.00 EUR"]);
    let key = drawn.out.lines().find_map(|line| line.trim().strip_prefix("idempotency key"));
    let key = key.expect("the drawn key is told").trim();
    let again = pay(&installation, "INV-2", &format!("--amount 1.00 --idempotency-key {key}"));
    assert_eq!(again.expect(0, &[]).out, drawn.out);
}

#[test]
fn refusals_of_pay_have_exit_codes_of_their_own() {
    let (installation, _daemon) = served(WIDE);
    pay(&installation, "PAID", "--amount 1.00 --idempotency-key paid").expect(0, &[]);
    let cases: &[(&str, &str, i32, &[&str])] = &[
        ("A", "--amount 1.00 --currency EUR", 2, &["--currency", "multiple times"]),
        ("A", "--amount 1.00 --account ach:1", 2, &["--account", "cannot be used with"]),
        ("A", "--amount 1", 4, &["malformed", "amount: found \"1\"; expected a decimal string"]),
        ("A\u{200b}", "--amount 1.00", 4, &["malformed", "end_to_end_id: "]),
        ("PAID", "--amount 2.00 --idempotency-key paid", 4, &["another amount", "needs a new key"]),
        ("A", "--amount 1.00 --expires-at 2020-01-01T00:00:00Z", 3, &["denied", "has expired"]),
        ("A", "--amount 1.00 --expires-at 9999-01-01T00:00:00Z", 3, &["denied", "too far away"]),
        ("PAID", "--amount 1.00", 3, &["denied", "end-to-end id is taken", "give it another"]),
        ("A", "--amount 50.01", 3, &["denied", "\"single\" allows at most 50.00 EUR; 50.01 asked"]),
    ];
    for (reference, line, code, told) in cases {
        pay(&installation, reference, line).expect(*code, told);
        let scripted = pay(&installation, reference, &format!("{line} --json")).expect(*code, &[]);
        assert!(*code == 2 || scripted.json()["rule"].is_string(), "{scripted:?}");
    }
    pay(&installation, "A", "--amount 1.00").expect(0, &["signed"]);
}

#[test]
fn a_daemon_that_is_not_there_is_told_by_exit_code_five() {
    let (installation, daemon) = served(WIDE);
    let told = format!("no answer from https://localhost:{}", daemon.gateway.port());
    daemon.kill();
    let id = "0b54b9a0a46c4e2e8a4b1b4a0e5f9c11";
    for line in ["limits", "limits settlement-eur", &format!("payment show {id}")] {
        let said = run(&installation, line).expect(5, &[&told, "check that the daemon runs"]);
        assert_eq!(said.out, "", "{line}");
        let said = run(&installation, &format!("{line} --json")).expect(5, &[]);
        assert!(said.json()["error"].as_str().unwrap().starts_with(&told), "{said:?}");
    }
    pay(&installation, "A", "--amount 1.00 --dry-run").expect(5, &[&told]);
    pay(&installation, "A", "--amount 1.00 --idempotency-key K-1").expect(5, &[&told]);
}

#[test]
fn a_payment_without_an_answer_tells_the_drawn_key_that_a_retry_needs() {
    let (installation, daemon) = served(WIDE);
    daemon.kill();
    pay(&installation, "A", "--amount 1.00").expect(5, &["cli-"]);
}

#[test]
fn a_dry_run_tells_what_would_happen_and_spends_nothing() {
    let (installation, _daemon) = served(WIDE);
    let before = limits(&installation);
    let cases: &[(&str, i32, Option<bool>, &[&str])] = &[
        ("50.00", 0, Some(true), &["would be signed; nothing was spent", "passed  limits"]),
        ("50.01", 3, Some(false), &["would be denied: limit \"single\"", "failed  limits"]),
        ("1", 4, None, &["refused", "amount: found \"1\""]),
    ];
    for (amount, code, would_sign, told) in cases {
        let line = format!("--dry-run --amount {amount}");
        pay(&installation, "DRY", &line).expect(*code, told);
        let said = pay(&installation, "DRY", &format!("{line} --json")).expect(*code, &[]);
        assert_eq!(said.json()["would_sign"].as_bool(), *would_sign, "{said:?}");
    }
    assert_eq!(limits(&installation), before);
    pay(&installation, "DRY", "--amount 50.00").expect(0, &["signed"]);
    assert_ne!(limits(&installation), before);
}

#[test]
fn a_payment_is_shown_to_its_caller_and_to_nobody_else() {
    let (installation, daemon) = served(WIDE);
    let shop = installation.caller(&daemon, "shop");
    let own = shop.pay("K-1", &payment("1.00", "OWN")).body;
    let denied = shop.pay("K-2", &payment("60.00", "LARGE")).body;
    let foreign = installation.caller(&daemon, "batch").pay("K-1", &payment("1.00", "FOREIGN"));
    let show = |id: &Value, more: &str, code: i32, told: &[&str]| {
        let line = format!("payment show {}{more}", id.as_str().unwrap());
        run(&installation, &line).expect(code, told)
    };
    let told = ["signed  1.00 EUR to Bakery Sol (OWN)\n", own["jws"].as_str().unwrap()];
    show(&own["id"], "", 0, &told);
    show(&own["id"], " --wait 1s", 0, &told);
    assert_eq!(show(&own["id"], " --json", 0, &[]).json(), own);
    show(&denied["payment_id"], "", 3, &["denied  60.00 EUR", "\"single\" allows at most 50.00"]);
    assert_eq!(show(&denied["payment_id"], " --json", 3, &[]).json()["state"], "denied");

    let unknown = show(&json!("0b54b9a0a46c4e2e8a4b1b4a0e5f9c11"), "", 4, &["Not found"]);
    assert_eq!(show(&foreign.body["id"], "", 4, &[]).out, unknown.out, "as if it were unknown");
    show(&json!("../keys"), "", 4, &["expected an id of hexadecimal digits"]);
    show(&own["id"], " --wait 61s", 4, &["wait: found 61s; expected at most 60s"]);
}

#[test]
fn limits_are_shown_as_bars_and_as_numbers() {
    let (installation, daemon) = served(
        r#"[
        { name = "single", window = "payment", amount = "5.00" },
        { name = "day", window = "24h", amount = "10.00" },
        { name = "ever", window = "lifetime", count = 4 },
    ]"#,
    );
    let nothing = "░".repeat(24);
    run(&installation, "limits").expect(0, &["settlement-eur  EUR", &nothing, "0 %", "10.00"]);
    pay(&installation, "A", "--amount 5.00").expect(0, &[]);
    let said = run(&installation, "limits settlement-eur").expect(0, &[]);
    let rows: Vec<Vec<&str>> =
        said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let half = format!("{}{}", "█".repeat(12), "░".repeat(12));
    let quarter = format!("{}{}", "█".repeat(6), "░".repeat(18));
    assert_eq!(rows[1].join(" "), "limit per window used posted pending free of next release");
    assert_eq!(rows[2].join(" "), "single key payment each payment by itself 0.00 0.00 5.00 5.00");
    assert_eq!(
        rows[3][..10],
        ["day", "key", "1d", "50", "%", &half, "5.00", "0.00", "5.00", "10.00"]
    );
    assert_eq!(rows[3].len(), 12, "the day frees up at some time: {}", said.out);
    let ever = ["ever", "key", "lifetime", "25", "%", &quarter, "1", "0", "3", "4", "payments"];
    assert_eq!(rows[4], ever);

    let answer = installation.caller(&daemon, "shop").get("/v1/keys/settlement-eur/limits");
    assert_eq!(limits(&installation), answer.body["limits"]);
    assert!(run(&installation, "limits --json").json()[0]["as_of"].is_string());
    run(&installation, "limits nobody").expect(4, &["Not found: there is no settlement key"]);
    run(&installation, "limits a/b").expect(4, &["found \"a/b\"; expected the name of a key"]);
}

#[test]
fn keys_are_generated_once_and_checked_against_their_pins() {
    let installation = Installation::new();
    let key = pinned(&installation);
    let well = format!("well     settlement-eur on softhsm, ES256: {key}");
    let audit = "well     audit on softhsm, EdDSA: ";
    assert_eq!(run(&installation, "keys list").expect(0, &[audit, &well]).err, "");
    run(&installation, "keys check").expect(0, &[audit, &well]);
    let found = json!({ "key": "settlement-eur", "token": "softhsm", "algorithm": "ES256",
        "state": "well", "thumbprint": key });
    let said = run(&installation, "keys check --json").expect(0, &[]).json();
    assert_eq!(said[1], found);
    assert_eq!((&said[0]["key"], &said[0]["algorithm"]), (&json!("audit"), &json!("EdDSA")));
    let told = ["found the key \"other\"; expected one of", "settlement-eur"];
    run(&installation, "keys generate other").expect(4, &told);
    let told = [&format!("is pinned to {key} already"), "needs a rotation"];
    run(&installation, "keys generate settlement-eur").expect(4, &told);

    let table = "[keys.spare]\ntoken = \"softhsm\"\nlabel = \"spare\"\nid = \"02\"\n\
                 algorithm = \"ES256\"\n\n[log]";
    installation.edit(DEPLOYMENT, "[log]", table);
    let made = run(&installation, "keys generate spare --json").expect(0, &[]).json();
    let spare = made["thumbprint"].as_str().expect("a thumbprint").to_owned();
    let told = ["2 objects on the token have its label \"spare\"", "nothing is overwritten"];
    run(&installation, "keys generate spare").expect(1, &told);
    assert_eq!(made["algorithm"], "ES256");
    let told = [&format!("unpinned spare on softhsm, ES256: {spare}; pin"), "under [keys.spare]"];
    run(&installation, "keys list").expect(0, &told);
    run(&installation, "keys check").expect(1, &told);

    installation.edit(DEPLOYMENT, &key, &spare);
    let told = [&format!("the token has the key {key}"), &format!("the pinned {spare}")];
    let told = told.map(String::as_str);
    run(&installation, "keys list").expect(0, &told);
    let said = run(&installation, "keys check --json").expect(1, &told).json();
    assert_eq!((&said[1]["state"], &said[2]["state"]), (&json!("wrong"), &json!("unpinned")));
}

#[test]
fn a_policy_is_checked_as_a_whole() {
    let installation = Installation::new();
    let policy = installation.path("policy.toml").display().to_string();
    let told = [
        "well  sha256:",
        "caller batch: uri:spiffe://test.example/batch",
        "key settlement-eur: settlement in EUR, for batch, shop",
        "single: at most 50.00 EUR per payment",
    ];
    run(&installation, &format!("policy check {policy}")).expect(0, &told);
    let said = run(&installation, &format!("policy check {policy} --json")).expect(0, &[]).json();
    assert_eq!((&said["callers"], &said["keys"]), (&json!(2), &json!(["audit", "settlement-eur"])));

    installation.edit("policy.toml", "\"50.00\"", "\"0.00\"");
    installation.edit("policy.toml", "\"EUR\"", "\"EURO\"");
    installation.edit("policy.toml", "example/batch", "example/shop");
    let told = [policy.as_str(), "is refused", "currency: found \"EURO\"", "batch too"];
    let said = run(&installation, &format!("policy check {policy}")).expect(1, &told);
    assert_eq!(said.out, "", "it is no result");
}

#[test]
fn a_policy_explains_what_decides_a_payment() {
    let (installation, _daemon) = served(WIDE);
    pay(&installation, "PAID", "--amount 1.00").expect(0, &[]);
    let before = limits(&installation);
    let passes = ["passed  caller", "passed  limits", "would be signed"];
    // In order of precedence: what stands in the payment, what is put there instead, the answer.
    let cases: &[(&str, &str, i32, &[&str])] = &[
        ("", "", 0, &passes),
        ("\"amount\":", "\"amount\": \"1\", \"amount\":", 4, &["duplicate field `amount`"]),
        ("\"1.00\"", "1.00", 4, &["is not a payment", "expected a string"]),
        ("\"1.00\"", "\"1\"", 4, &["amount: found \"1\"; expected a decimal string"]),
        ("settlement-eur", "other", 3, &["failed  key", "would be denied by key_not_allowed"]),
        ("\"EUR\"", "\"USD\"", 3, &["failed  currency", "by key_currency", "signs EUR"]),
        ("\"NEW\"", &late("2020"), 3, &["failed  expiry", "would be denied by expired"]),
        ("\"NEW\"", &late("9999"), 3, &["failed  expiry", "denied by expiry_too_far"]),
        ("NEW", "PAID", 3, &["failed  end_to_end_id", "denied by duplicate_end_to_end_id"]),
        ("\"1.00\"", "\"50.01\"", 3, &["failed  limits", "by limit_exceeded", "\"single\""]),
    ];
    let file = installation.path("payment.json").display().to_string();
    for (old, new, code, told) in cases {
        let text = payment("1.00", "NEW").to_string().replacen(old, new, 1);
        fs::write(&file, &text).unwrap();
        run(&installation, &format!("policy explain {file} --caller shop")).expect(*code, told);
        let typed = ["policy", "explain", "-", "--caller", "shop", "--json"];
        Said::to(&installation, &typed[..5], &text).expect(*code, told);
        let said = Said::to(&installation, &typed, &text).expect(*code, &[]).json();
        let decision = [(0, "signed"), (3, "denied")].into_iter().find(|(exit, _)| exit == code);
        assert_eq!(said["decision"].as_str(), decision.map(|(_, word)| word), "{said}");
    }
    let said = run(&installation, &format!("policy explain {file} --caller nobody"));
    said.expect(4, &["the policy has no caller \"nobody\""]);
    assert_eq!(limits(&installation), before, "nothing was spent");
}

#[test]
fn a_policy_explains_nothing_from_a_ledger_whose_latest_payments_are_missing() {
    let (installation, daemon) = served(WIDE);
    pay(&installation, "PAID", "--amount 1.00").expect(0, &[]);
    daemon.kill();
    fs::remove_file(installation.path("state/ledger.sqlite3-wal")).unwrap();
    let (line, text) = (["policy", "explain", "-", "--caller", "shop"], payment("1.00", "PAID"));
    let said = Said::to(&installation, &line, &text.to_string());
    said.expect(1, &["write-ahead log is gone"]);
}

fn late(year: &str) -> String {
    format!("\"NEW\", \"expires_at\": \"{year}-01-01T00:00:00Z\"")
}

#[test]
fn neither_starts_nor_commands_repeat_a_refused_pin() {
    let places = fs::read_dir("/usr/lib").unwrap().map(|place| place.unwrap().path());
    let spy = places.map(|place| place.join("pkcs11-spy.so")).find(|spy| spy.exists());
    let spy = spy.expect("pkcs11-spy.so of OpenSC; `make deps` installs it");
    let installation = Installation::new();
    installation.edit(DEPLOYMENT, MODULE, &spy.display().to_string());
    fs::write(installation.path("user-pin"), "1111-wrong").unwrap();
    for line in ["serve", "serve", "doctor", "keys list", "keys check", "serve"] {
        let said = run(&installation, line);
        assert!([said.out, said.err].concat().contains("refused the PIN"), "{line}");
        let calls = fs::read_to_string(installation.path("calls")).unwrap();
        let attempts = calls.lines().filter(|call| call.ends_with(": C_Login")).count();
        assert_eq!(attempts, 1, "attempts after {line}");
    }
}

#[test]
fn a_failure_is_json_on_standard_output_where_scripts_read() {
    let installation = Installation::new();
    for (line, code, told) in [
        ("init", 1, "nothing ever overwrites"),
        ("serve --config absent.toml", 1, "cannot read absent.toml"),
        ("keys generate other", 4, "expected one of"),
        ("keys list --config absent.toml", 1, "cannot read absent.toml"),
        ("policy check absent.toml", 1, "cannot read absent.toml"),
        ("policy explain absent.json --caller shop", 4, "cannot read absent.json"),
        ("limits --client absent.toml", 1, "cannot read absent.toml"),
        ("payment show !", 4, "hexadecimal"),
    ] {
        let said = run(&installation, &format!("{line} --json")).expect(code, &[told]);
        let error = said.json();
        assert_eq!(said.err, "", "{line}");
        assert_eq!(error.as_object().map(|object| object.len()), Some(1), "{line}: {error}");
        assert!(error["error"].as_str().is_some_and(|error| error.contains(told)), "{error}");
        let said = run(&installation, line).expect(code, &[told]);
        assert!(said.out.is_empty() && said.err.starts_with("countersign: "), "{said:?}");
    }
}

#[test]
fn every_command_says_what_it_is_for() {
    let installation = Installation::new();
    for (line, purpose) in [
        ("", "Signs typed payments"),
        ("init", "Create the ledger"),
        ("serve", "Run the daemon"),
        ("pay", "Have a payment signed"),
        ("payment", "Look at payments"),
        ("payment show", "what has become of a payment"),
        ("limits", "how the limits of a key stand"),
        ("keys", "Look at the keys"),
        ("keys list", "every configured key"),
        ("keys check", "fail unless every key"),
        ("keys generate", "Nothing is ever overwritten"),
        ("policy", "Check a policy"),
        ("policy check", "Check a policy file as a whole"),
        ("policy explain", "the rule that decides"),
        ("doctor", "what is wrong with this installation"),
    ] {
        run(&installation, format!("{line} --help").trim_start()).expect(0, &[purpose, "--json"]);
    }
    run(&installation, "--help").expect(0, &["Exit codes:", "3  denied by policy or limit"]);
}
