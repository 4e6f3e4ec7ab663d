//! Figures for Prometheus. They observe; nothing depends on them.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::clock;
use crate::domain::caller::CallerId;
use crate::domain::time::Timestamp;
use crate::notifications::board::Standing;
use crate::pipeline::Pipeline;
use crate::pipeline::unserved::Cause;

use super::Gateway;
use super::problem::Rule;

/// Upper edges of the latency histogram, in seconds.
const LATENCY_S: [f64; 12] =
    [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfToken {
    token: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWitness {
    witness: String,
}

/// Counters and gauges of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    submit_seconds: Histogram,
    token_up: Family<OfToken, Gauge>,
    token_waiting: Family<OfToken, Gauge>,
    token_stuck: Family<OfToken, Gauge>,
    token_signed: Family<OfToken, Gauge>,
    token_failed: Family<OfToken, Gauge>,
    ledger_commits: Gauge,
    ledger_commands: Gauge,
    ledger_writable: Gauge,
    in_doubt: Gauge,
    log_leaves: Gauge,
    log_signed: Gauge,
    log_anchored: Gauge,
    halted: Gauge,
    witness_up: Family<OfWitness, Gauge>,
    witness_cosigned: Family<OfWitness, Gauge>,
    witness_behind: Family<OfWitness, Gauge>,
    routes: Routes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: String,
}

/// How notifications fare, by route.
#[derive(Default)]
struct Routes {
    delivered: Family<OfRoute, Gauge>,
    failed: Family<OfRoute, Gauge>,
    dead: Family<OfRoute, Gauge>,
    stuck_seconds: Family<OfRoute, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("countersign"),
            requests: Family::default(),
            submit_seconds: Histogram::new(LATENCY_S),
            token_up: Family::default(),
            token_waiting: Family::default(),
            token_stuck: Family::default(),
            token_signed: Family::default(),
            token_failed: Family::default(),
            ledger_commits: Gauge::default(),
            ledger_commands: Gauge::default(),
            ledger_writable: Gauge::default(),
            in_doubt: Gauge::default(),
            log_leaves: Gauge::default(),
            log_signed: Gauge::default(),
            log_anchored: Gauge::default(),
            halted: Gauge::default(),
            witness_up: Family::default(),
            witness_cosigned: Family::default(),
            witness_behind: Family::default(),
            routes: Routes::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("requests", "Requests of callers, by answer", self.requests.clone());
        all.register_with_unit(
            "submit",
            "From a payment's request to its answer",
            Unit::Seconds,
            self.submit_seconds.clone(),
        );
        for (name, help, family) in [
            ("token_up", "Whether a session of the token works", &self.token_up),
            ("token_waiting", "Signatures that wait for the token", &self.token_waiting),
            ("token_stuck", "Sessions stuck in a call", &self.token_stuck),
            ("token_signed", "Signatures made and verified since start", &self.token_signed),
            ("token_failed", "Signatures that failed since start", &self.token_failed),
        ] {
            all.register(name, help, family.clone());
        }
        for (name, help, family) in [
            ("witness_up", "Whether the witness cosigned when last asked", &self.witness_up),
            ("witness_cosigned", "Leaves that the witness has cosigned", &self.witness_cosigned),
            ("witness_behind", "Signed leaves that it has not", &self.witness_behind),
        ] {
            all.register(name, help, family.clone());
        }
        for (name, help, gauge) in [
            ("ledger_commits", "Batches committed since start", &self.ledger_commits),
            ("ledger_commands", "Commands in those batches", &self.ledger_commands),
            ("ledger_writable", "Whether the ledger takes records", &self.ledger_writable),
            ("payments_in_doubt", "Payments that may have been signed", &self.in_doubt),
            ("log_leaves", "Leaves in the log", &self.log_leaves),
            ("log_signed", "Leaves that the newest checkpoint covers", &self.log_signed),
            ("log_anchored", "Leaves that a token remembers", &self.log_anchored),
            ("halted", "Whether signing waits for a person", &self.halted),
        ] {
            all.register(name, help, gauge.clone());
        }
        let Routes { delivered, failed, dead, stuck_seconds } = &self.routes;
        for (name, help, family) in [
            ("notification_delivered", "Events that a route told since start", delivered),
            ("notification_failed", "Attempts of a route that failed since start", failed),
            ("notification_dead", "Events that a route gave up", dead),
            ("notification_stuck_seconds", "Age of the event that is not taken", stuck_seconds),
        ] {
            all.register(name, help, family.clone());
        }
    }

    /// Takes in how the routes of notifications stand.
    pub(super) fn note_routes(&self, standings: &[Standing], now: Timestamp) {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for standing in standings {
            let of = OfRoute { route: standing.route.clone() };
            let since = standing.stuck.as_ref().map_or(now, |stuck| stuck.since);
            let stuck_s = now.unix_s().saturating_sub(since.unix_s());
            self.routes.delivered.get_or_create(&of).set(number(standing.delivered));
            self.routes.failed.get_or_create(&of).set(number(standing.failed));
            self.routes.dead.get_or_create(&of).set(number(standing.dead));
            self.routes.stuck_seconds.get_or_create(&of).set(stuck_s);
        }
    }

    /// Everything in the OpenMetrics text format, gauges as they stand now.
    pub(super) fn text(&self, pipeline: &Pipeline, in_doubt: Option<u32>) -> String {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for token in pipeline.tokens() {
            let of = OfToken { token: token.name };
            let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            self.token_up.get_or_create(&of).set(token.up.into());
            self.token_waiting.get_or_create(&of).set(size(token.waiting));
            self.token_stuck.get_or_create(&of).set(size(token.stuck));
            self.token_signed.get_or_create(&of).set(number(token.signed));
            self.token_failed.get_or_create(&of).set(number(token.failed));
        }
        let (commits, commands) = pipeline.ledger().work_done();
        self.ledger_commits.set(number(commits));
        self.ledger_commands.set(number(commands));
        self.ledger_writable.set(pipeline.ledger().trouble().is_none().into());
        self.log_leaves.set(number(pipeline.ledger().log_size()));
        self.log_signed.set(number(pipeline.published().size));
        self.log_anchored.set(number(pipeline.anchored()));
        self.halted.set(pipeline.halted().is_some().into());
        self.of_witnesses(pipeline);
        if let Some(in_doubt) = in_doubt {
            self.in_doubt.set(in_doubt.into());
        }
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(refused) => format!("# {refused}\n"),
        }
    }

    fn of_witnesses(&self, pipeline: &Pipeline) {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let signed = pipeline.published().size;
        for witness in pipeline.witnesses() {
            let of = OfWitness { witness: witness.name };
            self.witness_up.get_or_create(&of).set(witness.trouble.is_none().into());
            self.witness_cosigned.get_or_create(&of).set(number(witness.cosigned));
            let behind = signed.saturating_sub(witness.cosigned);
            self.witness_behind.get_or_create(&of).set(number(behind));
        }
    }

    fn count(&self, route: &str, response: &Response, elapsed: Duration) {
        let rule = response.extensions().get::<Rule>().map(|rule| rule.0.clone());
        let answered = Answered {
            route: route.to_owned(),
            status: response.status().as_u16(),
            rule: rule.unwrap_or_default(),
        };
        self.requests.get_or_create(&answered).inc();
        if route == "/v1/payments" {
            self.submit_seconds.observe(elapsed.as_secs_f64());
        }
    }
}

/// Counts the requests of callers, and for the log those that got no decision.
pub(super) async fn observe(
    State(gateway): State<Gateway>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let caller = request.extensions().get::<CallerId>().cloned();
    let started = clock::monotonic();
    let response = next.run(request).await;
    let elapsed = clock::monotonic().saturating_duration_since(started);
    if let Some(cause) = undecided(&response) {
        let caller = caller.as_ref().map(CallerId::as_str).unwrap_or_default();
        gateway.pipeline.tally().count(caller, cause, 1);
    }
    gateway.metrics.count(path.as_deref().unwrap_or("unknown"), &response, elapsed);
    response
}

/// Why a request got no decision; `None` if it got one, or what it asked for.
fn undecided(response: &Response) -> Option<Cause> {
    let conflict = || {
        let rule = response.extensions().get::<Rule>();
        rule.is_some_and(|rule| rule.0 == "idempotency_key_conflict")
    };
    match response.status().as_u16() {
        // Forbidden is the answer of policy and limits: a decision with a leaf of its own.
        ..400 | 403 => None,
        401 => Some(Cause::Unauthenticated),
        404 | 405 | 410 => Some(Cause::NotFound),
        429 => Some(Cause::Overload),
        422 if conflict() => Some(Cause::Conflict),
        400..500 => Some(Cause::Malformed),
        _ => Some(Cause::Unavailable),
    }
}
