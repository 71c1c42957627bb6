//! A watch that the server takes on and never begins is given up.
//!
//! That a connection is taken says little: a server that hangs takes it, and a watch that does not begin would look like one on which nothing
//! happens. Other calls have a deadline of their own; a watch that has begun has none.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use kube::client::Body;
use tokio::time::timeout;
use tower::{BoxError, Layer, Service};

/// From the request to the head of the answer, which the server sends before it has anything to tell. As long as a connection may take.
pub(super) const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// Puts the deadline before a client.
#[derive(Clone, Copy)]
pub(super) struct Opening;

/// A client with the deadline.
pub(super) struct Opens<S>(S);

/// It was not kept.
#[derive(Debug, thiserror::Error)]
#[error("the watch did not begin within {} s", BEGINS_WITHIN.as_secs())]
struct NotBegun;

impl<S> Layer<S> for Opening {
    type Service = Opens<S>;

    fn layer(&self, inner: S) -> Opens<S> {
        Opens(inner)
    }
}

impl<S> Service<Request<Body>> for Opens<S>
where
    S: Service<Request<Body>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let answer = self.0.call(request);
        Box::pin(async move {
            if !is_watch {
                return answer.await.map_err(Into::into);
            }
            match timeout(BEGINS_WITHIN, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(NotBegun.into()),
            }
        })
    }
}
