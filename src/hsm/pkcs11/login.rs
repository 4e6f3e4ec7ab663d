//! Finding a token and logging in to it, once. Other sessions of the process share the login.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::RawAuthPin;

use crate::hsm::pin::{Marker, Pin, PinError, PinSource};
use crate::hsm::token::TokenError;

use super::library::{Context, Counted, Library, Login};
use super::session::OpenSession;
use super::turns::Turns;
use super::{Pkcs11Settings, fault};

/// One configured token of one library.
pub(super) struct Access {
    settings: Pkcs11Settings,
    library: Arc<Library>,
    /// A PIN that was typed, since nobody may be there when the next login is due.
    typed: Mutex<Option<Pin>>,
    /// The session that anchors are read and written in, once one was needed.
    anchors: Mutex<Option<OpenSession>>,
    turns: Turns,
}

impl Access {
    pub(super) fn new(settings: Pkcs11Settings, library: Arc<Library>) -> Self {
        let turns = Turns::new(settings.takes_turns);
        Self { settings, library, typed: Mutex::new(None), anchors: Mutex::new(None), turns }
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Logs in if that has not been done since the library was initialised.
    pub(super) fn log_in(&self) -> Result<(), TokenError> {
        self.logged_in_slot(&self.library.context()).map(drop)
    }

    pub(super) fn reinitialise(&self) -> Result<(), TokenError> {
        // An idle session would keep the library from being started over. One in the middle of a
        // call is left alone: it is closed when that fails, and this is tried again.
        if let Ok(mut idle) = self.anchors.try_lock() {
            *idle = None;
        }
        self.library.start_over(&self.settings.name)?;
        self.log_in()
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The place of the session for anchors, for one caller at a time.
    pub(super) fn anchors(&self) -> MutexGuard<'_, Option<OpenSession>> {
        self.anchors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that shares the login (`C_OpenSession`).
    pub(super) fn session(&self, read_write: bool) -> Result<OpenSession, TokenError> {
        let context = self.library.context();
        let slot = self.logged_in_slot(&context)?;
        // Counted before it is opened: nobody finalises the library in between.
        let counted = Counted::new(&self.library);
        let pkcs11 = context.pkcs11.clone();
        let opened =
            if read_write { pkcs11.open_rw_session(slot) } else { pkcs11.open_ro_session(slot) };
        let session = opened.map_err(|refused| fault::call("C_OpenSession", &refused))?;
        drop(context);
        let open = OpenSession::new(session, counted, pkcs11, slot);
        open.check_logged_in()?;
        Ok(open)
    }

    fn logged_in_slot(&self, context: &Context) -> Result<Slot, TokenError> {
        // Held during the login: logins of one library are serial.
        let mut logins = context.lock_logins();
        if let Some(login) = logins.get(&self.settings.name) {
            return Ok(login.slot);
        }
        let marker = Marker::new(&self.settings.state_dir, &self.settings.name);
        marker.check()?;
        let (slot, token) = self.find(context)?;
        self.refuse_risk(&token)?;
        let session = context
            .pkcs11
            .open_ro_session(slot)
            .map_err(|refused| fault::call("C_OpenSession", &refused))?;
        self.ask(&session, &marker)?;
        logins.insert(self.settings.name.clone(), Login { slot, _session: session });
        Ok(slot)
    }

    /// The one slot whose token has the configured label and serial number.
    fn find(&self, context: &Context) -> Result<(Slot, TokenInfo), TokenError> {
        let (mut matching, mut found) = (Vec::new(), Vec::new());
        for slot in context.slots()? {
            match context.pkcs11.get_token_info(slot) {
                Ok(token) if !token.token_initialized() => {}
                Ok(token) => {
                    found.push(described(token.label(), Some(token.serial_number())));
                    if self.is_meant(&token) {
                        matching.push((slot, token));
                    }
                }
                // A broken reader beside ours does not matter, unless ours is not found.
                Err(refused) => found.push(format!("slot {slot}: {refused}")),
            }
        }
        let count = matching.len();
        match matching.pop() {
            Some(only) if count == 1 => Ok(only),
            _ => {
                let (label, serial) = (&self.settings.token_label, &self.settings.serial);
                let wanted = described(label, serial.as_deref());
                Err(TokenError::TokenMissing { wanted, count, found })
            }
        }
    }

    fn is_meant(&self, token: &TokenInfo) -> bool {
        token.token_initialized()
            && token.label() == self.settings.token_label
            && self.settings.serial.as_ref().is_none_or(|serial| serial == token.serial_number())
    }

    /// Nothing is tried that could lock the token.
    fn refuse_risk(&self, token: &TokenInfo) -> Result<(), TokenError> {
        let state = if token.user_pin_locked() {
            "is locked"
        } else if token.user_pin_final_try() {
            "has one attempt left"
        } else {
            return Ok(());
        };
        Err(TokenError::PinLocked { token: self.settings.name.clone(), state })
    }

    /// `C_Login`, with the PIN read now and wiped on return.
    fn ask(&self, session: &Session, marker: &Marker) -> Result<(), TokenError> {
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = match typed.take() {
            Some(pin) => pin,
            None => self.settings.pin.read(&self.settings.name)?,
        };
        let secret = RawAuthPin::new(Box::new(pin.as_bytes().to_vec()));
        let answer = session.login_with_raw(UserType::User, &secret);
        match answer {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(
                code @ (RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange),
                _,
            )) => return Err(self.refused(code, marker)),
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                let token = self.settings.name.clone();
                return Err(TokenError::PinLocked { token, state: "is locked" });
            }
            Err(other) => {
                // Not the PIN's fault: a typed one is needed for the next attempt.
                self.keep(&mut typed, pin);
                return Err(fault::call("C_Login", &other));
            }
        }
        self.keep(&mut typed, pin);
        Ok(())
    }

    fn keep(&self, typed: &mut Option<Pin>, pin: Pin) {
        if self.settings.pin == PinSource::Prompt {
            *typed = Some(pin);
        }
    }

    fn refused(&self, code: RvError, marker: &Marker) -> TokenError {
        let path = marker.path();
        let remedy = match marker.write() {
            Ok(()) => format!(
                "correct the PIN source, then delete {} and start again; until then no attempt \
                 is made",
                path.display()
            ),
            Err(PinError::MarkerDirectory { source, .. }) => format!(
                "do not start again before the PIN source is correct: the marker {} could not be \
                 written ({source})",
                path.display()
            ),
            Err(other) => other.to_string(),
        };
        let token = self.settings.name.clone();
        TokenError::WrongPin { token, code: fault::code_name(code), remedy }
    }
}

fn described(label: &str, serial: Option<&str>) -> String {
    match serial {
        Some(serial) => format!("{label} (serial {serial})"),
        None => label.to_owned(),
    }
}

/// Whether `C_GetSessionInfo` tells a session of the user, and how it calls the state otherwise.
pub(super) fn logged_in(session: &Session) -> Result<(), TokenError> {
    let told =
        session.get_session_info().map_err(|refused| fault::call("C_GetSessionInfo", &refused))?;
    match told.session_state() {
        SessionState::RoUser | SessionState::RwUser => Ok(()),
        other => Err(TokenError::SessionLost { state: format!("{other:?}") }),
    }
}

/// Whether the token in `slot` answers (`C_GetTokenInfo`).
pub(super) fn answers(pkcs11: &Pkcs11, slot: Slot) -> Result<(), TokenError> {
    pkcs11.get_token_info(slot).map(drop).map_err(|refused| fault::call("C_GetTokenInfo", &refused))
}
