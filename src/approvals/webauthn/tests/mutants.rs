//! Assertions that are right but for one detail, and the reason for which each is refused.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::super::authenticator::{
    AT, Asked, Authenticator, BE, BS, ED, Kind, Touch, UP, UV, integer, list, map, text,
};
use super::super::*;
use super::scene::{Demand, ORIGIN, Scene, attestors, extended, pad, user};

/// Where a detail is wrong.
pub(super) enum Mutant {
    /// In what the key signs: an honest key, a page or a person that is deceived.
    Asked(fn(&mut Asked)),
    /// In what it answered: somebody on the way.
    Touch(fn(&mut Touch)),
    /// In the JSON that the page posts.
    Json(fn(&mut Value)),
    /// In what is expected: a right assertion, of something else.
    Scene(fn(&mut Scene)),
    /// In the text that is posted.
    Text(fn(&str) -> String),
}
use Mutant::{Asked as A, Json as J, Scene as S, Text as X, Touch as T};

pub(super) const MUTANTS: &[(&str, &str, Mutant)] = &[
    // The ceremony.
    ("an enrolment", "type", A(|a| a.ceremony = "webauthn.create".to_owned())),
    ("a payment request of a browser", "type", A(|a| a.ceremony = "payment.get".to_owned())),
    ("a type in capitals", "type", A(|a| a.ceremony = "WEBAUTHN.GET".to_owned())),
    ("a type with a NUL", "type", A(|a| a.ceremony = "webauthn.get\0".to_owned())),
    // The challenge.
    ("another payment", "challenge", S(|s| s.challenge[0] ^= 1)),
    (
        "the same payment, asked anew after a restart or expiry",
        "challenge",
        S(|s| {
            s.challenge = [7; 32];
        }),
    ),
    ("no challenge", "challenge", A(|a| a.challenge.clear())),
    ("a longer challenge", "challenge", A(|a| a.challenge.push('A'))),
    ("a shorter challenge", "challenge", A(|a| a.challenge.truncate(42))),
    ("a padded challenge", "challenge", A(|a| a.challenge.push('='))),
    (
        "a challenge with trailing bits",
        "challenge",
        A(|a| {
            let last = a.challenge.pop().unwrap();
            a.challenge.push(char::from(u8::try_from(u32::from(last)).unwrap() + 1));
        }),
    ),
    (
        "a challenge in base64",
        "challenge",
        A(|a| {
            a.challenge = data_encoding::BASE64.encode(&[0xfb; 32]);
        }),
    ),
    (
        "a challenge in hexadecimal",
        "challenge",
        A(|a| {
            a.challenge = data_encoding::HEXLOWER.encode(&[0xa5; 32]);
        }),
    ),
    // The origin.
    ("another site", "origin", A(|a| a.origin = "https://evil.example".to_owned())),
    ("an origin without TLS", "origin", A(|a| a.origin = "http://pay.example.org".to_owned())),
    ("another port", "origin", A(|a| a.origin = "https://pay.example.org:444".to_owned())),
    (
        "the port of the scheme",
        "origin",
        A(|a| a.origin = "https://pay.example.org:443".to_owned()),
    ),
    ("a subdomain", "origin", A(|a| a.origin = "https://a.pay.example.org".to_owned())),
    ("the domain above", "origin", A(|a| a.origin = "https://example.org".to_owned())),
    (
        "ours as a prefix",
        "origin",
        A(|a| a.origin = "https://pay.example.org.evil.example".to_owned()),
    ),
    ("ours as a suffix", "origin", A(|a| a.origin = "https://evilpay.example.org".to_owned())),
    (
        "ours as a user name",
        "origin",
        A(|a| a.origin = "https://pay.example.org@evil.example".to_owned()),
    ),
    ("a slash at the end", "origin", A(|a| a.origin = "https://pay.example.org/".to_owned())),
    ("a dot at the end", "origin", A(|a| a.origin = "https://pay.example.org.".to_owned())),
    ("a path", "origin", A(|a| a.origin = "https://pay.example.org/approve".to_owned())),
    ("capitals", "origin", A(|a| a.origin = "https://Pay.example.org".to_owned())),
    ("a Cyrillic letter", "origin", A(|a| a.origin = "https://p\u{430}y.example.org".to_owned())),
    ("white space", "origin", A(|a| a.origin = " https://pay.example.org".to_owned())),
    ("an opaque origin", "origin", A(|a| a.origin = "null".to_owned())),
    ("no origin", "origin", A(|a| a.origin.clear())),
    ("an Android application", "origin", A(|a| a.origin = "android:apk-key-hash:AAAA".to_owned())),
    // Frames.
    ("framed", "cross_origin", A(|a| a.members = r#","crossOrigin":true"#.to_owned())),
    (
        "framed by",
        "top_origin",
        A(|a| {
            a.members = r#","crossOrigin":false,"topOrigin":"https://evil.example""#.to_owned();
        }),
    ),
    (
        "framed by ourselves",
        "top_origin",
        A(|a| {
            a.members = format!(r#","topOrigin":"{ORIGIN}""#);
        }),
    ),
    // The form of client data.
    ("crossOrigin as text", "client_data", A(|a| a.members = r#","crossOrigin":"no""#.to_owned())),
    ("crossOrigin null", "client_data", A(|a| a.members = r#","crossOrigin":null"#.to_owned())),
    ("topOrigin null", "client_data", A(|a| a.members = r#","topOrigin":null"#.to_owned())),
    ("two origins", "client_data", A(|a| a.members = format!(r#","origin":"{ORIGIN}""#))),
    ("two types", "client_data", A(|a| a.members = r#","t\u0079pe":"webauthn.get""#.to_owned())),
    ("two challenges", "client_data", A(|a| a.members = r#","challenge":"""#.to_owned())),
    ("client data twice", "client_data", A(|a| a.client_data = Some(a.client_data().repeat(2)))),
    (
        "client data as an array",
        "client_data",
        A(|a| {
            let members = json!([a.ceremony, a.challenge, a.origin, false]);
            a.client_data = Some(members.to_string().into_bytes());
        }),
    ),
    (
        "a byte order mark",
        "client_data",
        A(|a| {
            a.client_data = Some([b"\xef\xbb\xbf", a.client_data().as_slice()].concat());
        }),
    ),
    (
        "client data that is not UTF-8",
        "client_data",
        A(|a| {
            a.client_data = Some(a.client_data().iter().map(|b| b | 0x80).collect());
        }),
    ),
    (
        "client data without an origin",
        "client_data",
        A(|a| {
            a.client_data = Some(br#"{"type":"webauthn.get","challenge":""}"#.to_vec());
        }),
    ),
    // The relying party.
    ("another relying party", "rp_id_hash", A(|a| a.rp_id = "example.org".to_owned())),
    ("the origin as relying party", "rp_id_hash", A(|a| a.rp_id = ORIGIN.to_owned())),
    (
        "another installation",
        "rp_id_hash",
        S(|s| {
            s.rp = RelyingParty::parse("example.org", "Others", &[ORIGIN]).unwrap();
        }),
    ),
    // Flags.
    ("no touch", "user_presence", A(|a| a.flags = UV)),
    ("no PIN", "user_verification", A(|a| a.flags = UP)),
    ("neither", "user_presence", A(|a| a.flags = 0)),
    ("backed up, though it cannot be", "backup_state", A(|a| a.flags |= BS)),
    ("a copy", "backup_eligibility", A(|a| a.flags |= BE)),
    ("a copy that is backed up", "backup_eligibility", A(|a| a.flags |= BE | BS)),
    ("reserved bit 1", "authenticator_data", A(|a| a.flags |= 0x02)),
    ("reserved bit 5", "authenticator_data", A(|a| a.flags |= 0x20)),
    // The form of authenticator data.
    ("trailing bytes", "authenticator_data", A(|a| a.tail = vec![0])),
    (
        "no counter",
        "authenticator_data",
        A(|a| {
            a.authenticator_data = Some(a.authenticator_data()[..33].to_vec());
        }),
    ),
    (
        "half a hash",
        "authenticator_data",
        A(|a| {
            a.authenticator_data = Some(a.authenticator_data()[..16].to_vec());
        }),
    ),
    ("a credential announced", "authenticator_data", A(|a| a.flags |= AT)),
    ("extensions announced", "cbor", A(|a| a.flags |= ED)),
    ("extensions that are no map", "cbor", A(|a| extended(a, list(&[])))),
    (
        "extensions twice",
        "authenticator_data",
        A(|a| {
            extended(a, [map(&[]), map(&[])].concat());
        }),
    ),
    (
        "an extension twice",
        "cbor",
        A(|a| {
            extended(a, map(&[(text("a"), integer(1)), (text("a"), integer(2))]));
        }),
    ),
    (
        "extensions out of order",
        "cbor",
        A(|a| {
            extended(a, map(&[(text("b"), integer(1)), (text("a"), integer(2))]));
        }),
    ),
    ("extensions of no end", "cbor", A(|a| extended(a, vec![0xbf, 0xff]))),
    ("extensions cut off", "cbor", A(|a| extended(a, vec![0xa1, 0x61]))),
    // The credential.
    ("an unknown credential", "credential", T(|t| t.id = vec![9; 32])),
    ("a credential that is longer", "credential", T(|t| t.id.push(0))),
    (
        "the credential of another person",
        "credential",
        S(|s| {
            s.credential = Scene::of(Kind::Es256).credential;
        }),
    ),
    ("another person's handle", "user_handle", T(|t| t.user_handle = Some("cGVyc29uIDI".into()))),
    (
        "enrolled for another person",
        "user_handle",
        S(|s| {
            s.credential.user_handle = user(b"person 2").handle;
        }),
    ),
    (
        "the key of another person under this id",
        "signature",
        S(|s| {
            s.credential.key = Scene::of(Kind::Es256).credential.key;
        }),
    ),
    (
        "the algorithm swapped",
        "signature",
        S(|s| {
            s.credential.key = Scene::of(Kind::EdDsa).credential.key;
        }),
    ),
    // What is demanded.
    ("not attested", "not_attested", S(|s| s.credential.attestation = Attestation::None)),
    (
        "a model taken off the list",
        "no_longer_trusted",
        S(|s| {
            s.demand = Demand::Attested(attestors(&s.maker, &[[3; 16]]));
        }),
    ),
    (
        "a root no longer pinned",
        "no_longer_trusted",
        S(|s| {
            let maker = Scene::of(Kind::Es256).maker;
            s.demand = Demand::Attested(attestors(&maker, &[s.key.aaguid]));
        }),
    ),
    // The signature.
    (
        "a signature cut short",
        "signature",
        T(|t| {
            t.signature.pop();
        }),
    ),
    ("a trailing byte in the signature", "signature", T(|t| t.signature.push(0))),
    (
        "a trailing byte within the signature",
        "signature",
        T(|t| {
            t.signature.push(0);
            t.signature[1] += 1;
        }),
    ),
    ("a signature in raw form", "signature", T(|t| t.signature = vec![0x11; 64])),
    ("r and s of zero", "signature", T(|t| t.signature = vec![0x30, 6, 2, 1, 0, 2, 1, 0])),
    (
        "a long length in DER",
        "signature",
        T(|t| {
            t.signature.insert(1, 0x81);
        }),
    ),
    (
        "an indefinite length in DER",
        "signature",
        T(|t| {
            t.signature[1] = 0x80;
            t.signature.extend([0, 0]);
        }),
    ),
    (
        "a zero more before r",
        "signature",
        T(|t| {
            t.signature.insert(4, 0);
            t.signature[1] += 1;
            t.signature[3] += 1;
        }),
    ),
    (
        "a negative r",
        "signature",
        T(|t| {
            let at = if t.signature[4] == 0 { 5 } else { 4 };
            t.signature[at] |= 0x80;
            if at == 5 {
                t.signature.remove(4);
                t.signature[1] -= 1;
                t.signature[3] -= 1;
            }
        }),
    ),
    (
        "touched by another key",
        "signature",
        T(|t| {
            t.signature = Authenticator::new(Kind::Es256).sign(b"anything");
        }),
    ),
    (
        "client data changed on the way",
        "signature",
        T(|t| {
            let end = t.client_data.len() - 1;
            t.client_data.insert(end, b' ');
        }),
    ),
    ("the counter raised on the way", "signature", T(|t| t.authenticator_data[36] ^= 0x80)),
    (
        "extensions added on the way",
        "signature",
        T(|t| {
            t.authenticator_data[32] |= ED;
            t.authenticator_data.push(0xa0);
        }),
    ),
    // The counter.
    ("the counter again: a replay", "counter", A(|a| a.counter = 7)),
    ("a lower counter: a copy", "counter", A(|a| a.counter = 6)),
    ("a counter that restarted", "counter", A(|a| a.counter = 0)),
    ("a counter that was counted meanwhile", "counter", S(|s| s.counter = 8)),
    ("a counter at its end", "counter", S(|s| s.counter = u32::MAX)),
    // The JSON.
    ("two ids", "wire", J(|j| j["rawId"] = json!("AAAA"))),
    ("no id", "wire", J(|j| (j["id"], j["rawId"]) = (json!(""), json!("")))),
    (
        "an id that is too long",
        "wire",
        J(|j| {
            let id = BASE64URL_NOPAD.encode(&[0; 1024]);
            (j["id"], j["rawId"]) = (json!(id), json!(id));
        }),
    ),
    ("another type of credential", "wire", J(|j| j["type"] = json!("password"))),
    ("a padded signature", "wire", J(|j| pad(&mut j["response"]["signature"]))),
    ("no signature", "wire", J(|j| j["response"]["signature"] = json!(""))),
    (
        "a signature that is too long",
        "wire",
        J(|j| {
            j["response"]["signature"] = json!(BASE64URL_NOPAD.encode(&[0x30; 81]));
        }),
    ),
    (
        "client data that is too long",
        "wire",
        J(|j| {
            j["response"]["clientDataJSON"] = json!(BASE64URL_NOPAD.encode(&[b' '; 4097]));
        }),
    ),
    ("an empty handle", "wire", J(|j| j["response"]["userHandle"] = json!(""))),
    (
        "a handle that is too long",
        "wire",
        J(|j| {
            j["response"]["userHandle"] = json!(BASE64URL_NOPAD.encode(&[0; 65]));
        }),
    ),
    ("an unknown member", "wire", J(|j| j["amount"] = json!("1.00"))),
    ("an unknown member within", "wire", J(|j| j["response"]["attestationObject"] = json!("oA"))),
    ("a number", "wire", J(|j| j["response"]["signature"] = json!(1))),
    ("an array", "wire", J(|j| *j = json!(["a", "a", "public-key", {}]))),
    ("an array within", "wire", J(|j| j["response"] = json!(["e30", "AAAA", "AAAA"]))),
    ("a response missing", "wire", J(|j| j["response"] = json!(null))),
    ("base64 of the old alphabet", "wire", J(|j| j["response"]["signature"] = json!("+/+/"))),
    ("text after it", "wire", X(|text| format!("{text} {{}}"))),
    ("a member twice", "wire", X(|text| text.replacen('{', r#"{"type":"public-key","#, 1))),
    ("half of it", "wire", X(|text| text[..text.len() / 2].to_owned())),
    ("nothing", "wire", X(|_| String::new())),
    ("too much of it", "wire", X(|text| format!("{text}{}", " ".repeat(16 * 1024)))),
];
