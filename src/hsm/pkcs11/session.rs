//! Sessions: keys found, checked and compared once when they are opened, then asked to sign.

use std::collections::BTreeMap;

use cryptoki::context::Pkcs11;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use sha2::{Digest, Sha256};

use crate::domain::key::{Algorithm, KeyId, PublicKey, Purpose};
use crate::domain::notification::message::NotificationMessage;
use crate::hsm::token::{KeyReference, SigningDigest, Token, TokenError};
use crate::log::message::AuditMessage;

use super::library::Counted;
use super::turns::Turns;
use super::{attributes, curve, fault, login};

/// A session that shares its token's login. The fields are dropped in their order: the session is
/// closed (`C_CloseSession`) before its place is given back.
pub(super) struct OpenSession {
    session: Session,
    _counted: Counted,
    pkcs11: Pkcs11,
    slot: Slot,
}

impl OpenSession {
    pub(super) fn new(session: Session, counted: Counted, pkcs11: Pkcs11, slot: Slot) -> Self {
        Self { session, _counted: counted, pkcs11, slot }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the token signs with the algorithm of the key (`C_GetMechanismList`). Asked here and
    /// not found out at the first signature: a module can hold keys that it cannot use, as
    /// p11-kit's client does, which knows no `CKM_EDDSA`.
    pub(super) fn check_signs(&self, key: &KeyReference) -> Result<(), TokenError> {
        let mechanism = curve::signing(key.algorithm).mechanism_type();
        let listed = self.pkcs11.get_mechanism_list(self.slot);
        let listed = listed.map_err(|refused| fault::call("C_GetMechanismList", &refused))?;
        if listed.contains(&mechanism) {
            return Ok(());
        }
        let (key, algorithm) = (key.id.clone(), key.algorithm);
        Err(TokenError::NoAlgorithm { key, algorithm, told: format!("{mechanism} is not listed") })
    }

    /// A token that was taken out and put in again answers, but shows no private object.
    pub(super) fn check_logged_in(&self) -> Result<(), TokenError> {
        login::logged_in(&self.session)
    }
}

/// Both halves of a key as one session knows them.
pub(super) struct Held {
    handle: ObjectHandle,
    /// Its public half.
    pub(super) public: PublicKey,
}

/// A session with the handles of its keys. Handles mean nothing in another session.
pub(super) struct Pkcs11Session {
    open: OpenSession,
    keys: BTreeMap<KeyId, Held>,
    turns: Turns,
}

impl Pkcs11Session {
    /// Finds and checks every key; the first one that is not right decides.
    pub(super) fn with_keys(
        open: OpenSession,
        keys: &[KeyReference],
        turns: Turns,
    ) -> Result<Self, TokenError> {
        let mut held = BTreeMap::new();
        for key in keys {
            if key.thumbprint.is_none() {
                return Err(TokenError::Unpinned(key.id.clone()));
            }
            held.insert(key.id.clone(), inspect(&open, key)?);
        }
        Ok(Self { open, keys: held, turns })
    }

    fn held(&self, key: &KeyId) -> Result<&Held, TokenError> {
        self.keys.get(key).ok_or_else(|| TokenError::UnknownKey(key.clone()))
    }

    /// `CKM_ECDSA` over the digest of the bytes of a typed message, or `CKM_EDDSA` over the bytes.
    fn sign_message(&self, key: &KeyId, bytes: &[u8]) -> Result<Vec<u8>, TokenError> {
        let held = self.held(key)?;
        match held.public.algorithm() {
            Algorithm::Es256 => self.sign(held, &Sha256::digest(bytes)),
            Algorithm::EdDsa => self.sign(held, bytes),
        }
    }

    /// `C_SignInit` and `C_Sign` with the mechanism of the key.
    fn sign(&self, key: &Held, bytes: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mechanism = curve::signing(key.public.algorithm());
        let _turn = self.turns.take();
        let signed = self.open.session.sign(&mechanism, key.handle, bytes);
        signed.map_err(|refused| fault::call("C_Sign", &refused))
    }
}

impl Token for Pkcs11Session {
    fn public_key(&mut self, key: &KeyId) -> Result<PublicKey, TokenError> {
        self.held(key).map(|held| held.public.clone())
    }

    fn sign_digest(&mut self, key: &KeyId, digest: &SigningDigest) -> Result<Vec<u8>, TokenError> {
        let held = self.held(key)?;
        match held.public.algorithm() {
            Algorithm::Es256 => self.sign(held, digest.as_bytes()),
            // A digest is not the message that Ed25519 would have to sign.
            found @ Algorithm::EdDsa => Err(TokenError::WrongAlgorithm {
                key: key.clone(),
                purpose: Purpose::Settlement,
                found,
                expected: Algorithm::Es256,
            }),
        }
    }

    fn sign_audit(&mut self, key: &KeyId, message: &AuditMessage) -> Result<Vec<u8>, TokenError> {
        self.sign_message(key, &message.to_bytes())
    }

    fn sign_notification(
        &mut self,
        key: &KeyId,
        message: &NotificationMessage,
    ) -> Result<Vec<u8>, TokenError> {
        self.sign_message(key, &message.to_bytes())
    }

    fn probe(&mut self) -> Result<(), TokenError> {
        let _turn = self.turns.take();
        self.open.check_logged_in()?;
        login::answers(&self.open.pkcs11, self.open.slot)
    }
}

/// Finds both halves of a key, checks the private one's attributes, and compares the public one
/// with the pin where there is one.
pub(super) fn inspect(open: &OpenSession, key: &KeyReference) -> Result<Held, TokenError> {
    let session = open.session();
    open.check_signs(key)?;
    let handle = find(session, key, ObjectClass::PRIVATE_KEY, "CKO_PRIVATE_KEY")?;
    attributes::check(session, handle, key)?;
    let public = find(session, key, ObjectClass::PUBLIC_KEY, "CKO_PUBLIC_KEY")?;
    let public = read_public(session, public, key)?;
    match &key.thumbprint {
        Some(pinned) if pinned != public.kid() => Err(TokenError::PinnedKeyMismatch {
            key: key.id.clone(),
            expected: pinned.clone(),
            found: public.kid().clone(),
        }),
        _ => Ok(Held { handle, public }),
    }
}

fn find(
    session: &Session,
    key: &KeyReference,
    object_class: ObjectClass,
    class: &'static str,
) -> Result<ObjectHandle, TokenError> {
    let (kind, key_type) = curve::key_type(key.algorithm);
    let template = [
        Attribute::Class(object_class),
        Attribute::KeyType(kind),
        Attribute::Id(key.object_id.clone()),
        Attribute::Label(key.label.as_bytes().to_vec()),
    ];
    let found = session
        .find_objects(&template)
        .map_err(|refused| fault::call("C_FindObjects", &refused))?;
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(TokenError::KeyMissing {
            key: key.id.clone(),
            class,
            key_type,
            label: key.label.clone(),
            object_id: hexadecimal(&key.object_id),
        }),
        several => {
            Err(TokenError::KeyDuplicate { key: key.id.clone(), class, count: several.len() })
        }
    }
}

fn read_public(
    session: &Session,
    handle: ObjectHandle,
    key: &KeyReference,
) -> Result<PublicKey, TokenError> {
    let refuse = |found: String| TokenError::Attribute {
        key: key.id.clone(),
        attribute: "CKA_EC_POINT",
        found,
        expected: curve::expected_point(key.algorithm).to_owned(),
    };
    let point = match attributes::single(session, handle, AttributeType::EcPoint)? {
        Some(Attribute::EcPoint(point)) => point,
        _ => return Err(refuse("absent".to_owned())),
    };
    let raw = curve::unwrapped(key.algorithm, &point)
        .ok_or_else(|| refuse(format!("{} other bytes", point.len())))?;
    PublicKey::from_bytes(key.algorithm, raw).map_err(|told| refuse(told.detail))
}

/// `CKA_ID` as the configuration writes it.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
