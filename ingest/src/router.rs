//! Routes, and what every answer has: request id, CORS headers, metrics.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;
use weir_event::KeyClass;

use crate::collect::Collector;
use crate::error::Refusal;
use crate::payload;
use crate::sink::Sink;
use crate::split::Route;

#[cfg(test)]
mod tests;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Tells a program that sends other people's events whether its key may.
static X_WEIR_KEY_CLASS: HeaderName = HeaderName::from_static("x-weir-key-class");

/// How long browsers may remember a preflight's answer, in seconds.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("900");

/// Returns the service that SDKs talk to.
pub(crate) fn router<S: Sink>(collector: Arc<Collector<S>>) -> Router {
    Router::new()
        .route("/v1/{call}", any(collect))
        .route("/v1/{call}/", any(collect))
        .fallback(|| async { Refusal::NotFound })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&collector),
            around,
        ))
        .with_state(collector)
}

async fn collect<S: Sink>(
    State(collector): State<Arc<Collector<S>>>,
    request: Request,
) -> Response {
    let Some(route) = route(request.uri().path()) else {
        return Refusal::NotFound.into_response();
    };
    if request.method() != Method::POST {
        return Refusal::MethodNotAllowed.into_response();
    }
    let (head, mut body) = request.into_parts();
    match collector.take(&head, &mut body, route).await {
        Ok(class) => success(class),
        Err(refusal) => {
            tracing::debug!(code = refusal.code(), "request refused");
            // A client that asked before sending is told without sending.
            let waits = head.headers.contains_key(header::EXPECT);
            let read = !waits && refusal != Refusal::SlowBody && payload::discard(&mut body).await;
            let mut response = refusal.into_response();
            if !read {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// Returns the route of a path, with or without a slash at its end.
fn route(path: &str) -> Option<Route> {
    let name = path.strip_prefix("/v1/")?;
    Route::from_name(name.strip_suffix('/').unwrap_or(name))
}

fn success(class: KeyClass) -> Response {
    let class = match class {
        KeyClass::Browser => "browser",
        KeyClass::Mobile => "mobile",
        KeyClass::Server => "server",
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (X_WEIR_KEY_CLASS.clone(), class),
    ];
    (headers, "{\"success\":true}").into_response()
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over"
)]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let message = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(message, "a request panicked");
    Refusal::Internal.into_response()
}

/// Surrounds every request: answers preflights, counts, and names the request.
async fn around<S: Sink>(
    State(collector): State<Arc<Collector<S>>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let endpoint = route(request.uri().path()).map_or("other", Route::as_str);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let id = request_id(request.headers());
    let mut response = if is_preflight(request.method(), request.headers()) {
        preflight(request.headers())
    } else {
        // At the level of errors, so that no setting leaves them without it.
        let shown = id.as_ref().and_then(|id| id.to_str().ok());
        let span = tracing::error_span!("request", id = shown);
        next.run(request).instrument(span).await
    };
    if let Some(origin) = origin {
        allow_origin(response.headers_mut(), origin);
    }
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID.clone(), id);
    }
    let seconds = started.elapsed().as_secs_f64();
    collector
        .metrics
        .buffered_bytes
        .set(collector.buffered_bytes());
    collector
        .metrics
        .request(endpoint, response.status().as_str(), seconds);
    response
}

/// Returns the request's own id if it is short and plain, else a new one.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let plain = |id: &&HeaderValue| {
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    match headers.get(&X_REQUEST_ID).filter(plain) {
        Some(id) => Some(id.clone()),
        None => HeaderValue::from_str(&Uuid::now_v7().to_string()).ok(),
    }
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets any page send what its SDK wants to send: write keys decide, not origins.
fn preflight(request: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("POST, OPTIONS");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
    if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("retry-after, x-request-id"),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
