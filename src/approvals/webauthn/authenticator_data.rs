//! What the authenticator signs (W3C WebAuthn section 6.1).

use data_encoding::HEXLOWER;

use crate::domain::credential::CREDENTIAL_ID_BYTES_MAX;
use crate::domain::key::PublicKey;

use super::attestors::Aaguid;
use super::cbor::{self, Cbor};
use super::cose;
use super::fault::Fault;
use super::relying_party::RelyingParty;
use super::verify::UserVerification;

/// Bytes of authenticator data, at most. An assertion has 37 and extensions; an enrolment has the
/// credential's id and key as well.
pub(super) const AUTHENTICATOR_DATA_BYTES_MAX: usize = 4096;

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;
const RESERVED: u8 = 0x22;

/// Authenticator data, read.
pub(super) struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    /// The signature counter (section 6.1.1); 0 from those that have none.
    pub(super) counter: u32,
    /// At enrolment.
    pub(super) attested: Option<AttestedCredential<'a>>,
}

/// The new credential in the data of an enrolment (section 6.5.1).
pub(super) struct AttestedCredential<'a> {
    pub(super) aaguid: Aaguid,
    pub(super) id: &'a [u8],
    pub(super) key: PublicKey,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of the bytes. Flags that have no meaning yet are refused: what they will mean may
    /// be a reason to refuse.
    ///
    /// # Errors
    /// [`Fault::AuthenticatorData`], [`Fault::Cbor`] or [`Fault::PublicKey`].
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (rp_id_hash, rest) = first::<32>(bytes, "rpIdHash")?;
        let ([flags], rest) = first::<1>(rest, "flags")?;
        let (counter, rest) = first::<4>(rest, "signCount")?;
        if flags & RESERVED != 0 {
            let detail = format!("found flags 0x{flags:02x}; expected no reserved bit in them");
            return Err(Fault::AuthenticatorData(detail));
        }
        let (attested, rest) = match flags & ATTESTED {
            0 => (None, rest),
            _ => attested(rest).map(|(credential, rest)| (Some(credential), rest))?,
        };
        let rest = match flags & EXTENSIONS {
            0 => rest,
            _ => extensions(rest)?,
        };
        match rest.len() {
            0 => {
                let counter = u32::from_be_bytes(*counter);
                Ok(Self { rp_id_hash, flags: *flags, counter, attested })
            }
            found => {
                let detail = format!("found {found} bytes after its end; expected none");
                Err(Fault::AuthenticatorData(detail))
            }
        }
    }

    /// Judges what both ceremonies have in common: section 7.1 steps 14 to 17, section 7.2 steps
    /// 15 to 18.
    ///
    /// # Errors
    /// The first check that fails, in this order.
    pub(super) fn judge(
        &self,
        rp: &RelyingParty,
        verification: UserVerification,
    ) -> Result<(), Fault> {
        if *self.rp_id_hash != rp.id_hash() {
            let (found, expected) = (HEXLOWER.encode(self.rp_id_hash), rp.id().to_owned());
            return Err(Fault::RpIdHash { found, expected });
        }
        if !self.has(USER_PRESENT) {
            return Err(Fault::UserPresence);
        }
        if verification == UserVerification::Required && !self.user_verified() {
            return Err(Fault::UserVerification);
        }
        if self.backed_up() && !self.backup_eligible() {
            return Err(Fault::BackupState);
        }
        Ok(())
    }

    /// UV: PIN or biometry was asked for and was right.
    pub(super) fn user_verified(&self) -> bool {
        self.has(USER_VERIFIED)
    }

    /// BE: the credential may leave its hardware.
    pub(super) fn backup_eligible(&self) -> bool {
        self.has(BACKUP_ELIGIBLE)
    }

    /// BS: it has.
    pub(super) fn backed_up(&self) -> bool {
        self.has(BACKED_UP)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn attested(bytes: &[u8]) -> Result<(AttestedCredential<'_>, &[u8]), Fault> {
    let (aaguid, rest) = first::<16>(bytes, "aaguid")?;
    let (length, rest) = first::<2>(rest, "credentialIdLength")?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > CREDENTIAL_ID_BYTES_MAX {
        let expected = CREDENTIAL_ID_BYTES_MAX;
        let detail = format!("found a credential id of {length} bytes; expected 1 to {expected}");
        return Err(Fault::AuthenticatorData(detail));
    }
    let short = || Fault::AuthenticatorData("found no whole credentialId; expected it".to_owned());
    let (id, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let place = "credential public key";
    let (key, rest) = cbor::read_first(rest).map_err(|fault| Fault::Cbor { place, fault })?;
    let key = cose::public_key(&key)?;
    Ok((AttestedCredential { aaguid: Aaguid::from_bytes(*aaguid), id, key }, rest))
}

/// Extension outputs are read for their form alone: none is asked for, and none changes anything.
fn extensions(bytes: &[u8]) -> Result<&[u8], Fault> {
    let refuse = |fault| Fault::Cbor { place: "extensions", fault };
    match cbor::read_first(bytes).map_err(refuse)? {
        (Cbor::Map(_), rest) => Ok(rest),
        _ => Err(refuse("found no map; expected the one that the flag ED announces".to_owned())),
    }
}

fn first<'a, const N: usize>(
    bytes: &'a [u8],
    part: &str,
) -> Result<(&'a [u8; N], &'a [u8]), Fault> {
    bytes.split_first_chunk::<N>().ok_or_else(|| {
        let found = bytes.len();
        let detail = format!("found {found} bytes at {part}; expected {N} and more");
        Fault::AuthenticatorData(detail)
    })
}
