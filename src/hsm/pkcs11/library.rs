//! One loaded PKCS#11 library: initialised once, finalised when nobody uses it, its slots listed
//! within a bound.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use crate::hsm::token::TokenError;

use super::fault;

/// Longest that listing the slots may take, in seconds.
const LISTING_SECONDS_MAX: u64 = 10;

/// A loaded library. Whoever calls into it, other than on a session, holds the context for
/// reading; whoever finalises it holds it for writing.
pub(super) struct Library {
    context: RwLock<Context>,
    /// Sessions handed out and not yet closed; logins are not among them.
    sessions: AtomicUsize,
}

/// What is valid between `C_Initialize` and `C_Finalize`.
pub(super) struct Context {
    pub(super) pkcs11: Pkcs11,
    /// By configured name of the token.
    pub(super) logins: Mutex<BTreeMap<String, Login>>,
}

/// The session that logged in. It stays open because a token is logged out with its last session.
pub(super) struct Login {
    pub(super) slot: Slot,
    pub(super) _session: Session,
}

impl Library {
    /// Loads the file and calls `C_Initialize`, with locking by the operating system.
    pub(super) fn initialise(path: PathBuf) -> Result<Self, TokenError> {
        let pkcs11 = Pkcs11::new(&path)
            .map_err(|refused| TokenError::ModuleRefused { path, reason: refused.to_string() })?;
        initialise(&pkcs11)?;
        let context = Context { pkcs11, logins: Mutex::default() };
        Ok(Self { context: RwLock::new(context), sessions: AtomicUsize::new(0) })
    }

    pub(super) fn context(&self) -> RwLockReadGuard<'_, Context> {
        self.context.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the login of `token`, and starts the whole library over if no session is open.
    ///
    /// While another token of the library has sessions it is left alone: finalising would end
    /// theirs for the sake of a token that may be gone for good.
    pub(super) fn start_over(&self, token: &str) -> Result<(), TokenError> {
        let context = self.context.write().unwrap_or_else(PoisonError::into_inner);
        context.lock_logins().remove(token);
        if self.sessions.load(Ordering::SeqCst) > 0 {
            return Ok(());
        }
        context.finalise();
        initialise(&context.pkcs11)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.context().finalise();
    }
}

impl Context {
    pub(super) fn lock_logins(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Login>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `C_Finalize`. Its answer does not matter: a library that was not initialised is what is
    /// wanted, and one that cannot be finalised refuses the next `C_Initialize`.
    fn finalise(&self) {
        self.lock_logins().clear();
        if let Err(refused) = self.pkcs11.clone().finalize() {
            tracing::debug!(%refused, "C_Finalize was refused");
        }
    }

    /// The slots that hold a token (`C_GetSlotList`).
    ///
    /// cryptoki 0.12.1 asks for ever if a module without slots answers `CKR_BUFFER_TOO_SMALL`, so
    /// it asks on a thread of its own. A thread that is given up ends with the next `C_Finalize`.
    pub(super) fn slots(&self) -> Result<Vec<Slot>, TokenError> {
        let (tell, told) = sync_channel(1);
        let pkcs11 = self.pkcs11.clone();
        let spawned = std::thread::Builder::new()
            .name("slot-list".to_owned())
            // Nobody listens any more if it was given up.
            .spawn(move || drop(tell.send(pkcs11.get_slots_with_token())));
        spawned.map_err(|source| TokenError::Thread { token: "slot-list".to_owned(), source })?;
        match told.recv_timeout(Duration::from_secs(LISTING_SECONDS_MAX)) {
            Ok(listed) => listed.map_err(|refused| fault::call("C_GetSlotList", &refused)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(TokenError::Timeout { function: "C_GetSlotList", seconds: LISTING_SECONDS_MAX })
            }
        }
    }
}

fn initialise(pkcs11: &Pkcs11) -> Result<(), TokenError> {
    pkcs11
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(|refused| fault::call("C_Initialize", &refused))
}

/// A place among the open sessions, kept until the session has been closed.
pub(super) struct Counted(Arc<Library>);

impl Counted {
    pub(super) fn new(library: &Arc<Library>) -> Self {
        library.sessions.fetch_add(1, Ordering::SeqCst);
        Self(library.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::SeqCst);
    }
}
