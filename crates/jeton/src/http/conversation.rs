//! One connection's requests and answers, and the room that each is answered in.
//!
//! What a request needs while it is answered is some kilobytes, which a connection would hold from its
//! first request to its end. Most requests are answered without waiting for anything, so that one room
//! for each thread is enough for thousands of connections; and what is used again and again is in the
//! processor's cache.

use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;
use parking_lot::Mutex;

use super::connection::{Answering, Watch};
use super::peer::Peer;
use super::together::OthersFirst;

/// Where the requests of all connections of a listener are answered: by whom, and the rooms.
pub(super) struct Hall<C, F> {
    answer: C,
    free: Mutex<Vec<Room<F>>>,
}

/// What a request needs while it is answered.
type Room<F> = Pin<Box<Option<F>>>;

impl<C, F> Hall<C, F> {
    /// More rooms are there only while as many requests wait.
    const FREE_MAX: usize = 64;

    /// A hall where everything is answered by `answer`.
    pub(super) fn new(answer: C) -> Self {
        Self { answer, free: Mutex::default() }
    }

    fn enter(&self, answering: F) -> Room<F> {
        let free = self.free.lock().pop();
        let mut room = free.unwrap_or_else(|| Box::pin(None));
        room.set(Some(answering));
        room
    }

    fn leave(&self, mut room: Room<F>) {
        room.set(None);
        let mut free = self.free.lock();
        if free.len() < Self::FREE_MAX {
            free.push(room);
        }
    }
}

/// One connection's requests and answers.
pub(super) struct Conversation<C, F> {
    pub(super) hall: Arc<Hall<C, F>>,
    pub(super) watch: Arc<Watch>,
    pub(super) peer: Peer,
}

impl<C, F> Service<Request<Incoming>> for Conversation<C, F>
where
    C: Fn(Request<Incoming>, Peer) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer<C, F>;

    fn call(&self, request: Request<Incoming>) -> Answer<C, F> {
        let answering = self.watch.answering(request.version());
        let room = self.hall.enter((self.hall.answer)(request, self.peer.clone()));
        Answer { hall: Arc::clone(&self.hall), stage: Stage::Deciding(room, answering) }
    }
}

/// One request that is being answered.
pub(super) struct Answer<C, F> {
    hall: Arc<Hall<C, F>>,
    stage: Stage<F>,
}

/// How far it has come.
enum Stage<F> {
    Deciding(Room<F>, Answering),
    Decided(Response<Full<Bytes>>, Answering, OthersFirst),
    Over,
}

impl<C, F: Future<Output = Response<Full<Bytes>>>> Future for Answer<C, F> {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { hall, stage } = self.get_mut();
        if let Stage::Deciding(room, _) = stage
            && let Some(future) = room.as_mut().as_pin_mut()
        {
            let response = ready!(future.poll(context));
            if let Stage::Deciding(room, answering) = mem::replace(stage, Stage::Over) {
                hall.leave(room);
                *stage = Stage::Decided(response, answering, OthersFirst::default());
            }
        }
        if let Stage::Decided(_, _, others) = stage {
            ready!(others.poll(context));
        }
        // Nobody asks again after the answer.
        let Stage::Decided(mut response, answering, _) = mem::replace(stage, Stage::Over) else {
            return Poll::Pending;
        };
        if answering.is_last() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}
