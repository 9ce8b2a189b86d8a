//! The listener for operators: `GET /metrics`, `/health/live`, `/health/ready`. Not for the public.

use std::io;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Health, HealthReport, Metrics};

/// How long requests that are under way may take after the shutdown.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves metrics and health on `listener` until `shutdown` is cancelled.
///
/// # Errors
/// Fails if the listener does.
///
/// # Cancel safety
/// Dropping the future closes the listener; nothing is lost.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    health: Health,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(render))
        .with_state(metrics)
        .merge(
            Router::new()
                .route("/health/live", get(live))
                .route("/health/ready", get(ready))
                .with_state(health),
        );
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let server = axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    tokio::select! {
        served = server => served,
        () = drained => Ok(()),
    }
}

async fn render(State(metrics): State<Metrics>) -> Response {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn live(State(health): State<Health>) -> Response {
    answer(health.liveness())
}

async fn ready(State(health): State<Health>) -> Response {
    answer(health.readiness())
}

fn answer(report: HealthReport) -> Response {
    let status = if report.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_and_health_are_served_until_the_shutdown() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::new("test", "1.2.3").unwrap();
        metrics
            .counter("weir_things_total", "Things.")
            .unwrap()
            .inc();
        let health = Health::new(&["kafka"]);
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, metrics, health.clone(), shutdown.clone()));

        let text = get(address, "/metrics").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        assert!(text.contains("weir_things_total 1"), "{text}");
        assert!(
            text.contains("weir_build_info{role=\"test\",version=\"1.2.3\"} 1"),
            "{text}"
        );
        assert!(text.contains("process_resident_memory_bytes"), "{text}");

        let text = get(address, "/health/ready").await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        assert!(
            text.contains(r#""kafka":{"ok":false,"reason":"starting"}"#),
            "{text}"
        );
        health.ready("kafka");
        assert!(
            get(address, "/health/ready")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            get(address, "/health/live")
                .await
                .starts_with("HTTP/1.1 200")
        );

        shutdown.cancel();
        server.await.unwrap().unwrap();
    }
}
