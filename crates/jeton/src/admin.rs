//! The admin listener: what operators and their machines ask. Never reachable from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use jeton_engine::engine::Engine;
use serde_json::json;
use tokio::time::timeout;

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
    /// How long the store may take to say that it is well.
    const READY_WITHIN: Duration = Duration::from_secs(2);

    /// The admin listener's side of this engine.
    pub(crate) fn new(engine: Arc<Engine>, metrics: Metrics) -> Self {
        Self { engine, stopping: AtomicBool::new(false), metrics }
    }

    /// From now on we are not ready, so that load balancers look elsewhere.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    async fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("the server is stopping".to_owned());
        }
        match timeout(Self::READY_WITHIN, self.engine.ready()).await {
            Ok(ready) => ready.map_err(|fault| fault.to_string()),
            Err(_) => Err("the store does not answer in time".to_owned()),
        }
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

impl Answers for Admin {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, _: Peer) -> Response<Full<Bytes>> {
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
        match self.ready().await {
            Ok(()) => json_response(StatusCode::OK, &json!({ "status": "ready" })),
            Err(reason) => {
                let body = json!({ "status": "not_ready", "reason": reason });
                json_response(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
        }
    }
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
