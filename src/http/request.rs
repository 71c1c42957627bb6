//! A request as the routes see it, and its body read within bounds.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt as _};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method};
use warp::Filter;
use warp::path::FullPath;

use super::answer::Problem;

/// A request whose head is read and whose body is not.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, without query, undecoded: every path that skeg serves is written in characters that need no escape.
    pub path: String,
    /// The query, empty when there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, still on its way.
    pub body: Body,
}

/// A body on its way. Dropping it leaves the rest unread.
pub struct Body(BoxStream<'static, Result<Bytes, warp::Error>>);

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyLimits {
    /// The most bytes.
    pub bytes_max: usize,
    /// The longest time from first to last byte.
    pub deadline: Duration,
}

impl Body {
    fn new<S, D>(parts: S) -> Self
    where
        S: Stream<Item = Result<D, warp::Error>> + Send + 'static,
        D: Buf,
    {
        Self(parts.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining()))).boxed())
    }

    /// Reads the body to its end. A length announced by the sender that is too large is refused before a byte is read.
    pub async fn read(self, headers: &HeaderMap, limits: BodyLimits) -> Result<Bytes, Problem> {
        let BodyLimits { bytes_max, deadline } = limits;
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > bytes_max as u64) {
            return Err(Problem::TooLarge { bytes_max });
        }
        tokio::time::timeout(deadline, self.collect(bytes_max)).await.unwrap_or(Err(Problem::TooSlow { deadline }))
    }

    async fn collect(mut self, bytes_max: usize) -> Result<Bytes, Problem> {
        let mut read = BytesMut::new();
        while let Some(part) = self.0.next().await {
            let part = part.map_err(|_| Problem::BadRequest("the body broke off".to_owned()))?;
            if read.len() + part.len() > bytes_max {
                return Err(Problem::TooLarge { bytes_max });
            }
            read.extend_from_slice(&part);
        }
        Ok(read.freeze())
    }
}

/// Takes every request as it is.
pub fn any() -> impl Filter<Extract = (Request,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let headers = warp::header::headers_cloned();
    warp::method().and(warp::path::full()).and(query).and(headers).and(body()).map(|method, path: FullPath, query, headers, body| Request {
        method,
        path: path.as_str().to_owned(),
        query,
        headers,
        body,
    })
}

fn body() -> impl Filter<Extract = (Body,), Error = warp::Rejection> + Copy + Send + Sync + 'static {
    warp::body::stream().map(Body::new)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { bytes_max: 8, deadline: Duration::from_millis(50) };

    fn body(parts: Vec<&'static [u8]>) -> Body {
        Body::new(stream::iter(parts).map(Ok::<_, warp::Error>))
    }

    fn announcing(length: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_LENGTH, length.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_body_within_its_bounds_is_read_whole() {
        let read = body(vec![b"1234", b"5678"]).read(&announcing("8"), LIMITS).await;
        assert_eq!(read.unwrap(), "12345678");
        assert_eq!(body(vec![]).read(&HeaderMap::new(), LIMITS).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_left_unread() {
        let read = body(vec![b"1234", b"56789"]).read(&HeaderMap::new(), LIMITS).await;
        assert_eq!(read.unwrap_err(), Problem::TooLarge { bytes_max: 8 });
        let never = Body::new(stream::pending::<Result<&[u8], warp::Error>>());
        assert_eq!(never.read(&announcing("9"), LIMITS).await.unwrap_err(), Problem::TooLarge { bytes_max: 8 });
        let never = Body::new(stream::pending::<Result<&[u8], warp::Error>>());
        assert_eq!(never.read(&announcing("5368709120"), LIMITS).await.unwrap_err(), Problem::TooLarge { bytes_max: 8 });
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up_at_the_deadline() {
        let begins = stream::iter([Ok::<&[u8], warp::Error>(b"1")]).chain(stream::pending());
        let read = Body::new(begins).read(&HeaderMap::new(), LIMITS).await;
        assert_eq!(read.unwrap_err(), Problem::TooSlow { deadline: LIMITS.deadline });
    }
}
