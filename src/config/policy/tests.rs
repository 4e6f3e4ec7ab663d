//! Policies that are refused, each for its own reason.

use super::*;

const GOOD: &str = r#"
schema = "countersign/policy/1"
duplicate_window = "400d"

[callers.shop]
certificates = ["uri:spiffe://shop.example/gateway"]

[callers.batch]
certificates = ["uri:spiffe://shop.example/batch"]
repeats_end_to_end_ids = true

[keys.settlement-eur]
purpose = "settlement"
currency = "EUR"
callers = ["shop", "batch"]
tiers = "nobody"
limits = [
  { name = "single", window = "payment", amount = "50.00" },
  { name = "day", window = "24h", amount = "500.00" },
  { name = "rate", window = "1m", count = 600 },
  { name = "ever", window = "lifetime", amount = "1000000.00" },
]

[keys.checkpoints]
purpose = "audit"
callers = []
"#;

fn load(text: &str) -> Result<Policy, String> {
    from_text(Path::new("policy.toml"), text).map_err(|refused| refused.to_string())
}

#[test]
fn a_policy_is_read_into_checked_types() {
    let policy = load(GOOD).unwrap();
    assert_eq!(
        policy,
        Policy { version: policy.version.clone(), ..load(&with("callers = []\n", "")).unwrap() }
    );
    let key = &policy.keys[&KeyId::parse("", "settlement-eur").unwrap()];
    let caps: Vec<(&str, u64)> = key.limits.iter().map(|l| (l.name.as_str(), l.cap)).collect();
    assert_eq!(caps, [("single", 5_000), ("day", 50_000), ("rate", 600), ("ever", 100_000_000)]);
    assert!(policy.version.starts_with("sha256:") && policy.version.len() == 71);
    assert_eq!(policy.version, load(GOOD).unwrap().version);
    assert_ne!(policy.version, load(&format!("{GOOD}#")).unwrap().version);
    let unlimited = load(&with("limits = [\n", "limits = \"unlimited\"\nx = [\n")).unwrap_err();
    assert!(unlimited.contains("unknown field `x`"), "{unlimited}");
}

fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

/// What is written instead of a text of the good policy, and what the refusal says.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &str)] = &[
        ("policy/1", "policy/9", "schema: found \"countersign/policy/9\""),
        ("schema =", "shema =", "unknown field `shema`"),
        ("\"400d\"", "\"0d\"", "duplicate_window: found \"0d\""),
        ("\"400d\"", "\"401d\"", "duplicate_window: found 401d; expected at most 400d"),
        ("\"400d\"", "400", "expected a string"),
        ("callers.shop", "callers.Shop", "callers.Shop: found"),
        ("[\"uri:spiffe://shop.example/gateway\"]", "[]", "callers.shop.certificates: found none"),
        ("uri:spiffe://shop.example/gateway", "gateway", "callers.shop.certificates: found"),
        ("example/batch", "example/gateway", "one certificate, one caller"),
        ("repeats_end_to_end_ids = true", "admin = true", "unknown field `admin`"),
        ("\"settlement\"", "\"payments\"", "keys.settlement-eur.purpose: found \"payments\""),
        ("currency = \"EUR\"\n", "", "keys.settlement-eur.currency: missing"),
        ("\"EUR\"", "\"EURO\"", "keys.settlement-eur.currency: found \"EURO\""),
        (
            "[\"shop\", \"batch\"]",
            "[\"shop\", \"nobody\"]",
            "keys.settlement-eur.callers: found \"nobody\"",
        ),
        ("[\"shop\", \"batch\"]", "[\"shop\", \"shop\"]", "names \"shop\" twice"),
        ("name = \"day\"", "name = \"single\"", "limits[1]: the name \"single\" is taken"),
        ("\"24h\"", "\"week\"", "limits[1].window: found \"week\""),
        ("\"24h\"", "\"-24h\"", "limits[1].window: found \"-24h\""),
        ("\"24h\"", "\"500d\"", "limits[1].window: found 500d; expected at most 400d"),
        ("\"500.00\"", "\"500\"", "limits[1].amount: found \"500\""),
        ("\"500.00\"", "\"0.00\"", "limits[1].amount: found zero"),
        ("\"500.00\"", "\"-500.00\"", "limits[1].amount: found \"-500.00\""),
        ("\"500.00\"", "500", "expected a string"),
        ("\"500.00\"", "\"unlimited\"", "limits[1].amount: found \"unlimited\""),
        ("\"500.00\" }", "\"500.00\", count = 5 }", "limits[1]: expected exactly one of"),
        (", amount = \"500.00\"", "", "limits[1]: expected exactly one of"),
        ("count = 600", "count = 0", "limits[2].count: found 0"),
        ("count = 600", "count = -1", "limits[2].count: found -1"),
        ("count = 600", "count = 6.5", "expected i64"),
        ("\"payment\", amount = \"50.00\"", "\"payment\", count = 1", "a payment is always one"),
        ("window = \"24h\"", "per = \"payer\", window = \"24h\"", "limits[1].per: found \"payer\""),
        ("window = \"24h\"", "window = \"day\"", "limits[1].time_zone: missing"),
        (
            "window = \"24h\"",
            "window = \"day\", time_zone = \"Madrid\"",
            "limits[1].time_zone: found \"Madrid\"",
        ),
        ("window = \"24h\"", "window = \"24h\", time_zone = \"UTC\"", "only windows of a calendar"),
        ("window = \"payment\"", "window = \"payment\", per = \"caller\"", "not added up"),
        (
            "currency = \"EUR\"",
            "creditors_allowed = [\"ES91\"]\ncurrency = \"EUR\"",
            "creditors_allowed: found",
        ),
        (
            "currency = \"EUR\"",
            "creditor_cooling_off = \"24h\"\ncurrency = \"EUR\"",
            "needs creditors_allowed",
        ),
        ("repeats_end", "debtors = \"My Debtors\"\nrepeats_end", "callers.batch.debtors: found"),
        (
            "[keys.checkpoints]",
            "[sets.s]\nkeys = []\nlimits = []\n[keys.checkpoints]",
            "sets.s.keys: expected",
        ),
        (
            "[keys.checkpoints]",
            concat!(
            "[sets.s]\nkeys = [\"settlement-eur\", \"checkpoints\"]\nlimits = []\n",
            "[keys.checkpoints]",
        ),
            "sets.s.keys: expected keys of one currency",
        ),
        (
            "[keys.checkpoints]",
            "[sets.s]\nkeys = [\"nokey\"]\nlimits = []\n[keys.checkpoints]",
            "sets.s.keys: found \"nokey\"",
        ),
        ("limits = [\n", "limits = []\nlimits2 = [\n", "unknown field `limits2`"),
        ("callers = [\"shop\", \"batch\"]\n", "", "keys.settlement-eur.callers: missing"),
        ("\"audit\"\n", "\"audit\"\ncurrency = \"EUR\"\n", "checkpoints.currency: a key of this"),
        ("\"audit\"\n", "\"audit\"\nvalidity = \"1h\"\n", "checkpoints.validity: a key of this"),
        ("\"audit\"\n", "\"audit\"\nlimits = \"unlimited\"\n", "checkpoints.limits: a key of this"),
        ("callers = []", "callers = [\"shop\"]", "checkpoints.callers: a key of this"),
        ("\"audit\"\n", "\"user-authentication\"\ncurrency = \"EUR\"\n", "limits: missing"),
    ];

#[test]
fn every_wrong_policy_is_refused_with_its_place_and_mend() {
    for (old, new, message) in WRONG {
        let refused = load(&with(old, new)).unwrap_err();
        assert!(refused.contains(message), "{old} -> {new}:\n{refused}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = with("\"24h\"", "\"week\"").replacen("count = 600", "count = 0", 1);
    let refused = load(&text).unwrap_err();
    assert!(
        refused.contains("limits[1].window") && refused.contains("limits[2].count"),
        "{refused}"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text: String, place in 0_usize..900) {
        let cut = GOOD.char_indices().map(|(i, _)| i).nth(place).unwrap_or(0);
        let _ = load(&format!("{}{text}{}", &GOOD[..cut], &GOOD[cut..]));
    }
}
