//! Enrolling a credential: W3C WebAuthn section 7.1, in its order.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::domain::credential::CredentialId;
use crate::domain::key::Algorithm;
use crate::domain::time::Timestamp;

use super::assertion::{TIMEOUT_MS, descriptor};
use super::attestation::AttestationObject;
use super::authenticator_data::AuthenticatorData;
use super::client_data::{self, Ceremony};
use super::cose;
use super::credential::{Attestation, Credential, UserHandle};
use super::fault::{Fault, Refused};
use super::registration::Registration;
use super::relying_party::RelyingParty;
use super::verify::{HardwareDemand, UserVerification, suffices};

/// A person, as authenticators show them to themselves when they choose between accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Random; never a name or an address.
    pub handle: UserHandle,
    /// Such as a mail address.
    pub name: String,
    /// Such as a full name.
    pub display_name: String,
}

/// One registration. It has no state of its own: whoever keeps the challenge can make it again.
#[derive(Debug, Clone, Copy)]
pub struct Enrolment<'a> {
    /// For whom the credential is made.
    pub rp: &'a RelyingParty,
    /// 32 random bytes, or the digest of a statement; used once.
    pub challenge: &'a [u8; 32],
    /// Whose it will be.
    pub user: &'a User,
    /// Credentials that are enrolled already, whoever's: an authenticator that has one of them
    /// makes no second one, and an answer that names one of them is refused.
    pub enrolled: &'a [&'a Credential],
    /// Whether PIN or biometry is demanded.
    pub user_verification: UserVerification,
    /// Whether the authenticator must be able to find the credential by itself ("passkey").
    pub discoverable: bool,
    /// What is demanded of the hardware. "Attested" asks for direct attestation.
    pub hardware: HardwareDemand<'a>,
}

impl Enrolment<'_> {
    /// The options with which a page asks (`PublicKeyCredentialCreationOptionsJSON`, section
    /// 5.1.8), for `PublicKeyCredential.parseCreationOptionsFromJSON`.
    pub fn options(&self) -> String {
        let algorithms = Algorithm::ALL
            .map(|algorithm| json!({ "type": "public-key", "alg": cose::number(algorithm) }));
        let enrolled = self.enrolled.iter().map(|credential| descriptor(credential));
        let (attestation, hints) = match self.hardware {
            HardwareDemand::Any => ("none", json!([])),
            HardwareDemand::Hardware => ("none", json!(["security-key"])),
            HardwareDemand::Attested(_) => ("direct", json!(["security-key"])),
        };
        json!({
            "rp": { "id": self.rp.id(), "name": self.rp.name() },
            "user": {
                "id": self.user.handle.to_string(),
                "name": self.user.name,
                "displayName": self.user.display_name,
            },
            "challenge": BASE64URL_NOPAD.encode(self.challenge),
            "pubKeyCredParams": algorithms,
            "timeout": TIMEOUT_MS,
            "excludeCredentials": enrolled.collect::<Vec<_>>(),
            "authenticatorSelection": {
                "residentKey": if self.discoverable { "required" } else { "discouraged" },
                "requireResidentKey": self.discoverable,
                "userVerification": self.user_verification.name(),
            },
            "hints": hints,
            "attestation": attestation,
        })
        .to_string()
    }

    /// Judges the answer. A pure function: the same evidence can be judged again, with the instant
    /// at which it was received.
    ///
    /// # Errors
    /// [`Refused`] with the first check that fails.
    pub fn finish(
        &self,
        registration: &Registration,
        received_at: Timestamp,
    ) -> Result<Credential, Refused> {
        let client_data = &registration.client_data;
        client_data::judge(self.rp, Ceremony::Create, self.challenge, client_data)?;
        let client_data_hash: [u8; 32] = Sha256::digest(client_data).into();
        let object = AttestationObject::read(&registration.attestation_object)?;
        let data = AuthenticatorData::read(object.authenticator_data)?;
        data.judge(self.rp, self.user_verification)?;
        let made = data.attested.as_ref().ok_or_else(|| {
            let detail = "found no attested credential (AT); expected one at enrolment";
            Fault::AuthenticatorData(detail.to_owned())
        })?;
        let attestors = match self.hardware {
            HardwareDemand::Attested(attestors) => Some(attestors),
            HardwareDemand::Any | HardwareDemand::Hardware => None,
        };
        let mut credential = Credential {
            id: registration.credential_id.clone(),
            key: made.key.clone(),
            user_handle: self.user.handle.clone(),
            counter: data.counter,
            backup_eligible: data.backup_eligible(),
            user_verified: data.user_verified(),
            attestation: Attestation::None,
            transports: registration.transports.clone(),
        };
        credential.attestation = object.judge(made, &client_data_hash, attestors, received_at)?;
        suffices(&credential, self.hardware)?;
        self.unused(&credential.id, made.id)?;
        Ok(credential)
    }

    /// Steps 25 and 26: the id that was signed is the one outside, and nobody has it.
    fn unused(&self, outside: &CredentialId, signed: &[u8]) -> Result<(), Fault> {
        let (found, expected) = (BASE64URL_NOPAD.encode(signed), outside.to_string());
        if outside.as_bytes() != signed {
            return Err(Fault::Credential { found, expected });
        }
        match self.enrolled.iter().any(|credential| credential.id == *outside) {
            true => Err(Fault::AlreadyEnrolled { found }),
            false => Ok(()),
        }
    }
}
