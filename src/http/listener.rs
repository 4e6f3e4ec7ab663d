//! Listeners: accept, shake hands, serve HTTP/1.1 or HTTP/2, stop gracefully. Everything that a
//! peer could stretch has a bound.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::clock;

use super::callers::{CallerVerifier, Peer};

/// Longest that a TLS handshake may take.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest that the headers of a request may take.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest that a connection may go without a request, whatever it is doing instead.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// Pause between looks at whether a connection is idle and its caller still one of ours.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Most headers of a request.
const HEADERS_MAX: usize = 64;
/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// Longest that connections may take to finish when the daemon stops.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(15);
/// Pause after the system refused a connection, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the connections of a listener are secured.
#[derive(Clone)]
pub enum Security {
    /// TLS with client certificates that show callers.
    Callers(TlsAcceptor, Arc<CallerVerifier>),
    /// TLS for everybody.
    Tls(TlsAcceptor),
    /// None; loopback only.
    Plain,
}

/// A bound listener and what it serves.
pub struct Listener {
    /// For log lines.
    pub name: &'static str,
    /// The socket.
    pub socket: TcpListener,
    /// How connections are secured.
    pub security: Security,
    /// What is served.
    pub routes: Router,
    /// Most connections at a time; further ones wait in the system's queue.
    pub connections_max: usize,
}

impl Listener {
    /// The address, with the port that the system chose.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` resolves, then lets the requests in progress finish, within a bound.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.connections_max));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let place = tokio::select! {
                () = &mut stop => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (security, routes) = (self.security.clone(), self.routes.clone());
                    let (watcher, name) = (graceful.watcher(), self.name);
                    tokio::spawn(async move {
                        let _place = place;
                        if let Err(reason) = connection(stream, security, routes, watcher).await {
                            tracing::debug!(listener = name, %peer, %reason, "connection ended");
                        }
                    });
                }
                Err(reason) => {
                    tracing::warn!(listener = self.name, %reason, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN_WAIT_MAX, graceful.shutdown()).await.is_err() {
            tracing::warn!(listener = self.name, "connections were cut off at the end");
        }
    }
}

async fn connection(
    stream: TcpStream,
    security: Security,
    routes: Router,
    watcher: Watcher,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(told)?;
    match security {
        Security::Plain => serve(stream, routes, None, watcher).await,
        Security::Tls(acceptor) => {
            serve(shake(acceptor, stream).await?, routes, None, watcher).await
        }
        Security::Callers(acceptor, callers) => {
            let stream = shake(acceptor, stream).await.inspect_err(|_| callers.turn_away())?;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let peer = callers.peer(chain).inspect_err(|_| callers.turn_away()).map_err(told)?;
            serve(stream, routes, Some((callers, Arc::new(peer))), watcher).await
        }
    }
}

async fn shake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, String> {
    match tokio::time::timeout(HANDSHAKE_WAIT_MAX, acceptor.accept(stream)).await {
        Ok(shaken) => shaken.map_err(|refused| format!("handshake refused: {refused}")),
        Err(_) => Err("the handshake took too long".to_owned()),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
    peer: Option<(Arc<CallerVerifier>, Arc<Peer>)>,
    watcher: Watcher,
) -> Result<(), String> {
    let routes = TowerToHyperService::new(routes);
    let activity = Arc::new(Activity::new());
    let (seen, caller) = (Arc::clone(&activity), peer.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, peer, activity) = (routes.clone(), peer.clone(), Arc::clone(&activity));
        let in_progress = Activity::begin(&activity);
        async move {
            let _in_progress = in_progress;
            let mut request = request.map(Body::new);
            if let Some((callers, peer)) = peer {
                if let Err(reason) = callers.still_holds(&peer) {
                    tracing::debug!(caller = %peer.caller, %reason, "certificate no longer holds");
                    return Ok(super::certificate_no_longer_holds(&reason));
                }
                request.extensions_mut().insert(peer.caller.clone());
                request.extensions_mut().insert(Streams(Arc::clone(&activity)));
            }
            let answered: Result<Response<Body>, Infallible> = routes.call(request).await;
            answered
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WAIT_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADERS_WAIT_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX.try_into().unwrap_or(u32::MAX));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut connection = std::pin::pin!(watcher.watch(connection));
    loop {
        tokio::select! {
            ended = &mut connection => return ended.map_err(told),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if seen.is_idle() {
            return Err("it was idle for too long".to_owned());
        }
        if let Some((callers, peer)) = &caller
            && !seen.is_busy()
        {
            callers.still_holds(peer).map_err(told)?;
        }
    }
}

/// What a connection is doing: requests in progress, answers that go on, and when the last one
/// began or ended.
struct Activity {
    in_progress: AtomicUsize,
    streams: AtomicUsize,
    last: Mutex<Instant>,
}

/// One request in progress.
struct InProgress(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self {
            in_progress: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            last: Mutex::new(clock::monotonic()),
        }
    }

    fn begin(activity: &Arc<Self>) -> InProgress {
        activity.in_progress.fetch_add(1, Ordering::AcqRel);
        activity.touch();
        InProgress(Arc::clone(activity))
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = clock::monotonic();
    }

    fn is_busy(&self) -> bool {
        self.in_progress.load(Ordering::Acquire) > 0
    }

    fn is_idle(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = self.streams.load(Ordering::Acquire) > 0;
        !streams && !self.is_busy() && clock::monotonic().saturating_duration_since(last) > IDLE_MAX
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.touch();
        self.0.in_progress.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where a handler says that its answer goes on after it has returned. Unlike with a request in
/// progress, it is looked at meanwhile whether the caller's certificate still holds.
#[derive(Clone)]
pub(super) struct Streams(Arc<Activity>);

/// An answer that goes on.
pub(super) struct Streaming(Arc<Activity>);

impl Streams {
    pub(super) fn begin(&self) -> Streaming {
        self.0.streams.fetch_add(1, Ordering::AcqRel);
        Streaming(Arc::clone(&self.0))
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.touch();
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

fn told(reason: impl std::fmt::Display) -> String {
    reason.to_string()
}
