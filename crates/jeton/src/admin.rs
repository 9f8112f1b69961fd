//! The admin listener: what operators and their machines ask. Never reachable from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use jeton_engine::clock::Time;
use jeton_engine::engine::Engine;
use jeton_engine::reach::{Absence, Issuing};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::listener::Answers;
use crate::http::peer::Peer;
use crate::metrics::{Format, Metrics};

/// Everything that answers on the admin listener.
pub(crate) struct Admin {
    engine: Arc<Engine>,
    stopping: AtomicBool,
    metrics: Metrics,
}

impl Admin {
    /// The admin listener's side of this engine.
    pub(crate) fn new(engine: Arc<Engine>, metrics: Metrics) -> Self {
        Self { engine, stopping: AtomicBool::new(false), metrics }
    }

    /// From now on we are not ready, so that load balancers look elsewhere.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether everything is answered here; with `within=grace`, whether tokens that need no row are.
    async fn ready(&self, query: Option<&str>) -> (StatusCode, Value) {
        const NOT: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        let is_content_with_less = match query {
            None => false,
            Some("within=grace") => true,
            Some(_) => return (StatusCode::BAD_REQUEST, json!({ "error": "invalid_request" })),
        };
        if self.stopping.load(Ordering::Relaxed) {
            return (NOT, json!({ "status": "not_ready", "reason": "the server is stopping" }));
        }
        let Err(absence) = self.engine.ready().await else {
            return (StatusCode::OK, json!({ "status": "ready" }));
        };
        if is_content_with_less && absence.issuing != Issuing::Ended {
            return (StatusCode::OK, told(&absence, "in_grace"));
        }
        (NOT, told(&absence, "not_ready"))
    }
}

impl Admin {
    async fn metrics(&self, format: Format) -> Response<Full<Bytes>> {
        let Ok(text) = self.metrics.text(format).await else {
            let body = json!({ "error": "server_error" });
            return json_response(StatusCode::INTERNAL_SERVER_ERROR, &body);
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// What is told of a store that is away.
fn told(absence: &Absence, status: &str) -> Value {
    let time = |time: Time| {
        Timestamp::from_millisecond(time.milliseconds()).map(|time| time.to_string()).ok()
    };
    // Where tokens are issued without end, nothing stands there.
    let (issuing, until) = match absence.issuing {
        Issuing::GoesOn => (true, None),
        Issuing::Until(end) => (true, time(end)),
        Issuing::Ended => (false, None),
    };
    let mut told = json!({
        "status": status,
        "reason": absence.reason,
        "since": time(absence.since),
        "issuing": issuing,
    });
    if let (Some(until), Some(members)) = (until, told.as_object_mut()) {
        members.insert("issuing_until".to_owned(), until.into());
    }
    told
}

impl Answers for Admin {
    async fn answer(&self, request: &mut Request<Incoming>, _: &Peer) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/health/live" | "/health/ready" | "/metrics") {
            return json_response(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let body = json!({ "error": "method_not_allowed" });
            let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, &body);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        if path == "/metrics" {
            return self.metrics(Format::asked_for(request.headers())).await;
        }
        if path == "/health/live" {
            return json_response(StatusCode::OK, &json!({ "status": "live" }));
        }
        let (status, body) = self.ready(request.uri().query()).await;
        json_response(status, &body)
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
