//! Who is at the other end of a gateway connection.
//!
//! A client certificate must chain to the configured authority, be in its time, not be revoked, and
//! show exactly one caller of the policy, or the handshake is refused. All of it is judged again
//! while a connection lives: with its first request, once a second, and when the revocation list
//! has changed. Sessions are never resumed, because a resumed one skips this judgement.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{CertificateRevocationList, FromDer, GeneralName, X509Certificate};

use crate::clock::Clock;
use crate::domain::caller::{CallerId, CertificateIdentity};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::tls::{TlsError, certificates};

/// How long a judgement of a living connection holds, in milliseconds. Certificates and lists
/// expire, intermediates too; one signature check a second costs nothing.
const JUDGE_EVERY_MS: i64 = 1_000;
/// Largest revocation list, in bytes.
const REVOCATIONS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Judges client certificates against authority, revocation list and policy.
#[derive(Debug)]
pub struct CallerVerifier {
    policy: Arc<Policy>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    subjects: Vec<DistinguishedName>,
    revocations: Option<PathBuf>,
    /// Counts the changes of `current`, so that connections know when to ask again.
    generation: AtomicU64,
    /// Connections that showed no caller, since they were last taken.
    turned_away: AtomicU64,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    /// The revocation list that this was made from.
    list: Vec<u8>,
    /// When that list stops saying anything.
    expires: Option<Timestamp>,
    /// Why nobody is let in, if the list cannot be used.
    verifier: Result<Arc<dyn ClientCertVerifier>, String>,
}

/// The caller on a connection, with what it takes to judge its certificate again.
pub(super) struct Peer {
    pub(super) caller: CallerId,
    chain: Vec<CertificateDer<'static>>,
    /// The judgement that was last made: of which generation, and when to make the next.
    generation: AtomicU64,
    judge_next_ms: AtomicI64,
}

impl CallerVerifier {
    /// Loads authority and revocation list.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that cannot be used.
    pub fn load(
        authority: &Path,
        revocations: Option<&Path>,
        policy: Arc<Policy>,
        clock: Clock,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authority)? {
            roots
                .add(certificate)
                .map_err(|refused| TlsError::refused(authority, &refused.to_string()))?;
        }
        let mut verifier = Self {
            policy,
            clock,
            provider,
            subjects: roots.subjects(),
            roots: Arc::new(roots),
            revocations: revocations.map(Path::to_owned),
            generation: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            current: RwLock::new(Current::refusing(String::new())),
        };
        let list = verifier.read_list();
        let current = verifier.with_list(list);
        if let (Err(reason), Some(path)) = (&current.verifier, revocations) {
            return Err(TlsError::refused(path, reason));
        }
        verifier.current = RwLock::new(current);
        Ok(verifier)
    }

    /// Reads the revocation list again if it has changed. While it cannot be read nobody is let in.
    pub fn refresh(&self) {
        let list = self.read_list();
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            let expired = current.expires.is_some_and(|expires| expires <= self.clock.now());
            match (&list, &current.verifier) {
                (Ok(list), Ok(_)) if *list == current.list && !expired => return,
                (Ok(list), Err(_)) if *list == current.list => return,
                (Err(reason), Err(known)) if reason == known => return,
                _ => {}
            }
        }
        let next = self.with_list(list);
        match &next.verifier {
            Ok(_) => tracing::info!("client revocation list taken into use"),
            Err(reason) => {
                tracing::error!(%reason, "no caller is let in: revocation list unusable")
            }
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Why nobody is let in, if so.
    pub fn trouble(&self) -> Option<String> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.verifier.as_ref().err().cloned()
    }

    /// The caller whose chain was accepted in a handshake.
    pub(super) fn peer(&self, chain: &[CertificateDer<'_>]) -> Result<Peer, Error> {
        let leaf = chain.first().ok_or(Error::NoCertificatesPresented)?;
        let chain = chain.iter().map(|c| c.clone().into_owned()).collect();
        let caller = self.identify(leaf)?;
        // Judged again with the first request: the list may have changed since the handshake.
        let (generation, judge_next_ms) = (AtomicU64::new(0), AtomicI64::new(0));
        Ok(Peer { caller, chain, generation, judge_next_ms })
    }

    /// Whether the certificate of a living connection still holds.
    pub(super) fn still_holds(&self, peer: &Peer) -> Result<(), Error> {
        let (now, generation) = (self.clock.now(), self.generation.load(Ordering::Acquire));
        // Neither before the next judgement is due nor long before the last one, which a clock that
        // was set back would make it.
        let next_ms = peer.judge_next_ms.load(Ordering::Acquire);
        let last_ms = next_ms.saturating_sub(JUDGE_EVERY_MS);
        let soon_enough = (last_ms..next_ms).contains(&now.unix_ms());
        if soon_enough && generation == peer.generation.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some((leaf, intermediates)) = peer.chain.split_first() else {
            return Err(Error::NoCertificatesPresented);
        };
        let since_epoch = u64::try_from(now.unix_ms()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_millis(since_epoch));
        self.verify_client_cert(leaf, intermediates, at)?;
        peer.generation.store(generation, Ordering::Release);
        let next_ms = now.unix_ms().saturating_add(JUDGE_EVERY_MS);
        peer.judge_next_ms.store(next_ms, Ordering::Release);
        Ok(())
    }

    /// The one caller that a certificate shows, by fingerprint or by URI.
    /// Counts a connection that showed no caller.
    pub(super) fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections showed no caller since this was last asked.
    pub fn take_turned_away(&self) -> u64 {
        self.turned_away.swap(0, Ordering::Relaxed)
    }

    fn identify(&self, leaf: &CertificateDer<'_>) -> Result<CallerId, Error> {
        let parsed = X509Certificate::from_der(leaf)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?
            .1;
        let fingerprint = CertificateIdentity::Fingerprint(Sha256::digest(leaf).into());
        let names = parsed.subject_alternative_name().ok().flatten();
        let uris =
            names.iter().flat_map(|names| &names.value.general_names).filter_map(
                |name| match name {
                    GeneralName::URI(uri) => Some(CertificateIdentity::Uri((*uri).to_owned())),
                    _ => None,
                },
            );
        let mut callers: Vec<&CallerId> = std::iter::once(fingerprint)
            .chain(uris)
            .filter_map(|identity| self.policy.caller_with(&identity))
            .collect();
        callers.dedup();
        match callers.as_slice() {
            [only] => Ok((*only).clone()),
            _ => {
                let subject = parsed.subject().to_string();
                let found = callers.len();
                tracing::warn!(%subject, found, "client certificate shows no one caller");
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    fn read_list(&self) -> Result<Vec<u8>, String> {
        let Some(path) = &self.revocations else { return Ok(Vec::new()) };
        let told = |refused: std::io::Error| format!("cannot be read: {refused}");
        let size = std::fs::metadata(path).map_err(told)?.len();
        if size > REVOCATIONS_BYTES_MAX {
            return Err(format!("has {size} bytes; expected at most {REVOCATIONS_BYTES_MAX}"));
        }
        std::fs::read(path).map_err(told)
    }

    fn with_list(&self, list: Result<Vec<u8>, String>) -> Current {
        let list = match list {
            Ok(list) => list,
            Err(reason) => return Current::refusing(reason),
        };
        match self.verifier_with(&list) {
            Ok((verifier, expires)) => Current { list, expires, verifier: Ok(verifier) },
            Err(Unusable { expires, reason }) => Current { list, expires, verifier: Err(reason) },
        }
    }

    /// The verifier and until when it holds.
    fn verifier_with(&self, list: &[u8]) -> Result<Usable, Unusable> {
        let provider = Arc::clone(&self.provider);
        let roots = Arc::clone(&self.roots);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let mut expires = None;
        if self.revocations.is_some() {
            let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(list)
                .collect::<Result<_, _>>()
                .map_err(|refused| format!("is no PEM revocation list: {refused}"))?;
            if lists.is_empty() {
                return Err("holds no revocation list; expected one in PEM".to_owned().into());
            }
            let ends = lists.iter().map(next_update).collect::<Result<Vec<_>, _>>()?;
            expires = ends.into_iter().flatten().min();
            if let Some(expires) = expires.filter(|expires| *expires <= self.clock.now()) {
                let reason = format!(
                    "has expired at {expires} and says nothing about today; expected a list whose \
                     nextUpdate is to come"
                );
                return Err(Unusable { expires: Some(expires), reason });
            }
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        let built = builder.build().map_err(|refused| refused.to_string())?;
        Ok((built, expires))
    }
}

type Usable = (Arc<dyn ClientCertVerifier>, Option<Timestamp>);

/// Why a revocation list cannot be used.
struct Unusable {
    expires: Option<Timestamp>,
    reason: String,
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { expires: None, reason }
    }
}

impl Current {
    fn refusing(reason: String) -> Self {
        Self { list: Vec::new(), expires: None, verifier: Err(reason) }
    }
}

/// When a revocation list expires (RFC 5280 section 5.1.2.5).
fn next_update(list: &CertificateRevocationListDer<'_>) -> Result<Option<Timestamp>, String> {
    let (_, parsed) = CertificateRevocationList::from_der(list)
        .map_err(|refused| format!("is no revocation list: {refused}"))?;
    let seconds = parsed.next_update().map(|at| at.timestamp());
    Ok(seconds.map(|s| Timestamp::from_unix_ms(s.saturating_mul(1000))))
}

impl ClientCertVerifier for CallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.verifier.clone().map_err(Error::General)?
        };
        let verified = verifier.verify_client_cert(end_entity, intermediates, now)?;
        self.identify(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
