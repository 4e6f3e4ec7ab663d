//! Putting the daemon together. Whatever is not right is refused here, before anything listens;
//! nothing is repaired.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::clock::{self, Clock};
use crate::config::deployment::Deployment;
use crate::domain::key::{KeyId, Kid, PublicKey, Purpose};
use crate::domain::leaf::Event;
use crate::domain::people::{Nobody, People};
use crate::domain::policy::Policy;
use crate::hsm::pool::public_keys;
use crate::hsm::{AnchorStore, Hsm, Modules, TokenModule, TokenPlan};
use crate::http::callers::CallerVerifier;
use crate::http::listener::{Listener, Security};
use crate::http::metrics::Metrics;
use crate::http::operations::Operations;
use crate::http::{self, Gateway, tls};
use crate::ledger::reader::Reader;
use crate::ledger::sqlite::Store;
use crate::ledger::{Ledger, OpenError, Rules, WriterThread};
use crate::log::note::{NoteKeyName, VerifierKey};
use crate::notifications::board::Board;
use crate::pipeline::anchors::Anchorer;
use crate::pipeline::checkpoints::{Audit, Checkpointer, Found};
use crate::pipeline::{Parts, Pipeline};

use super::super::output::Failure;
use super::super::tokens;
use super::couriers::{self, Channelled};
use super::witnesses;

/// Connections that the operations listener may hold.
const OPERATIONS_CONNECTIONS_MAX: usize = 64;

/// A daemon that is ready to listen.
pub(super) struct Daemon {
    pub(super) services: Services,
    pub(super) checkpointer: Checkpointer,
    pub(super) anchorer: Anchorer,
    pub(super) hsm: Hsm,
    pub(super) writer: WriterThread,
}

/// What the listeners serve.
pub(super) struct Services {
    pub(super) pipeline: Pipeline,
    pub(super) callers: Arc<CallerVerifier>,
    /// Routes of notifications; taken when their couriers are made.
    pub(super) routes: Vec<Channelled>,
    acceptors: Acceptors,
}

/// TLS of the listeners that have it.
struct Acceptors {
    gateway: TlsAcceptor,
    public: TlsAcceptor,
}

pub(super) fn build(
    deployment: &Deployment,
    mut policy: Policy,
    clock: Clock,
) -> Result<Daemon, Failure> {
    let (callers, acceptors) = secured(deployment, &policy, &clock)?;
    // The ledger before the tokens: its lock keeps a second daemon from logging in to them.
    let mut store =
        Store::open(&deployment.ledger(), &deployment.issuer).map_err(Failure::broken)?;
    let Tokens { plans, anchors } = tokens_of(deployment, &policy)?;
    let audit = audit(deployment, &plans)?;
    store
        .all_or_nothing(|store| {
            bind(store, &plans, &policy, &clock)?;
            store.date_creditors(clock.now(), &mut policy)
        })
        .map_err(Failure::broken)?;
    let ledger_id = store.ledger_id().to_owned();
    let policy = Arc::new(policy);
    let progress = |read| tracing::info!(payments = read, "counting a new axis of the limits");
    store.count_axes(&policy.needs(), progress).map_err(Failure::broken)?;
    let kids = kids_of(&plans);
    let public = couriers::public_half(deployment, plans.iter().flat_map(|plan| &plan.keys));
    let hsm = Hsm::start(plans, clock::monotonic).map_err(Failure::broken)?;
    let routes = couriers::channels(deployment, &hsm, public, signing_wait(deployment))?;
    let reader = Reader::open(store.path()).map_err(Failure::broken)?;
    let key_versions = reader.key_versions().map_err(Failure::broken)?;
    let log = Found::check(&reader, &audit).map_err(Failure::broken)?;
    let every = Duration::from_secs(deployment.audit.anchor_interval.seconds().unsigned_abs());
    let anchorer =
        Anchorer::start(anchors, &reader, &audit, &ledger_id, every).map_err(Failure::broken)?;
    let witnesses = witnesses::asked(deployment, &reader, &audit, &log, &hsm)?;
    let started = Event::Started {
        release: env!("CARGO_PKG_VERSION").to_owned(),
        policy: policy.version.clone(),
        leaves: store.log_size(),
    };
    let first = [started].into_iter().chain(anchorer.incidents().iter().cloned()).collect();
    let people: Arc<dyn People> = Arc::new(Nobody);
    let rules = Rules { policy: Arc::clone(&policy), people: Arc::clone(&people) };
    let (ledger, writer) =
        Ledger::start(store, rules, clock.clone(), first).map_err(Failure::broken)?;
    tracing::info!(
        issuer = deployment.issuer,
        policy = policy.version,
        keys = policy.keys.len(),
        callers = policy.callers.len(),
        "everything is checked"
    );
    let parts = Parts {
        issuer: deployment.issuer.clone(),
        policy,
        people,
        ledger,
        reader,
        hsm: hsm.clone(),
        kids,
        key_versions,
        clock,
        audit,
        witnesses,
        signing_wait: signing_wait(deployment),
    };
    let (pipeline, checkpointer) = Pipeline::new(parts, log);
    let services = Services { pipeline, callers, routes, acceptors };
    Ok(Daemon { services, checkpointer, anchorer, hsm, writer })
}

/// The versions of keys that sign payments: no payment is ever in doubt under another.
fn kids_of(plans: &[TokenPlan]) -> BTreeMap<KeyId, Kid> {
    let keys = plans.iter().flat_map(|plan| &plan.keys);
    let settlement = keys.filter(|key| key.purpose == Purpose::Settlement);
    settlement.map(|key| (key.id.clone(), key.public.kid().clone())).collect()
}

/// Who may connect, and how the connections are secured.
fn secured(
    deployment: &Deployment,
    policy: &Policy,
    clock: &Clock,
) -> Result<(Arc<CallerVerifier>, Acceptors), Failure> {
    let provider = tls::provider();
    let callers = CallerVerifier::load(
        &deployment.gateway.client_ca,
        deployment.gateway.client_revocations.as_deref(),
        Arc::new(policy.clone()),
        clock.clone(),
        Arc::clone(&provider),
    );
    let callers = Arc::new(callers.map_err(Failure::broken)?);
    let gateway =
        tls::gateway(&deployment.gateway.identity, Arc::clone(&callers), Arc::clone(&provider));
    let public = tls::public(&deployment.public.identity, provider);
    let gateway = TlsAcceptor::from(Arc::new(gateway.map_err(Failure::broken)?));
    let public = TlsAcceptor::from(Arc::new(public.map_err(Failure::broken)?));
    Ok((callers, Acceptors { gateway, public }))
}

/// Every token: what signs on it, and what remembers.
struct Tokens {
    plans: Vec<TokenPlan>,
    anchors: Vec<Arc<dyn AnchorStore>>,
}

fn tokens_of(deployment: &Deployment, policy: &Policy) -> Result<Tokens, Failure> {
    let modules = Modules::default();
    let (mut plans, mut anchors) = (Vec::new(), Vec::<Arc<dyn AnchorStore>>::new());
    for (name, token) in &deployment.tokens {
        let references = tokens::keys_on(deployment, name);
        for key in references.iter().filter(|key| key.waive_decrypt) {
            tracing::warn!(key = %key.id, token = name, "CKA_DECRYPT is waived by configuration");
        }
        // That every key has a purpose was checked before: the two files agree.
        let purposes: Vec<(KeyId, Purpose)> = references
            .iter()
            .filter_map(|key| Some((key.id.clone(), policy.keys.get(&key.id)?.purpose)))
            .collect();
        let settings = tokens::settings(deployment, name, token);
        let module = modules.load(settings, references).map_err(Failure::broken)?;
        if token.anchors {
            anchors.push(Arc::new(module.anchors()));
        } else {
            tracing::warn!(token = name, "the token keeps no anchors, by configuration");
        }
        let module: Arc<dyn TokenModule> = Arc::new(module);
        let keys = public_keys(module.as_ref(), purposes).map_err(Failure::broken)?;
        plans.push(TokenPlan {
            module,
            sessions: token.sessions,
            queue: token.queue,
            deadline: Duration::from_secs(token.deadline.seconds().unsigned_abs()),
            keys,
        });
    }
    Ok(Tokens { plans, anchors })
}

/// Who signs the heads of the log. The log is named after the issuer, which is unique.
fn audit(deployment: &Deployment, plans: &[TokenPlan]) -> Result<Audit, Failure> {
    let key = &deployment.audit.key;
    let named = plans.iter().flat_map(|plan| &plan.keys).find(|named| named.id == *key);
    let named = named.ok_or_else(|| Failure::broken(format!("no token has the key {key}")))?;
    audit_of(deployment, &named.public)
}

/// The key with the name of the log, which follows from the issuer.
pub(in crate::cli) fn audit_of(
    deployment: &Deployment,
    public: &PublicKey,
) -> Result<Audit, Failure> {
    let host = deployment.issuer.strip_prefix("https://").unwrap_or(&deployment.issuer);
    let origin = format!("{}/log", host.trim_end_matches('/'));
    let name = NoteKeyName::parse(&origin).ok_or_else(|| {
        Failure::broken(format!("the issuer gives the log the name {origin}, which cannot be"))
    })?;
    let key = deployment.audit.key.clone();
    Ok(Audit { key, verifier: VerifierKey::of_log(name, public) })
}

/// Compares keys and currencies with those that the ledger knows.
fn bind(
    store: &mut Store,
    plans: &[TokenPlan],
    policy: &Policy,
    clock: &Clock,
) -> Result<(), OpenError> {
    let keys: BTreeMap<&KeyId, &PublicKey> =
        plans.iter().flat_map(|plan| &plan.keys).map(|key| (&key.id, &key.public)).collect();
    for (key, public) in keys {
        store.bind_key(clock.now(), key, public)?;
    }
    for (id, caller) in &policy.callers {
        store.bind_namespace(id, &caller.namespace)?;
    }
    for (id, key) in &policy.keys {
        store.bind_purpose(id, key.purpose, key.currency)?;
        key.currency.map_or(Ok(()), |currency| store.bind_currency(currency))?;
    }
    Ok(())
}

/// Twice the longest call of any token. A token whose queue takes longer to work off than that
/// needs a shorter queue: what waits longer is in doubt and signed again.
fn signing_wait(deployment: &Deployment) -> Duration {
    let deadlines = deployment.tokens.values().map(|token| token.deadline.seconds());
    Duration::from_secs(deadlines.max().unwrap_or(5).unsigned_abs()).saturating_mul(2)
}

impl Services {
    /// Binds the three listeners; streams end once `stopping` is true.
    pub(super) async fn listen(
        self,
        deployment: &Deployment,
        stopping: watch::Receiver<bool>,
        board: Arc<Board>,
    ) -> Result<Vec<Listener>, Failure> {
        let metrics = Arc::new(Metrics::default());
        let (pipeline, counts) = (self.pipeline.clone(), Arc::clone(&metrics));
        let gateway = Gateway::new(pipeline, counts, stopping);
        let operations = Operations {
            pipeline: self.pipeline.clone(),
            callers: Arc::clone(&self.callers),
            metrics,
            board,
        };
        Ok(vec![
            Listener {
                name: "gateway",
                socket: bound("gateway", deployment.gateway.listen).await?,
                security: Security::Callers(self.acceptors.gateway, self.callers),
                routes: http::gateway(gateway),
                connections_max: deployment.gateway.connections_max,
            },
            Listener {
                name: "public",
                socket: bound("public", deployment.public.listen).await?,
                security: Security::Tls(self.acceptors.public),
                routes: http::public(self.pipeline),
                connections_max: deployment.public.connections_max,
            },
            Listener {
                name: "operations",
                socket: bound("operations", deployment.operations.listen).await?,
                security: Security::Plain,
                routes: http::operations(operations),
                connections_max: OPERATIONS_CONNECTIONS_MAX,
            },
        ])
    }
}

pub(in crate::cli) async fn bound(name: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|refused| {
        Failure::broken(format!(
            "cannot listen on {address}: {refused}; stop what listens there, or change \
             {name}.listen"
        ))
    })
}
