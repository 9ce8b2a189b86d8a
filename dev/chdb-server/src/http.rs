//! The HTTP side: routes, headers, and the hand-over between asynchronous connections and blocking statements.

use std::io;
use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, Entrance};
use crate::answer::{Answer, Head, Pieces, Started};
use crate::body::{Body, BodyError, Budget};
use crate::engine::Engine;
use crate::exception::{Code, Exception};
use crate::formats;
use crate::request::{ContentEncoding, Credentials, Request};
use crate::sql;
use crate::statement::Job;

/// What every request needs.
pub(crate) struct Server {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Who may ask.
    pub(crate) credentials: Credentials,
    /// How many at once.
    pub(crate) admission: Arc<Admission>,
    /// How much memory for bodies.
    pub(crate) budget: Arc<Budget>,
    /// The statements that run, also those whose clients are gone.
    pub(crate) statements: TaskTracker,
    /// `X-ClickHouse-Server-Display-Name`.
    pub(crate) display_name: String,
}

type HttpResponse = Response<HttpBody>;

const NO_SUCH_PATH: &str = "There is no handle for this path\n\nUse / or /ping for health checks.\n\n\
    Send queries from your program with POST method or GET /?query=...\n";

/// Answers a request.
pub(crate) async fn handle(
    State(server): State<Arc<Server>>,
    request: HttpRequest,
) -> HttpResponse {
    let (parts, body) = request.into_parts();
    let by_get = matches!(parts.method, Method::GET | Method::HEAD);
    let by_post = parts.method == Method::POST;
    match parts.uri.path() {
        "/ping" | "/replicas_status" if by_get => server.text(200, "Ok.\n"),
        "/" if by_get && parts.uri.query().is_none() => server.text(200, "Ok.\n"),
        "/" | "/query" if by_get || by_post => {
            match Request::new(&parts, &server.credentials, &server.engine) {
                Ok(request) => server.statement(request, body).await,
                Err(exception) => server.refusal(&exception, None),
            }
        }
        "/" | "/query" => server.text(405, "Use GET or POST.\n"),
        _ => server.text(404, NO_SUCH_PATH),
    }
}

impl Server {
    async fn statement(self: &Arc<Self>, request: Request, body: HttpBody) -> HttpResponse {
        let query_id = request.query_id.clone();
        let outcome = self.admit(request, body).await;
        outcome.unwrap_or_else(|exception| self.refusal(&exception, Some(&query_id)))
    }

    async fn admit(
        self: &Arc<Self>,
        mut request: Request,
        body: HttpBody,
    ) -> Result<HttpResponse, Exception> {
        let id = self.admission.take_id(&request.query_id)?;
        let body = match Body::read(body, &self.budget).await {
            Ok(body) => body,
            Err(BodyError::Refused(exception)) => return Err(exception),
            // Nobody reads this answer.
            Err(BodyError::Gone) => return Ok(self.text(400, "")),
        };
        let mut body = body.decode(request.content_encoding, request.decompress);
        if request.boundary.is_some() {
            let mut whole = Vec::new();
            while let Some(piece) = body.next()? {
                whole.extend_from_slice(&piece);
            }
            request.take_multipart(&whole)?;
        }
        let begin = if request.query.is_empty() {
            body.begin()
        } else {
            &request.query
        };
        let entrance = if sql::is_kill(begin) {
            Entrance::Kill
        } else {
            Entrance::Common
        };
        let place = self.admission.enter(entrance).await?;
        let kill = Kill::on_disconnect(self, &request);
        let query_id = request.query_id.clone();
        let (answer, started) = Answer::new(&request, self.engine.version());
        let job = Job {
            request,
            body,
            answer,
            id,
            place,
        };
        let engine = Arc::clone(&self.engine);
        self.statements.spawn_blocking(move || job.run(&engine));
        let started = started.await.map_err(|_| {
            Exception::new(
                Code::UnknownException,
                "The statement ended without an answer",
            )
        })?;
        Ok(match started {
            Started::Complete(head, body) => {
                kill.disarm();
                self.response(&head, &query_id, HttpBody::from(body))
            }
            Started::Streaming(head, pieces) => {
                self.response(&head, &query_id, streaming(pieces, kill))
            }
        })
    }

    fn response(&self, head: &Head, query_id: &str, body: HttpBody) -> HttpResponse {
        let failed = head.exception_code.is_some();
        let format = head.format.as_deref().filter(|_| !failed);
        let content_type = format.map_or("text/plain; charset=UTF-8", formats::content_type);
        let mut response = self.bare(head.status, content_type, body);
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), value);
            }
        };
        set("x-clickhouse-query-id", query_id);
        set("x-clickhouse-timezone", self.engine.timezone());
        set("x-clickhouse-summary", &head.summary);
        set("x-clickhouse-exception-tag", &head.tag);
        if let Some(format) = format {
            set("x-clickhouse-format", format);
        }
        if let Some(code) = head.exception_code {
            set("x-clickhouse-exception-code", &code.to_string());
        }
        if let Some(encoding) = ContentEncoding::name(head.encoding) {
            set("content-encoding", encoding);
        }
        response
    }

    /// Answers a request whose statement was not let in. Such answers are never compressed.
    fn refusal(&self, exception: &Exception, query_id: Option<&str>) -> HttpResponse {
        let version = self.engine.version();
        let text = format!("{exception} (version {version} (libchdb))\n");
        let mut response = self.text(exception.status(), &text);
        let headers = response.headers_mut();
        headers.insert("x-clickhouse-exception-code", exception.code.into());
        if let Some(query_id) = query_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert("x-clickhouse-query-id", query_id);
        }
        response
    }

    fn text(&self, status: u16, text: &str) -> HttpResponse {
        let body = HttpBody::from(text.to_owned());
        self.bare(status, "text/plain; charset=UTF-8", body)
    }

    fn bare(&self, status: u16, content_type: &'static str, body: HttpBody) -> HttpResponse {
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Ok(name) = HeaderValue::from_str(&self.display_name) {
            headers.insert("x-clickhouse-server-display-name", name);
        }
        response
    }
}

fn streaming(pieces: Pieces, kill: Kill) -> HttpBody {
    let body = stream::unfold(Some((pieces, kill)), |state| async move {
        let (mut pieces, kill) = state?;
        match pieces.recv().await {
            Some(Ok(piece)) => Some((Ok::<Bytes, io::Error>(piece), Some((pieces, kill)))),
            Some(Err(error)) => {
                kill.disarm();
                // The connection breaks off at an error at once; what was written before it must get out first.
                tokio::task::yield_now().await;
                Some((Err(error), None))
            }
            None => {
                kill.disarm();
                None
            }
        }
    });
    HttpBody::from_stream(body)
}

/// Ends a statement when its client goes away before its end, if that was asked for.
struct Kill {
    engine: Option<Arc<Engine>>,
    query_id: String,
}

impl Kill {
    fn on_disconnect(server: &Server, request: &Request) -> Self {
        let wanted = request.is_read_only()
            && request.is_set("cancel_http_readonly_queries_on_client_close");
        Self {
            engine: wanted.then(|| Arc::clone(&server.engine)),
            query_id: request.query_id.clone(),
        }
    }

    fn disarm(mut self) {
        self.engine = None;
    }
}

impl Drop for Kill {
    fn drop(&mut self) {
        let Some(engine) = self.engine.take() else {
            return;
        };
        let query_id = std::mem::take(&mut self.query_id);
        tokio::task::spawn_blocking(move || {
            if let Err(exception) = engine.kill(Some(&query_id)) {
                tracing::warn!(query_id, %exception, "cannot end the query of a client that is gone");
            }
        });
    }
}
