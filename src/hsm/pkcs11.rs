//! PKCS#11 tokens: modules loaded once, one login per token, sessions whose keys were checked.
//!
//! Only this file and its folder name cryptoki. Not here: threads, queues, retries (the pool has
//! them). Nothing here sets a PIN or calls `C_Logout`, and the only objects that are ever replaced
//! are anchors: a mismatch is told and never repaired. The process must not fork once a module is
//! initialised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::key::PublicKey;

use super::pin::PinSource;
use super::token::{KeyReference, Token, TokenError, TokenModule};

mod anchor;
mod attributes;
mod curve;
mod fault;
mod generate;
mod library;
mod login;
mod session;
#[cfg(test)]
mod tests;
mod turns;

pub use anchor::Pkcs11Anchors;
use library::Library;
use login::Access;
use session::Pkcs11Session;

/// Where a token is found and how to log in to it.
#[derive(Debug, Clone)]
pub struct Pkcs11Settings {
    /// The configured name, unique in the process: of metrics, messages and the wrong-PIN marker.
    pub name: String,
    /// The module's shared library.
    pub module: PathBuf,
    /// Label of the token (`CK_TOKEN_INFO`), without its padding.
    pub token_label: String,
    /// Serial number of the token, where labels are not unique.
    pub serial: Option<String>,
    /// Where the user PIN comes from.
    pub pin: PinSource,
    /// Where the wrong-PIN marker is kept; must be writable.
    pub state_dir: PathBuf,
    /// Whether anchors and signatures take turns, for a token that is given one session to sign in
    /// because it does not bear several: SoftHSM encrypts private objects with one cipher state for
    /// all sessions, and fails a call, if not worse, when two meet there.
    pub takes_turns: bool,
}

/// The modules of the process. `C_Initialize` may be called once per library, so tokens that name
/// the same file share one; build one `Modules` in `main` and pass it down.
///
/// Every library is finalised (`C_Finalize`) when this value and all that came from it are gone.
#[derive(Default)]
pub struct Modules {
    libraries: Mutex<BTreeMap<PathBuf, Arc<Library>>>,
}

impl Modules {
    /// Loads the module (`C_Initialize`), finds the token and logs in, once (`C_Login`).
    ///
    /// # Errors
    /// Any [`TokenError`] but those about keys, which are looked at when a session is opened.
    pub fn load(
        &self,
        settings: Pkcs11Settings,
        keys: Vec<KeyReference>,
    ) -> Result<Pkcs11Module, TokenError> {
        let library = self.library(&settings.module)?;
        let access = Access::new(settings, library);
        access.log_in()?;
        Ok(Pkcs11Module { access: Arc::new(access), keys })
    }

    /// Generates a key pair of the key's algorithm (`C_GenerateKeyPair`) that cannot leave the
    /// token, and checks what came out as every later start will. The result is the public key to
    /// pin.
    ///
    /// # Errors
    /// [`TokenError::KeyExists`] if label or id are taken, [`TokenError::NoAlgorithm`] if the
    /// token knows no such keys, [`TokenError::Attribute`] if it did not make the key as asked (it
    /// is left there for a person to look at), or any other [`TokenError`].
    pub fn generate(
        &self,
        settings: Pkcs11Settings,
        key: &KeyReference,
    ) -> Result<PublicKey, TokenError> {
        generate::generate(&self.load(settings, Vec::new())?.access, key)
    }

    /// Looks at every key on its own, for people: a key that is not right does not hide the next.
    /// Pins are compared where there are any.
    ///
    /// # Errors
    /// The outer one is about the token: module, login, session.
    pub fn survey(
        &self,
        settings: Pkcs11Settings,
        keys: &[KeyReference],
    ) -> Result<Vec<Result<PublicKey, TokenError>>, TokenError> {
        let module = self.load(settings, Vec::new())?;
        let open = module.access.session(false)?;
        Ok(keys.iter().map(|key| session::inspect(&open, key).map(|held| held.public)).collect())
    }

    fn library(&self, path: &Path) -> Result<Arc<Library>, TokenError> {
        let missing = |_| TokenError::ModuleMissing(path.to_owned());
        let canonical = path.canonicalize().map_err(missing)?;
        if !canonical.is_file() {
            return Err(TokenError::ModuleMissing(path.to_owned()));
        }
        let mut libraries = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = libraries.get(&canonical) {
            return Ok(library.clone());
        }
        let library = Arc::new(Library::initialise(canonical.clone())?);
        libraries.insert(canonical, library.clone());
        Ok(library)
    }
}

/// One token of a module, logged in.
pub struct Pkcs11Module {
    access: Arc<Access>,
    keys: Vec<KeyReference>,
}

impl Pkcs11Module {
    /// The anchors on this token. Nothing is opened, looked for or made yet; one handle per token
    /// is enough, and several share a session.
    pub fn anchors(&self) -> Pkcs11Anchors {
        Pkcs11Anchors::new(self.access.clone())
    }
}

impl TokenModule for Pkcs11Module {
    fn name(&self) -> &str {
        self.access.name()
    }

    fn open(&self) -> Result<Box<dyn Token>, TokenError> {
        let turns = self.access.turns();
        let _turn = turns.take();
        let open = self.access.session(false)?;
        Ok(Box::new(Pkcs11Session::with_keys(open, &self.keys, turns.clone())?))
    }

    /// Another token of the same library may still be in use; then the library is left alone, and
    /// only this token is looked for and logged in again.
    fn reinitialise(&self) -> Result<(), TokenError> {
        self.access.reinitialise()
    }
}
