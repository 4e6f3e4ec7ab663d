//! `/v1/events`: what happens to payments, as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::domain::caller::CallerId;
use crate::domain::notification::{Event, EventId};
use crate::domain::text::{Malformed, excerpt};
use crate::pipeline::events::{Events, Whose};
use crate::pipeline::{Pipeline, Refusal};

use super::Gateway;
use super::listener::{Streaming, Streams};
use super::problem::{Problem, ProblemDocument};
use super::seats::Seat;

/// Streams that one caller may have open.
pub(super) const STREAMS_MAX: usize = 8;
/// Blocks that wait for a slow reader before nothing more is read for it.
const QUEUE_MAX: usize = 64;
/// Longest silence on a stream.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Longest that a reader may take to make room for a block.
const SEND_WAIT_MAX: Duration = Duration::from_secs(60);
/// Pause between reads of the log, so that one read finds what several commits left.
const READ_PAUSE: Duration = Duration::from_millis(20);
/// Where a reader says how far it came (WHATWG HTML, section 9.2).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Streams what happens to the payments of this caller, and to everybody's for an auditor.
///
/// Each event has an `id`; a reader that comes back with the last one it saw in `Last-Event-ID`
/// misses nothing. `0` starts with the first event on record; without the header the stream starts
/// now. A block without an event is a heartbeat, and moves the id on.
#[utoipa::path(
    get, path = "/v1/events", tag = "gateway",
    params(("Last-Event-ID" = Option<String>, Header,
        description = "the id of the last event that was seen, or the position of a heartbeat")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream",
            description = "server-sent events; the data of each is the body of a webhook"),
        (status = 409, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger does not have that event: it was set back meanwhile"),
        (status = 422, body = ProblemDocument, content_type = "application/problem+json",
            description = "the id is malformed"),
        (status = 429, body = ProblemDocument, content_type = "application/problem+json",
            description = "as many streams as this caller may have are open"),
        (status = 503, body = ProblemDocument, content_type = "application/problem+json",
            description = "the ledger cannot be read"),
    )
)]
pub(super) async fn stream(
    State(gateway): State<Gateway>,
    Extension(caller): Extension<CallerId>,
    Extension(streams): Extension<Streams>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        let detail = format!("found {}; expected none", excerpt(&query));
        return Err(Malformed::new("query", "unknown_field", detail).into());
    }
    let seat = gateway.streams.take(&caller, "streams")?;
    let from = from(&gateway.pipeline, &headers).await?;
    let policy = gateway.pipeline.policy();
    let is_auditor = policy.callers.get(&caller).is_some_and(|caller| caller.auditor);
    let whose = if is_auditor { Whose::Everybody } else { Whose::Caller(caller) };
    let (blocks, receiver) = mpsc::channel(QUEUE_MAX);
    let (pipeline, stopping) = (gateway.pipeline, gateway.stopping);
    tokio::spawn(async move {
        let written = write(&pipeline, whose, from, blocks.clone());
        tokio::select! {
            Err(failure) = written => tracing::warn!(%failure, "a stream of events ended early"),
            () = told(stopping) => {}
            () = blocks.closed() => {}
            else => {}
        }
    });
    let body = Stream { blocks: receiver, _seat: seat, _streaming: streams.begin() };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// Resolves when it is time to stop.
async fn told(mut stopping: watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Position of the first leaf that a reader has not seen.
async fn from(pipeline: &Pipeline, headers: &HeaderMap) -> Result<u64, Problem> {
    let field = "Last-Event-ID";
    let size = pipeline.ledger().log_size();
    let Some(last) = headers.get(&LAST_EVENT_ID) else { return Ok(size) };
    let last = last.to_str().unwrap_or_default();
    let position = match last.parse() {
        Ok(position) => position,
        Err(_) => {
            let id = EventId::parse(field, last)?;
            if pipeline.event(id).await?.is_none() {
                return Err(Problem::set_back(last, size));
            }
            id.position
        }
    };
    match position < size {
        true => Ok(position.saturating_add(1)),
        false => Err(Problem::set_back(last, size)),
    }
}

/// Writes blocks until the reader is gone or too slow, or the ledger cannot be read.
async fn write(
    pipeline: &Pipeline,
    whose: Whose,
    from: u64,
    blocks: mpsc::Sender<Bytes>,
) -> Result<(), Refusal> {
    let mut next = from;
    // The first one at once, so that a reader that sees no event knows where it began.
    let mut heartbeats = tokio::time::interval(HEARTBEAT_EVERY);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut found = Events { next, ..Events::default() };
    loop {
        tokio::select! {
            biased;
            _ = heartbeats.tick() => {
                if !sent(&blocks, heartbeat(next)).await {
                    return Ok(());
                }
                continue;
            }
            () = pipeline.more_events(&found) => {}
        }
        found = pipeline.events(whose.clone(), next).await?;
        for event in &found.events {
            if !sent(&blocks, block(event)).await {
                return Ok(());
            }
        }
        next = found.next;
        tokio::time::sleep(READ_PAUSE).await;
    }
}

async fn sent(blocks: &mpsc::Sender<Bytes>, block: Bytes) -> bool {
    matches!(tokio::time::timeout(SEND_WAIT_MAX, blocks.send(block)).await, Ok(Ok(())))
}

/// One event. Canonical JSON has no line break, so that its body is one line of data.
fn block(event: &Event) -> Bytes {
    let (id, kind, body) = (event.id(), event.kind().name(), event.to_body());
    Bytes::from(format!("id: {id}\nevent: {kind}\ndata: {body}\n\n"))
}

/// A block that dispatches nothing and moves the reader's last id on: everything before `next` was
/// seen, or is not its business.
fn heartbeat(next: u64) -> Bytes {
    Bytes::from(match next.checked_sub(1) {
        Some(seen) => format!(": alive\nid: {seen}\n\n"),
        None => ": alive\n\n".to_owned(),
    })
}

/// The body of an answer: blocks as they come, and the places that they take.
struct Stream {
    blocks: mpsc::Receiver<Bytes>,
    _seat: Seat,
    _streaming: Streaming,
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.blocks.poll_recv(context).map(|block| block.map(|block| Ok(Frame::data(block))))
    }
}
