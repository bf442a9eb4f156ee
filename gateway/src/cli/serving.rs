//! Two listeners around one application, from ready to drained. The same for production and for development.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use super::health;
use super::shutdown::Shutdown;
use crate::edge::{Collector, Edge, Limits, Reloadable};
use crate::service::Service;

/// A socket that is bound already, so that a taken port is known before anything else is started.
pub(super) struct Bound {
    pub(super) listener: TcpListener,
    pub(super) tls: Arc<Reloadable>,
}

/// Serves until told to stop. Order of the end: not ready, API drained, background work done, operations listener closed.
pub(super) async fn run(
    service: Service,
    api: Bound,
    ops: Bound,
    limits: &Limits,
    mut shutdown: Shutdown,
    ready: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let draining = Arc::new(AtomicBool::new(false));
    let routes = service.ops.clone().merge(health::routes(
        service.ready.clone(),
        service.acquirers.clone(),
        draining.clone(),
        service.metrics.clone(),
    ));
    let hangups = [api.tls.reload_on_hangup()?, ops.tls.reload_on_hangup()?];
    let api_edge = Edge::new(api.listener, Some(api.tls.clone()), service.api.clone(), limits.clone());
    let ops_edge = Edge::new(ops.listener, Some(ops.tls.clone()), routes, limits.clone());
    let listeners = [
        ("api", api_edge.stats(), Some(api.tls)),
        ("ops", ops_edge.stats(), Some(ops.tls)),
    ];
    service
        .metrics
        .register(Box::new(Collector::new(listeners)))
        .context("registering the edge's metrics")?;

    let (stop_ops, ops_stopped) = oneshot::channel::<()>();
    let ops_serving = tokio::spawn(ops_edge.serve(async move { drop(ops_stopped.await) }));
    let api_serving = tokio::spawn(api_edge.serve(async move {
        shutdown.requested().await;
        draining.store(true, Ordering::Relaxed);
    }));
    ready().await?;
    tracing::info!("serving");
    let drained = api_serving
        .await
        .context("the API listener")?
        .context("the API listener")?;
    tracing::info!(
        cut = drained.connections_cut,
        handlers_left = drained.handlers_left,
        "API drained"
    );
    service.shutdown().await;
    let _ = stop_ops.send(());
    ops_serving
        .await
        .context("the operations listener")?
        .context("the operations listener")?;
    hangups.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}
