//! Listens, and serves each connection within its bounds, on one thread of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::work::Caller;
use super::{Api, marks, routes, tls};
use crate::hw::process;
use crate::report;
use crate::stop::Stop;
use crate::supervisor::Failure;

/// Longest time for a request's head, and for a connection without a request: clients keep theirs
/// between two.
const HEAD: Duration = Duration::from_secs(60);
/// Largest head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Who takes nothing of an answer for so long is hung up on: a place is for those who listen.
const TAKES_WITHIN: Duration = Duration::from_secs(30);
/// Longest time for the start of TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long answers may take to end once the daemon stops; the data path drains meanwhile.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after a connection could not be taken: this process has too many files open.
const NO_FILES: Duration = Duration::from_millis(100);
/// Threads for what reads the disk.
const DISK_THREADS: usize = 2;

/// Serves until the daemon stops.
///
/// # Errors
/// The address cannot be listened on, or the certificate not used.
pub(super) async fn serve(api: Arc<Api>, stop: Stop) -> Result<(), Failure> {
    let (said, ended) = oneshot::channel();
    let work = move || {
        if let Err(error) = process::be_second() {
            tracing::debug!(%error, "requests have the rank of frames");
        }
        // Whoever waits for it is gone only where everything is.
        drop(said.send(run(&api, &stop)));
    };
    std::thread::Builder::new()
        .name("api".to_owned())
        .spawn(work)
        .map_err(|error| Failure::retry("no thread for the API", error))?;
    ended.await.unwrap_or_else(|_| Err(Failure::retry("the API", "it panicked (a bug in vedette)")))
}

fn run(api: &Arc<Api>, stop: &Stop) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(DISK_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::retry("no runtime for the API", error))?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = listen(api, stop) => ended,
            never = api.work.stay_awake() => match never {},
        }
    });
    runtime.shutdown_background();
    if stop.said() {
        api.work.end();
    }
    ended
}

async fn listen(api: &Arc<Api>, stop: &Stop) -> Result<(), Failure> {
    let settings = &api.settings;
    let address = settings.listen;
    let failed =
        |error| Failure::retry(format!("cannot listen on {address} (`api.listen`)"), error);
    let acceptor = settings.identity.as_ref().map(tls::acceptor).transpose()?;
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, tls = acceptor.is_some(), "the API listens");
    let (router, places) = (routes(api), Arc::new(Semaphore::new(settings.connections)));
    let (mut connections, mut callers) = (JoinSet::new(), 0_u64);
    let mut look = tokio::time::interval(marks::EVERY);
    loop {
        while let Some(ended) = connections.try_join_next() {
            complain(ended);
        }
        let accepted = tokio::select! {
            () = stop.heard() => break,
            _ = look.tick() => {
                api.marks.look(&api.view.pipelines);
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
                let caller = Caller(callers);
                callers = callers.wrapping_add(1);
                connections.spawn(async move {
                    greet(stream, acceptor, router, caller, &stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(NO_FILES).await;
            }
        }
    }
    drop(listener);
    let all = async {
        while let Some(ended) = connections.join_next().await {
            complain(ended);
        }
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::debug!("an answer did not end in time");
    }
    Ok(())
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let most_ms = u32::try_from(TAKES_WITHIN.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&stream, most_ms)?;
    Ok((stream, place))
}

/// A connection that panicked is a bug, and the end of that connection alone.
fn complain(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = report::chain(&error), "a request panicked (a bug in vedette)");
    }
}

async fn greet(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    caller: Caller,
    stop: &Stop,
) {
    let Some(acceptor) = acceptor else { return talk(stream, router, caller, stop).await };
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, router, caller, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "no TLS with whoever called"),
        Err(_) => tracing::debug!("whoever called did not begin with TLS"),
    }
}

/// Serves one connection until it ends; once the daemon stops, until the answer that is on its way
/// has ended.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    caller: Caller,
    stop: &Stop,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.heard() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = report::chain(&error), "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_is_hung_up_on_after_a_while() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _place) = accept(&listener, &Arc::new(Semaphore::new(1))).await.unwrap();
        let most_ms = rustix::net::sockopt::tcp_user_timeout(&stream).unwrap();
        assert_eq!(u128::from(most_ms), TAKES_WITHIN.as_millis());
    }
}
