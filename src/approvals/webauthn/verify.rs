//! Judging an assertion: W3C WebAuthn section 7.2, in its order, for a challenge of ours.

use sha2::{Digest, Sha256};

use crate::domain::credential::Hardware;

use super::assertion::Assertion;
use super::attestors::Attestors;
use super::authenticator_data::AuthenticatorData;
use super::client_data::{self, Ceremony};
use super::cose;
use super::credential::{Attestation, Credential};
use super::fault::{Fault, Refused};
use super::relying_party::RelyingParty;

/// Whether the authenticator must verify its user, by PIN or biometry, besides being touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserVerification {
    /// It must.
    Required,
    /// A touch is enough.
    Discouraged,
}

impl UserVerification {
    /// The name in options (section 5.8.6).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Discouraged => "discouraged",
        }
    }
}

/// What is demanded of the hardware that holds a credential; each adds to the one before.
#[derive(Debug, Clone, Copy)]
pub enum HardwareDemand<'a> {
    /// Nothing: passkeys that a cloud copies to every device of a person will do.
    Any,
    /// It cannot leave its hardware (BE = 0), by its own word.
    Hardware,
    /// A chain to a root that is pinned, and a model that is on the list: now, not only when it was
    /// enrolled, so that taking away a root or a model acts at once.
    Attested(&'a Attestors),
}

impl<'a> HardwareDemand<'a> {
    /// The demand of a tier, in the words of policies.
    pub fn of(hardware: Hardware, attestors: &'a Attestors) -> Self {
        match hardware {
            Hardware::Unproven => Self::Any,
            Hardware::DeviceBound => Self::Hardware,
            Hardware::Attested => Self::Attested(attestors),
        }
    }
}

/// What an assertion must be an assertion of.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The digest of the statement.
    pub challenge: &'a [u8; 32],
    /// The person's credential.
    pub credential: &'a Credential,
    /// The last counter known of it.
    pub counter: u32,
    /// Whether a touch is enough.
    pub user_verification: UserVerification,
    /// What hardware the policy demands.
    pub hardware: HardwareDemand<'a>,
}

/// A judged assertion. Only [`verify`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    counter: u32,
    user_verified: bool,
    backed_up: bool,
}

impl Verified {
    /// The counter to store in place of [`Expected::counter`], in the commit that counts the
    /// approval: one that was verified against an older counter must not count.
    pub fn counter(self) -> u32 {
        self.counter
    }

    /// UV: the user was verified.
    pub fn user_verified(self) -> bool {
        self.user_verified
    }

    /// BS: there is a copy of the credential.
    pub fn backed_up(self) -> bool {
        self.backed_up
    }
}

/// Judges an assertion; a pure function, so the same evidence can be judged again at any time.
///
/// It says what was signed, not whether it was counted before. Whoever counts approvals must count
/// one per statement: ECDSA signatures can be rewritten by anybody into a second valid one, and
/// authenticators without a counter let the same assertion verify again. The 256-bit nonce in the
/// statement makes its digest the thing that occurs once.
///
/// # Errors
/// [`Refused`] with the first check that fails.
pub fn verify(
    rp: &RelyingParty,
    expected: &Expected<'_>,
    assertion: &Assertion,
) -> Result<Verified, Refused> {
    let Expected { challenge, credential, .. } = *expected;
    whose(credential, assertion)?;
    client_data::judge(rp, Ceremony::Get, challenge, &assertion.client_data)?;
    let data = AuthenticatorData::read(&assertion.authenticator_data)?;
    if data.attested.is_some() {
        let detail = "found an attested credential (AT); expected none in an assertion";
        return Err(Fault::AuthenticatorData(detail.to_owned()).into());
    }
    data.judge(rp, expected.user_verification)?;
    let (found, enrolled) = (data.backup_eligible(), credential.backup_eligible);
    if found != enrolled {
        return Err(Fault::BackupEligibility { found, enrolled }.into());
    }
    suffices(credential, expected.hardware)?;

    // The bytes as received: nothing that was read from them is written again.
    let hash = Sha256::digest(&assertion.client_data);
    let signed = [assertion.authenticator_data.as_slice(), &hash].concat();
    cose::signed(&credential.key, &signed, &assertion.signature)?;

    let (found, stored) = (data.counter, expected.counter);
    if (found, stored) != (0, 0) && found <= stored {
        return Err(Fault::Counter { found, stored }.into());
    }
    let (user_verified, backed_up) = (data.user_verified(), data.backed_up());
    Ok(Verified { counter: found, user_verified, backed_up })
}

/// Steps 5 and 6: this credential, of this person.
fn whose(credential: &Credential, assertion: &Assertion) -> Result<(), Fault> {
    if assertion.credential_id != credential.id {
        let found = assertion.credential_id.to_string();
        return Err(Fault::Credential { found, expected: credential.id.to_string() });
    }
    match &assertion.user_handle {
        Some(found) if *found != credential.user_handle => {
            let expected = credential.user_handle.to_string();
            Err(Fault::UserHandle { found: found.to_string(), expected })
        }
        _ => Ok(()),
    }
}

/// Step 19, "apply policy": the same at enrolment and in each assertion.
pub(super) fn suffices(credential: &Credential, demand: HardwareDemand<'_>) -> Result<(), Fault> {
    let attestors = match demand {
        HardwareDemand::Any => return Ok(()),
        _ if credential.backup_eligible => return Err(Fault::NotHardware),
        HardwareDemand::Hardware => return Ok(()),
        HardwareDemand::Attested(attestors) => attestors,
    };
    match &credential.attestation {
        Attestation::None => Err(Fault::NotAttested { found: "none at enrolment" }),
        Attestation::Attested { aaguid, root } if attestors.trust(aaguid, root) => Ok(()),
        Attestation::Attested { aaguid, root } => {
            Err(Fault::NoLongerTrusted { found: format!("model {aaguid}, root {root}") })
        }
    }
}
