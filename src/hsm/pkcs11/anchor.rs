//! Anchors as private data objects (`CKO_DATA`), in a read-write session of their own.
//!
//! The session is opened when it is first needed and kept. It is given up after any failure, and
//! when the token is started over; then the next call opens another one.

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

/// The anchors on one PKCS#11 token.
pub struct Pkcs11Anchors {
    access: Arc<Access>,
}

/// What one attempt did not do: say why, or find that its session is no longer good.
enum Setback {
    Refused(AnchorError),
    Lost(TokenError),
}

impl From<TokenError> for Setback {
    fn from(lost: TokenError) -> Self {
        Self::Lost(lost)
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
            let Some(object) = self.find(session, slot)? else {
                open.check_logged_in()?;
                let (token, label) = (self.name().to_owned(), slot.label());
                return Err(AnchorError::Missing { token, label }.into());
            };
            session
                .update_attributes(object, &[Attribute::Value(bytes.to_vec())])
                .map_err(|refused| fault::call("C_SetAttributeValue", &refused))?;
            self.compare(session, slot, bytes)
        })
    }

    fn create(&self, slot: AnchorSlot, bytes: &[u8]) -> Result<(), AnchorError> {
        check_length(bytes)?;
        // Not twice: an object that was made although the answer was lost would then be in the way.
        let mut held = self.access.anchors();
        *held = None;
        let made = self.open().and_then(|open| {
            let session = open.session();
            if self.find(session, slot)?.is_some() {
                let (token, label) = (self.name().to_owned(), slot.label());
                return Err(AnchorError::Exists { token, label }.into());
            }
            open.check_logged_in()?;
            session
                .create_object(&template(slot, bytes))
                .map_err(|refused| fault::call("C_CreateObject", &refused))?;
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
        self.access.session(true).map_err(Setback::Lost)
    }

    fn told(&self, setback: Setback) -> AnchorError {
        match setback {
            Setback::Refused(refused) => refused,
            Setback::Lost(source) => AnchorError::Token { token: self.name().to_owned(), source },
        }
    }

    /// The one object of a slot, if there is any, checked to be ours and private.
    fn find(&self, session: &Session, slot: AnchorSlot) -> Result<Option<ObjectHandle>, Setback> {
        let template = [
            Attribute::Class(ObjectClass::DATA),
            Attribute::Label(slot.label().as_bytes().to_vec()),
        ];
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
        let Some(object) = self.find(session, slot)? else { return Ok(None) };
        match attributes::single(session, object, AttributeType::Value)? {
            Some(Attribute::Value(bytes)) => {
                // An empty one is a writing that was cut off; a long one is none of ours.
                if !bytes.is_empty() {
                    check_length(&bytes)?;
                }
                Ok(Some(bytes))
            }
            _ => Ok(Some(Vec::new())),
        }
    }

    fn compare(&self, session: &Session, slot: AnchorSlot, bytes: &[u8]) -> Result<(), Setback> {
        let found = match self.content(session, slot)? {
            Some(found) if found == bytes => return Ok(()),
            Some(found) => format!("{} other bytes", found.len()),
            None => "nothing".to_owned(),
        };
        let (token, written) = (self.name().to_owned(), bytes.len());
        Err(AnchorError::NotKept { token, label: slot.label(), found, written }.into())
    }
}

/// For `C_CreateObject`.
fn template(slot: AnchorSlot, bytes: &[u8]) -> [Attribute; 7] {
    [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Modifiable(true),
        Attribute::Application(APPLICATION.to_vec()),
        Attribute::Label(slot.label().as_bytes().to_vec()),
        Attribute::Value(bytes.to_vec()),
    ]
}

fn shown(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Token(value) | Attribute::Private(value) => value.to_string(),
        Attribute::Application(text) => format!("{:?}", String::from_utf8_lossy(text)),
        other => format!("{other:?}"),
    }
}
