//! What is wrong with a file, one row a case: before anything is touched the daemon says so.

use crate::support::installation::{COUNTERSIGN, MODULE};

/// What stands in a file, what is put in its place, and what is told about that.
pub(super) type Edit<'a> = (&'a str, &'a str, &'a [&'a str]);

pub(super) const DEPLOYMENTS: &[Edit] = &[
    ("[log]", "[log]\ncolour = 1", &["unknown field `colour`", "expected `level` or `format`"]),
    ("[public]", "surname = 1\n[public]", &["unknown field `surname`", "`client_revocations`"]),
    ("https://pay", "http://pay", &["issuer: ", "expected an https URL"]),
    ("\"ES256\"", "\"RS256\"", &["keys.settlement-eur.algorithm: found \"RS256\"", "\"ES256\""]),
    ("id = \"01\"", "id = \"zz\"", &["keys.settlement-eur.id: found \"zz\"", "hexadecimal"]),
    ("token = \"softhsm\"", "token = \"t\"", &["found \"t\"; expected one of [\"softhsm\"]"]),
    ("pin_file", "pin_prompt = true\npin_file", &["tokens.softhsm.pin_file: expected exactly one"]),
    ("[operations]\nlisten = \"127.0.0.1", "[operations]\nlisten = \"0.0.0.0", NOT_LOOPBACK),
    ("[operations]\nlisten = \"127.0.0.1", "[operations]\nlisten = \"192.0.2.1", NOT_LOOPBACK),
    ("[operations]\nlisten = \"127.0.0.1", "[operations]\nlisten = \"[::]", NOT_LOOPBACK),
    ("[keys.settlement-eur]", "[keys.settlement-usd]", &["eur: the policy has", "on which token"]),
    ("[keys.settlement-eur]", "[keys.settlement-usd]", &["usd: the deployment has", "what it is"]),
    ("thumbprint =", "# thumbprint =", &["keys.settlement-eur.thumbprint: missing", "keys list"]),
    ("\"ES256\"", "\"EdDSA\"", &["keys.settlement-eur.algorithm: found \"EdDSA\"", "orders"]),
    ("\"EdDSA\"", "\"Ed25519\"", &["keys.audit.algorithm: found \"Ed25519\"", "\"EdDSA\""]),
    (
        "[audit]\nkey = \"audit\"",
        "",
        &["audit: missing; the log of decisions needs a key", "policy"],
    ),
    ("key = \"audit\"", "key = \"log\"", &["audit.key: found \"log\"; expected one of", "eur\"]"]),
    ("key = \"audit\"", "key = \"settlement-eur\"", &["which the policy has for settlement"]),
    (
        "key = \"audit\"",
        "key = \"audit\"\nkeys = 1",
        &["unknown field `keys`", "`anchor_interval`"],
    ),
    ("key = \"audit\"", "key = \"audit\"\nanchor_interval = \"0s\"", INTERVAL),
    ("key = \"audit\"", "key = \"audit\"\nanchor_interval = \"2h\"", INTERVAL),
    ("pin_file", "anchors = \"no\"\npin_file", &["anchors", "expected a boolean"]),
    ("\"policy.toml\"", "\"absent.toml\"", &["cannot read", "absent.toml", "check the path"]),
];
const INTERVAL: &[&str] = &["audit.anchor_interval: found ", "expected "];
const NOT_LOOPBACK: &[&str] = &["operations.listen: found ", "expected 127.0.0.1 or ::1"];

pub(super) const POLICIES: &[Edit] = &[
    ("[callers.shop]", "[callers.shop]\ncolour = 1", &["unknown field `colour`", "certificates"]),
    ("policy/1", "policy/2", &["schema: found \"countersign/policy/2\"", "countersign/policy/1"]),
    ("\"50.00\"", "\"0.00\"", &["limits[0].amount: found zero; zero is not \"unlimited\""]),
    ("\"50.00\"", "\"-50.00\"", &["limits[0].amount: found \"-50.00\"", "without sign"]),
    ("amount = \"100000.00\"", "count = 0", &["limits[1].count: found 0", "above zero"]),
    ("amount = \"100000.00\"", "count = -1", &["limits[1].count: found -1", "above zero"]),
    ("test.example/batch", "test.example/shop", &["callers.batch too", "one caller"]),
    ("[\"shop\", \"batch\"]", "[\"shop\", \"shop\"]", &["callers: names \"shop\" twice"]),
    ("[\"shop\", \"batch\"]", "[\"shop\", \"nobody\"]", &["found \"nobody\"; expected the name"]),
    ("[\"shop\", \"batch\"]", "[]", &["keys.settlement-eur.callers: found none"]),
    (
        "[keys.audit]\npurpose = \"audit\"",
        "",
        &["keys.audit: the deployment has", "what it is for"],
    ),
    ("\"audit\"", "\"notification\"\ncallers = []", &["\"audit\", which the policy has for noti"]),
    (
        "\"audit\"",
        "\"audit\"\ncallers = [\"shop\"]",
        &["keys.audit.callers: a key of this purpose signs no payments"],
    ),
    ("\"audit\"", "\"audit\"\ncurrency = \"EUR\"", &["keys.audit.currency: a key of this purpose"]),
];

pub(super) const TLS_FILES: &[Edit] = &[
    ("server.crt", "absent", &["absent.pem cannot be used for TLS", "No such file"]),
    ("tls/server.crt.pem", "policy.toml", &["policy.toml cannot", "no certificate; expected PEM"]),
    ("server.key", "absent", &["absent.pem cannot be used for TLS", "No such file"]),
    ("server.key", "shop.key", &["shop.key.pem cannot be used for TLS", "KeyMismatch"]),
    ("authority", "absent", &["absent.pem cannot be used for TLS", "No such file"]),
    ("tls/authority.pem", "policy.toml", &["policy.toml cannot", "no certificate; expected PEM"]),
    ("revoked", "absent", &["absent.pem cannot be used for TLS", "cannot be read: No such file"]),
    ("tls/revoked.pem", "policy.toml", &["policy.toml cannot", "no revocation list; expected"]),
    ("revoked", "authority", &["authority.pem cannot", "no revocation list; expected"]),
];

pub(super) const TOKENS: &[Edit] = &[
    (MODULE, "/absent.so", &["no PKCS#11 module at /absent.so", "check `module` of the token"]),
    (MODULE, "policy.toml", &["policy.toml cannot be loaded as a PKCS#11 module", "ELF"]),
    (MODULE, COUNTERSIGN, &["countersign cannot be loaded as a PKCS#11 module", "executable"]),
    ("\"countersign\"", "\"other\"", &["0 tokens match other", "found [\"countersign (serial "]),
    ("pin_file", "serial = \"0\"\npin_file", &["0 tokens match countersign (serial 0)"]),
    ("id = \"01\"", "id = \"02\"", &["no CKO_PRIVATE_KEY", "and id 02; check `label`"]),
    ("label = \"settlement-eur", "label = \"no", &["with label \"no\" and id 01; check"]),
    ("pin_file", "pin_credential", &["no systemd credential \"user-pin\"", "LoadCredential="]),
];
