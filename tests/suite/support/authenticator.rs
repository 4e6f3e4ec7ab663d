//! A security key in software, and its maker: answers to WebAuthn options, right or wrong by one
//! detail. Everything that it writes is written here, by none of the code that reads it.
//!
//! The unit tests of `src/approvals/webauthn` use this file too.

#[path = "authenticator/maker.rs"]
mod maker;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) use maker::{AttestationKey, Maker};

pub(crate) const UP: u8 = 0x01;
pub(crate) const UV: u8 = 0x04;
pub(crate) const BE: u8 = 0x08;
pub(crate) const BS: u8 = 0x10;
pub(crate) const AT: u8 = 0x40;
pub(crate) const ED: u8 = 0x80;

/// The algorithm of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Es256,
    EdDsa,
}

enum Secret {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// One credential in one key.
pub(crate) struct Authenticator {
    secret: Secret,
    pub(crate) id: Vec<u8>,
    pub(crate) aaguid: [u8; 16],
    /// Given at enrolment, returned with each touch.
    pub(crate) user_handle: Option<String>,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    /// What a touch adds to the counter; 0 for a key that does not count.
    pub(crate) step: u32,
}

/// What is signed, before it is: each field is a detail to get wrong.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) ceremony: String,
    /// Base64url.
    pub(crate) challenge: String,
    pub(crate) origin: String,
    /// More members of the client data, each with a comma before it.
    pub(crate) members: String,
    /// The client data, whatever the fields above say.
    pub(crate) client_data: Option<Vec<u8>>,
    pub(crate) rp_id: String,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    /// What follows in the authenticator data.
    pub(crate) tail: Vec<u8>,
    /// The authenticator data, whatever the fields above say.
    pub(crate) authenticator_data: Option<Vec<u8>>,
}

impl Asked {
    fn of(ceremony: &str, challenge: &Value, origin: &str, rp_id: &Value) -> Self {
        Self {
            ceremony: ceremony.to_owned(),
            challenge: challenge.as_str().unwrap().to_owned(),
            origin: origin.to_owned(),
            members: r#","crossOrigin":false"#.to_owned(),
            client_data: None,
            rp_id: rp_id.as_str().unwrap().to_owned(),
            flags: 0,
            counter: 0,
            tail: Vec::new(),
            authenticator_data: None,
        }
    }

    /// As section 5.8.1.1 of the specification writes it.
    pub(crate) fn client_data(&self) -> Vec<u8> {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let (ceremony, challenge) = (text(&self.ceremony), text(&self.challenge));
        let (origin, members) = (text(&self.origin), &self.members);
        let json =
            format!(r#"{{"type":{ceremony},"challenge":{challenge},"origin":{origin}{members}}}"#);
        self.client_data.clone().unwrap_or(json.into_bytes())
    }

    /// As section 6.1 lays it out.
    pub(crate) fn authenticator_data(&self) -> Vec<u8> {
        let hash = Sha256::digest(&self.rp_id);
        let counter = self.counter.to_be_bytes();
        let whole = [&hash[..], &[self.flags], &counter, &self.tail].concat();
        self.authenticator_data.clone().unwrap_or(whole)
    }

    /// The bytes under a signature.
    pub(crate) fn signed(&self) -> Vec<u8> {
        [self.authenticator_data(), Sha256::digest(self.client_data()).to_vec()].concat()
    }
}

/// An answer to a request, as a page would post it.
#[derive(Clone)]
pub(crate) struct Touch {
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) user_handle: Option<String>,
}

impl Touch {
    /// What `PublicKeyCredential.toJSON()` makes of it.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({
            "id": encoded(&self.id),
            "rawId": encoded(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&self.client_data),
                "authenticatorData": encoded(&self.authenticator_data),
                "signature": encoded(&self.signature),
            },
        });
        if let Some(handle) = &self.user_handle {
            json["response"]["userHandle"] = json!(handle);
        }
        json
    }
}

/// A new credential, before it is attested.
pub(crate) struct Creation {
    pub(crate) asked: Asked,
    /// The id outside of what is signed.
    pub(crate) id: Vec<u8>,
    /// The id inside.
    pub(crate) inner_id: Vec<u8>,
    pub(crate) aaguid: [u8; 16],
    /// The COSE key.
    pub(crate) key: Vec<u8>,
    /// What follows the COSE key.
    pub(crate) extensions: Vec<u8>,
    pub(crate) transports: Value,
}

impl Creation {
    /// Puts the credential behind the authenticator data, once all is as wrong as it should be.
    pub(crate) fn settled(mut self) -> Self {
        let length = u16::try_from(self.inner_id.len()).unwrap().to_be_bytes();
        let parts = [&self.aaguid[..], &length, &self.inner_id, &self.key, &self.extensions];
        if self.asked.flags & AT != 0 {
            self.asked.tail = parts.concat();
        }
        self
    }

    /// The answer with this statement: format and CBOR.
    pub(crate) fn attested(&self, format: &str, statement: &[u8]) -> Value {
        let data = bytes(&self.asked.authenticator_data());
        let object = map(&[
            (text("fmt"), text(format)),
            (text("attStmt"), statement.to_vec()),
            (text("authData"), data),
        ]);
        self.with_object(&object)
    }

    /// The answer with this attestation object.
    pub(crate) fn with_object(&self, object: &[u8]) -> Value {
        json!({
            "id": encoded(&self.id),
            "rawId": encoded(&self.id),
            "type": "public-key",
            "authenticatorAttachment": "cross-platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&self.asked.client_data()),
                "attestationObject": encoded(object),
                "transports": self.transports,
                "publicKeyAlgorithm": -7,
            },
        })
    }

    /// Format "none".
    pub(crate) fn none(&self) -> Value {
        self.attested("none", &map(&[]))
    }

    /// Format "packed", attested by the credential itself.
    pub(crate) fn packed_self(&self, by: &Authenticator) -> Value {
        let signature = by.sign(&self.asked.signed());
        self.attested("packed", &statement(by.alg(), &signature, None))
    }

    /// Format "packed", attested by the key of a maker.
    pub(crate) fn packed(&self, by: &AttestationKey) -> Value {
        let signature = by.sign(&self.asked.signed());
        self.attested("packed", &statement(-7, &signature, Some(&by.chain)))
    }
}

impl Authenticator {
    /// A hardware key that counts, with a random credential.
    pub(crate) fn new(kind: Kind) -> Self {
        let secret = match kind {
            Kind::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
                Secret::Es256(pair)
            }
            Kind::EdDsa => Secret::EdDsa(Ed25519KeyPair::generate().unwrap()),
        };
        let mut id = vec![0; 32];
        getrandom::fill(&mut id).unwrap();
        let aaguid = *b"software key 001";
        Self { secret, id, aaguid, user_handle: None, flags: UP | UV, counter: 7, step: 1 }
    }

    /// Answers creation options, as a page of this origin would pass them on.
    pub(crate) fn create(&mut self, options: &Value, origin: &str) -> Creation {
        let rp_id = &options["rp"]["id"];
        let mut asked = Asked::of("webauthn.create", &options["challenge"], origin, rp_id);
        (asked.flags, asked.counter) = (self.flags | AT, self.counter);
        self.user_handle = options["user"]["id"].as_str().map(str::to_owned);
        Creation {
            asked,
            id: self.id.clone(),
            inner_id: self.id.clone(),
            aaguid: self.aaguid,
            key: self.cose(),
            extensions: Vec::new(),
            transports: json!(["usb", "nfc"]),
        }
    }

    /// Takes up request options, as a page of this origin would pass them on.
    pub(crate) fn request(&mut self, options: &Value, origin: &str) -> Asked {
        let rp_id = &options["rpId"];
        let mut asked = Asked::of("webauthn.get", &options["challenge"], origin, rp_id);
        self.counter += self.step;
        (asked.flags, asked.counter) = (self.flags, self.counter);
        asked
    }

    /// Signs what was asked.
    pub(crate) fn touch(&self, asked: &Asked) -> Touch {
        Touch {
            id: self.id.clone(),
            client_data: asked.client_data(),
            authenticator_data: asked.authenticator_data(),
            signature: self.sign(&asked.signed()),
            user_handle: self.user_handle.clone(),
        }
    }

    /// A signature over anything: this is not countersign.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Es256(pair) => es256(pair, message),
            Secret::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The uncompressed point, or the 32 bytes of Ed25519.
    pub(crate) fn public_key(&self) -> &[u8] {
        match &self.secret {
            Secret::Es256(pair) => pair.public_key().as_ref(),
            Secret::EdDsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn alg(&self) -> i64 {
        match self.secret {
            Secret::Es256(_) => -7,
            Secret::EdDsa(_) => -8,
        }
    }

    /// The COSE key.
    pub(crate) fn cose(&self) -> Vec<u8> {
        let key = self.public_key();
        let pair = |label, value| (integer(label), value);
        match self.secret {
            Secret::Es256(_) => map(&[
                pair(1, integer(2)),
                pair(3, integer(-7)),
                pair(-1, integer(1)),
                pair(-2, bytes(&key[1..33])),
                pair(-3, bytes(&key[33..])),
            ]),
            Secret::EdDsa(_) => map(&[
                pair(1, integer(1)),
                pair(3, integer(-8)),
                pair(-1, integer(6)),
                pair(-2, bytes(key)),
            ]),
        }
    }
}

/// A statement of format "packed".
pub(crate) fn statement(alg: i64, signature: &[u8], chain: Option<&[Vec<u8>]>) -> Vec<u8> {
    let mut members = vec![(text("alg"), integer(alg)), (text("sig"), bytes(signature))];
    if let Some(chain) = chain {
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| bytes(der)).collect();
        members.push((text("x5c"), list(&chain)));
    }
    map(&members)
}

fn es256(pair: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

fn encoded(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

// CBOR, written.

fn head(major: u8, argument: u64) -> Vec<u8> {
    let major = major << 5;
    match argument {
        0..=23 => vec![major | u8::try_from(argument).unwrap()],
        24..=0xff => vec![major | 24, u8::try_from(argument).unwrap()],
        0x100..=0xffff => {
            [&[major | 25][..], &u16::try_from(argument).unwrap().to_be_bytes()].concat()
        }
        _ => [&[major | 26][..], &u32::try_from(argument).unwrap().to_be_bytes()].concat(),
    }
}

/// A CBOR integer.
pub(crate) fn integer(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(0, value),
        Err(_) => head(1, u64::try_from(-1 - value).unwrap()),
    }
}

/// A CBOR byte string.
pub(crate) fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, u64::try_from(value.len()).unwrap()), value.to_vec()].concat()
}

/// A CBOR text.
pub(crate) fn text(value: &str) -> Vec<u8> {
    [head(3, u64::try_from(value.len()).unwrap()), value.as_bytes().to_vec()].concat()
}

/// A CBOR array of encoded items.
pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, u64::try_from(items.len()).unwrap()), items.concat()].concat()
}

/// A CBOR map of encoded pairs, in the order given.
pub(crate) fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let members = pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]);
    let members: Vec<Vec<u8>> = members.collect();
    [head(5, u64::try_from(pairs.len()).unwrap()), members.concat()].concat()
}
