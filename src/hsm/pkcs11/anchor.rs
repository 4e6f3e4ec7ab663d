//! Anchors as private data objects (`CKO_DATA`), in a read-write session of their own.
//!
//! The session is opened when it is first needed and kept. It is given up after any failure, and
//! when the token is started over; then the next call opens another one.
//!
//! PKCS#11 does not promise that the value of a data object can be changed, and SoftHSM refuses it
//! (`CKR_ATTRIBUTE_READ_ONLY`). So a new object is made under a label of its own and read back, the
//! old one is destroyed, and the new one takes over its label. Wherever that is cut off, what is
//! there says how far it came, and one whole object of the slot is left.

use std::sync::Arc;

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::hsm::anchor::{AnchorError, AnchorSlot, AnchorStore, check_length};
use crate::hsm::token::TokenError;

use super::login::Access;
use super::session::OpenSession;
use super::{attributes, fault};

/// `CKA_APPLICATION` of our objects.
const APPLICATION: &[u8] = b"countersign";
/// After the label of what a slot holds.
const HELD: &str = "";
/// After the label of what is about to take its place.
const COMING: &str = "-new";

/// The anchors on one PKCS#11 token.
pub struct Pkcs11Anchors {
    access: Arc<Access>,
}

/// What one attempt did not do: say why, or find that its session is no longer good.
enum Setback {
    Refused(AnchorError),
    Lost(Box<TokenError>),
}

impl From<TokenError> for Setback {
    fn from(lost: TokenError) -> Self {
        Self::Lost(Box::new(lost))
    }
}

impl From<AnchorError> for Setback {
    fn from(refused: AnchorError) -> Self {
        Self::Refused(refused)
    }
}

impl AnchorStore for Pkcs11Anchors {
    fn name(&self) -> &str {
        self.access.name()
    }

    fn read(&self) -> Result<[Option<Vec<u8>>; 2], AnchorError> {
        self.twice(|open| {
            let [zero, one] = AnchorSlot::BOTH.map(|slot| self.content(open.session(), slot));
            let read = [zero?, one?];
            // A login that was lost meanwhile hides private objects; they are not missing then.
            open.check_logged_in()?;
            Ok(read)
        })
    }

    fn write(&self, slot: AnchorSlot, bytes: &[u8]) -> Result<(), AnchorError> {
        check_length(bytes)?;
        // Writing the same bytes a second time is as good as once.
        self.twice(|open| {
            let session = open.session();
            let old = match (self.find(session, slot, HELD)?, self.find(session, slot, COMING)?) {
                (Some(old), None) => old,
                // A writing was cut off. Nobody was told that it had succeeded.
                (Some(old), Some(coming)) => {
                    destroy(session, coming)?;
                    old
                }
                (None, Some(come)) => {
                    rename(session, come, slot, HELD)?;
                    come
                }
                (None, None) => {
                    open.check_logged_in()?;
                    let (token, label) = (self.name().to_owned(), slot.label());
                    return Err(AnchorError::Missing { token, label }.into());
                }
            };
            self.replace(session, slot, old, bytes)
        })
    }

    fn create(&self, slot: AnchorSlot, bytes: &[u8]) -> Result<(), AnchorError> {
        check_length(bytes)?;
        // Not twice: an object that was made although the answer was lost would then be in the way.
        let mut held = self.access.anchors();
        let _turn = self.access.turns().take();
        *held = None;
        let made = self.open().and_then(|open| {
            let session = open.session();
            let held = self.find(session, slot, HELD)?;
            if held.or(self.find(session, slot, COMING)?).is_some() {
                let (token, label) = (self.name().to_owned(), slot.label());
                return Err(AnchorError::Exists { token, label }.into());
            }
            open.check_logged_in()?;
            make(session, slot, HELD, bytes)?;
            self.compare(session, slot, bytes)
        });
        made.map_err(|setback| self.told(setback))
    }
}

impl Pkcs11Anchors {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    /// Does something in the session that is there; if that is lost, once more in a new one.
    fn twice<T>(&self, act: impl Fn(&OpenSession) -> Result<T, Setback>) -> Result<T, AnchorError> {
        let mut held = self.access.anchors();
        let _turn = self.access.turns().take();
        if let Some(open) = held.take() {
            match open.check_logged_in().map_err(Setback::from).and_then(|()| act(&open)) {
                Err(Setback::Lost(lost)) => {
                    let token = self.name();
                    tracing::warn!(token, reason = %lost, "session of the anchors lost");
                }
                done => {
                    *held = Some(open);
                    return done.map_err(|setback| self.told(setback));
                }
            }
        }
        let done = self.open().and_then(|open| {
            let done = act(&open)?;
            *held = Some(open);
            Ok(done)
        });
        done.map_err(|setback| self.told(setback))
    }

    fn open(&self) -> Result<OpenSession, Setback> {
        self.access.session(true).map_err(Setback::from)
    }

    fn told(&self, setback: Setback) -> AnchorError {
        match setback {
            Setback::Refused(refused) => refused,
            Setback::Lost(source) => AnchorError::Token { token: self.name().to_owned(), source },
        }
    }

    /// Puts a new object in the place of the old one.
    fn replace(
        &self,
        session: &Session,
        slot: AnchorSlot,
        old: ObjectHandle,
        bytes: &[u8],
    ) -> Result<(), Setback> {
        let new = make(session, slot, COMING, bytes)?;
        self.same(slot, self.value(session, new)?, bytes)?;
        destroy(session, old)?;
        rename(session, new, slot, HELD)?;
        self.compare(session, slot, bytes)
    }

    /// The one object of a slot under a suffix, if there is any, checked to be ours and private.
    fn find(
        &self,
        session: &Session,
        slot: AnchorSlot,
        suffix: &str,
    ) -> Result<Option<ObjectHandle>, Setback> {
        let template = [Attribute::Class(ObjectClass::DATA), label(slot, suffix)];
        let found = session
            .find_objects(&template)
            .map_err(|refused| fault::call("C_FindObjects", &refused))?;
        match found.as_slice() {
            [] => Ok(None),
            [only] => self.check(session, *only, slot).map(|()| Some(*only)),
            several => {
                let (token, count) = (self.name().to_owned(), several.len());
                Err(AnchorError::Duplicate { token, label: slot.label(), count }.into())
            }
        }
    }

    fn check(
        &self,
        session: &Session,
        object: ObjectHandle,
        slot: AnchorSlot,
    ) -> Result<(), Setback> {
        let ours = [
            ("CKA_TOKEN", Attribute::Token(true)),
            ("CKA_PRIVATE", Attribute::Private(true)),
            ("CKA_APPLICATION", Attribute::Application(APPLICATION.to_vec())),
        ];
        for (attribute, expected) in ours {
            let found = attributes::single(session, object, expected.attribute_type())?;
            if found.as_ref() != Some(&expected) {
                let refused = AnchorError::Attribute {
                    token: self.name().to_owned(),
                    label: slot.label(),
                    attribute,
                    found: found.as_ref().map_or_else(|| "absent".to_owned(), shown),
                    expected: shown(&expected),
                };
                return Err(refused.into());
            }
        }
        Ok(())
    }

    fn content(&self, session: &Session, slot: AnchorSlot) -> Result<Option<Vec<u8>>, Setback> {
        let object = match self.find(session, slot, HELD)? {
            None => self.find(session, slot, COMING)?,
            held => held,
        };
        object.map(|object| self.value(session, object)).transpose()
    }

    fn value(&self, session: &Session, object: ObjectHandle) -> Result<Vec<u8>, Setback> {
        match attributes::single(session, object, AttributeType::Value)? {
            Some(Attribute::Value(bytes)) => {
                // An empty one is a writing that was cut off; a long one is none of ours.
                if !bytes.is_empty() {
                    check_length(&bytes)?;
                }
                Ok(bytes)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn compare(&self, session: &Session, slot: AnchorSlot, bytes: &[u8]) -> Result<(), Setback> {
        self.same(slot, self.content(session, slot)?, bytes)
    }

    fn same(
        &self,
        slot: AnchorSlot,
        found: impl Into<Option<Vec<u8>>>,
        bytes: &[u8],
    ) -> Result<(), Setback> {
        let found = match found.into() {
            Some(found) if found == bytes => return Ok(()),
            Some(found) => format!("{} other bytes", found.len()),
            None => "nothing".to_owned(),
        };
        let (token, written) = (self.name().to_owned(), bytes.len());
        Err(AnchorError::NotKept { token, label: slot.label(), found, written }.into())
    }
}

/// `C_CreateObject`.
fn make(
    session: &Session,
    slot: AnchorSlot,
    suffix: &str,
    bytes: &[u8],
) -> Result<ObjectHandle, TokenError> {
    let template = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Modifiable(true),
        Attribute::Application(APPLICATION.to_vec()),
        label(slot, suffix),
        Attribute::Value(bytes.to_vec()),
    ];
    session.create_object(&template).map_err(|refused| fault::call("C_CreateObject", &refused))
}

/// `C_DestroyObject`.
fn destroy(session: &Session, object: ObjectHandle) -> Result<(), TokenError> {
    session.destroy_object(object).map_err(|refused| fault::call("C_DestroyObject", &refused))
}

/// `C_SetAttributeValue` of `CKA_LABEL`, which PKCS#11 lets an object's owner change.
fn rename(
    session: &Session,
    object: ObjectHandle,
    slot: AnchorSlot,
    suffix: &str,
) -> Result<(), TokenError> {
    session
        .update_attributes(object, &[label(slot, suffix)])
        .map_err(|refused| fault::call("C_SetAttributeValue", &refused))
}

fn label(slot: AnchorSlot, suffix: &str) -> Attribute {
    Attribute::Label(format!("{}{suffix}", slot.label()).into_bytes())
}

fn shown(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Token(value) | Attribute::Private(value) => value.to_string(),
        Attribute::Application(text) => format!("{:?}", String::from_utf8_lossy(text)),
        other => format!("{other:?}"),
    }
}
