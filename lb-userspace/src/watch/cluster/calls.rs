// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is asked of the API server, and what comes of it, counted where kube does its HTTP: with
//! names, labels and buckets of Kubernetes' own client (`k8s.io/component-base`,
//! `metrics/prometheus/restclient`).
//!
//! A watch is counted when its answer begins, and not timed: it lasts as long as it is told to.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Request, Response,
    body::{Body, Frame},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::clock;

/// The code of a request that nobody answered, or not in time.
const UNANSWERED: &str = "<error>";

const BUCKETS_S: [f64; 12] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
];

/// The counts; clones share them.
#[derive(Clone, Debug)]
pub struct Calls {
    answers: Family<[(&'static str, String); 3], Counter>,
    durations: Family<[(&'static str, String); 2], Histogram>,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            answers: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS_S)),
        }
    }
}

impl Calls {
    /// Lets a registry whose prefix is `rest_client` tell of them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests to the API server, by HTTP status and method; <error>: without an answer",
            self.answers.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "From a request to the API server to the end of its answer; without watches",
            self.durations.clone(),
        );
    }

    /// A request begins.
    pub(crate) fn begin(&self, method: &str, host: &str, is_watch: bool) -> Call {
        Call {
            calls: self.clone(),
            method: method.to_owned(),
            host: host.to_owned(),
            begun: clock::runtime(),
            is_watch,
            is_answered: false,
        }
    }

    /// Counts what goes through a client to `host`.
    pub(super) fn of(&self, host: String) -> Counted {
        Counted {
            calls: self.clone(),
            host,
        }
    }
}

/// The layer around a client's HTTP.
pub(super) struct Counted {
    calls: Calls,
    host: String,
}

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counting {
            calls: self.calls.clone(),
            host: self.host.clone(),
            inner,
        }
    }
}

/// A service whose calls are counted.
pub(super) struct Counting<S> {
    calls: Calls,
    host: String,
    inner: S,
}

impl<S, Asked, Answer> Service<Request<Asked>> for Counting<S>
where
    S: Service<Request<Asked>, Response = Response<Answer>>,
    S::Future: Send + 'static,
{
    type Response = Response<Timed<Answer>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let is_watch = query.split('&').any(|pair| pair == "watch=true");
        let method = request.method().as_str();
        let mut call = self.calls.begin(method, &self.host, is_watch);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            call.answered(answer.status().as_str());
            Ok(answer.map(|body| Timed { body, _call: call }))
        })
    }
}

/// The body of an answer: the call ends with it.
pub(super) struct Timed<B> {
    body: B,
    _call: Call,
}

impl<B: Body + Unpin> Body for Timed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

/// A request that is under way. Whoever loses patience with it drops it.
#[derive(Debug)]
pub(crate) struct Call {
    calls: Calls,
    method: String,
    host: String,
    begun: Instant,
    is_watch: bool,
    is_answered: bool,
}

impl Call {
    /// The answer begins.
    pub(crate) fn answered(&mut self, code: &str) {
        self.is_answered = true;
        let (method, host) = (self.method.clone(), self.host.clone());
        let labels = [
            ("code", code.to_owned()),
            ("method", method),
            ("host", host),
        ];
        self.calls.answers.get_or_create(&labels).inc();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answered(UNANSWERED);
        }
        if !self.is_watch {
            let (verb, host) = (self.method.clone(), self.host.clone());
            let durations = &self.calls.durations;
            let duration = durations.get_or_create(&[("verb", verb), ("host", host)]);
            duration.observe(self.begun.elapsed().as_secs_f64());
        }
    }
}
