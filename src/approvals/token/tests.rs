//! Signatures of a token, and every way in which one is not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

use super::*;
use crate::domain::credential::{CredentialId, Hardware};
use crate::domain::key::PublicKey;
use crate::domain::person::Approver;
use crate::domain::statement::{Facts, Verdict};
use crate::domain::subject::{OperationId, Subject};
use crate::domain::time::Timestamp;

/// A token in software.
pub(crate) enum Pair {
    P256(Box<EcdsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    pub(crate) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::P256(Box::new(pair))
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn credential(&self) -> Credential {
        let key = match self {
            Self::P256(pair) => {
                PublicKey::from_bytes(Algorithm::Es256, pair.public_key().as_ref()).unwrap()
            }
            Self::Ed25519(pair) => {
                PublicKey::from_bytes(Algorithm::EdDsa, pair.public_key().as_ref()).unwrap()
            }
        };
        Credential {
            id: CredentialId::from_bytes("", key.kid().as_str().as_bytes().to_vec()).unwrap(),
            kind: CredentialKind::Token,
            key,
            hardware: Hardware::Unproven,
            device: String::new(),
        }
    }

    pub(crate) fn sign(&self, statement: &Statement) -> Vec<u8> {
        let message = message(statement);
        match self {
            Self::P256(pair) => {
                pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(&message).as_ref().to_vec(),
        }
    }
}

fn statement() -> Statement {
    Statement {
        subject: Subject::Operation(OperationId::from_bytes([7; 16])),
        subject_digest: [1; 32],
        facts: Facts::Operation("let ana join treasury".to_owned()),
        tier: "group_joined".to_owned(),
        policy_version: "sha256:00".to_owned(),
        approver: Approver::parse("", "person:ana").unwrap(),
        verdict: Verdict::Approve,
        nonce: [2; 32],
        expires_at: Timestamp::from_unix_ms(1_800_000_000_000),
    }
}

#[test]
fn what_the_enrolled_key_made_over_this_statement_is_evidence_and_nothing_else() {
    for pair in [Pair::p256(), Pair::ed25519()] {
        let (credential, statement) = (pair.credential(), statement());
        let good = pair.sign(&statement);
        assert_eq!(verify(&credential, &statement, &good), Ok(()));
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let longer = [good.as_slice(), &[0]].concat();
        let other = Pair::p256().sign(&statement);
        let rejected = pair.sign(&Statement { verdict: Verdict::Reject, ..statement.clone() });
        let zeros = vec![0; 64];
        for (evidence, fault) in [
            (Vec::new(), Fault::Length { found: 0 }),
            (good[..63].to_vec(), Fault::Length { found: 63 }),
            (longer, Fault::Length { found: 65 }),
            (flipped(0), Fault::Signature),
            (flipped(31), Fault::Signature),
            (flipped(32), Fault::Signature),
            (flipped(63), Fault::Signature),
            ([&good[32..], &good[..32]].concat(), Fault::Signature),
            (other, Fault::Signature),
            (rejected, Fault::Signature),
            (zeros, Fault::Signature),
        ] {
            assert_eq!(verify(&credential, &statement, &evidence), Err(fault));
        }
        let elsewhere = Credential { key: Pair::p256().credential().key, ..credential.clone() };
        assert_eq!(verify(&elsewhere, &statement, &good), Err(Fault::Signature));
        let webauthn = Credential { kind: CredentialKind::WebAuthn, ..credential };
        let fault = Fault::Kind { found: "webauthn" };
        assert_eq!(verify(&webauthn, &statement, &good), Err(fault));
    }
}

#[test]
fn the_message_is_what_the_digest_is_of() {
    let statement = statement();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(message(&statement));
    assert_eq!(digest.as_slice(), statement.digest().as_bytes());
}
