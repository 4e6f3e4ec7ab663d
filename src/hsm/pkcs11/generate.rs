//! Generating a key pair on the token, where nothing was before.

use cryptoki::error::{Error, RvError};
use cryptoki::object::Attribute;
use cryptoki::session::Session;

use crate::domain::key::PublicKey;
use crate::hsm::token::{KeyReference, TokenError};

use super::login::Access;
use super::session::{hexadecimal, inspect};
use super::{curve, fault};

/// `C_GenerateKeyPair`, then the checks of every later start.
pub(super) fn generate(access: &Access, key: &KeyReference) -> Result<PublicKey, TokenError> {
    let open = access.session(true)?;
    open.check_signs(key)?;
    refuse_existing(open.session(), key)?;
    ask(open.session(), key).map_err(|refused| told(key, &refused))?;
    inspect(&open, key).map(|held| held.public)
}

/// Asks with the templates that tokens are known to take, until one is not refused as a template.
fn ask(session: &Session, key: &KeyReference) -> cryptoki::error::Result<()> {
    let private = private_template(key);
    // Some tokens do not know CKA_SIGN_RECOVER on EC keys; then it cannot be true either.
    let mut without = private.clone();
    without.retain(|attribute| !matches!(attribute, Attribute::SignRecover(_)));
    let forms = curve::parameters(key.algorithm).iter();
    let templates = forms.flat_map(|form| [(form, &private), (form, &without)]);
    let mut answer = Ok(());
    for (form, private) in templates {
        let public = public_template(key, form);
        let generated =
            session.generate_key_pair(&curve::generation(key.algorithm), &public, private);
        answer = generated.map(drop);
        if !answer.as_ref().is_err_and(is_about_the_template) {
            break;
        }
    }
    answer
}

fn is_about_the_template(refused: &Error) -> bool {
    matches!(
        refused,
        Error::Pkcs11(
            RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::TemplateInconsistent
                | RvError::CurveNotSupported
                | RvError::DomainParamsInvalid,
            _,
        )
    )
}

fn told(key: &KeyReference, refused: &Error) -> TokenError {
    match refused {
        Error::Pkcs11(code @ (RvError::MechanismInvalid | RvError::CurveNotSupported), _) => {
            let (id, algorithm) = (key.id.clone(), key.algorithm);
            TokenError::NoAlgorithm { key: id, algorithm, told: fault::code_name(*code) }
        }
        other => fault::call("C_GenerateKeyPair", other),
    }
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

pub(super) fn public_template(key: &KeyReference, parameters: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Encrypt(false),
        Attribute::Wrap(false),
        Attribute::EcParams(parameters.to_vec()),
        Attribute::Id(key.object_id.clone()),
        Attribute::Label(key.label.as_bytes().to_vec()),
    ]
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
