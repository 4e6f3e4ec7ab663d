//! Generating a key pair on the token, where nothing was before.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::Session;

use crate::domain::key::PublicKey;
use crate::hsm::token::{KeyReference, TokenError};

use super::login::Access;
use super::session::{hexadecimal, inspect};
use super::{attributes, fault};

/// `C_GenerateKeyPair` for P-256, then the checks of every later start.
pub(super) fn generate(access: &Access, key: &KeyReference) -> Result<PublicKey, TokenError> {
    let open = access.session(true)?;
    refuse_existing(open.session(), key)?;
    let mut private = private_template(key);
    let generated = match ask(open.session(), key, &private) {
        // Some tokens do not know CKA_SIGN_RECOVER on EC keys; then it cannot be true either.
        Err(Error::Pkcs11(
            RvError::AttributeTypeInvalid
            | RvError::AttributeValueInvalid
            | RvError::TemplateInconsistent,
            _,
        )) => {
            private.retain(|attribute| !matches!(attribute, Attribute::SignRecover(_)));
            ask(open.session(), key, &private)
        }
        other => other,
    };
    generated.map_err(|refused| fault::call("C_GenerateKeyPair", &refused))?;
    inspect(open.session(), key).map(|held| held.public)
}

/// Neither the label nor the id may be in use, by objects of any kind.
fn refuse_existing(session: &Session, key: &KeyReference) -> Result<(), TokenError> {
    for taken in
        [Attribute::Id(key.object_id.clone()), Attribute::Label(key.label.as_bytes().to_vec())]
    {
        let found = session
            .find_objects(&[taken])
            .map_err(|refused| fault::call("C_FindObjects", &refused))?;
        if !found.is_empty() {
            return Err(TokenError::KeyExists {
                key: key.id.clone(),
                label: key.label.clone(),
                object_id: hexadecimal(&key.object_id),
                count: found.len(),
            });
        }
    }
    Ok(())
}

fn ask(
    session: &Session,
    key: &KeyReference,
    private: &[Attribute],
) -> cryptoki::error::Result<()> {
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::EcParams(attributes::P256_OID.to_vec()),
        Attribute::Id(key.object_id.clone()),
        Attribute::Label(key.label.as_bytes().to_vec()),
    ];
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, private).map(drop)
}

pub(super) fn private_template(key: &KeyReference) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Id(key.object_id.clone()),
        Attribute::Label(key.label.as_bytes().to_vec()),
    ]
}
