//! Listeners: accept, shake hands, serve HTTP/1.1 or HTTP/2, stop gracefully. Everything that a
//! peer could stretch has a bound.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

use super::callers::{CallerVerifier, Peer};

/// Longest that a TLS handshake may take.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest that a connection may be idle, or take for the headers of a request.
const HEADERS_WAIT_MAX: Duration = Duration::from_secs(60);
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
            let stream = shake(acceptor, stream).await?;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let peer = callers.peer(chain).map_err(told)?;
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
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, peer) = (routes.clone(), peer.clone());
        async move {
            let mut request = request.map(Body::new);
            if let Some((callers, peer)) = peer {
                if let Err(reason) = callers.still_holds(&peer) {
                    tracing::warn!(caller = %peer.caller, %reason, "certificate no longer holds");
                    return Ok(super::certificate_no_longer_holds());
                }
                request.extensions_mut().insert(peer.caller.clone());
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
    watcher.watch(connection).await.map_err(told)
}

fn told(reason: impl std::fmt::Display) -> String {
    reason.to_string()
}
