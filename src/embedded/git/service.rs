//! One run of `git upload-pack` or `git receive-pack`: the request's body flows in, its output flows out, both bounded.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::embedded::loopback::{Body, Response};

/// Longest request body after inflation. Pushes of tests are a few KiB; a limit of forges is a few GiB.
const BODY_BYTES_MAX: usize = 256 << 20;
/// Compressed bytes inflated at once; at gzip's best ratio, about a thousand, that is 4 MiB of memory.
const INFLATE_STEP_BYTES: usize = 4 << 10;
/// Output read at once, the size of a pipe.
const READ_BYTES: usize = 64 << 10;
/// Time for the program to end. Loopback and a small repository take milliseconds.
const PROGRAM_DEADLINE: Duration = Duration::from_mins(2);

/// How a request body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Plain,
    /// gzip, which git uses for long lists of what it has.
    Gzip,
}

/// A program that runs. It is killed when this is dropped.
pub(super) struct Running {
    child: Child,
    output: ChildStdout,
    input: JoinHandle<()>,
    deadline: Instant,
}

impl Running {
    /// Starts the program and begins to feed it.
    pub fn start(command: Command, body: Body, encoding: Encoding) -> io::Result<Self> {
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = child.stdin.take().ok_or_else(closed)?;
        let output = child.stdout.take().ok_or_else(closed)?;
        Ok(Self { child, output, input: tokio::spawn(feed(body, encoding, stdin)), deadline: Instant::now() + PROGRAM_DEADLINE })
    }

    /// The next piece of output, `None` when the program has ended.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut piece = BytesMut::with_capacity(READ_BYTES);
        let read = tokio::time::timeout_at(self.deadline, self.output.read_buf(&mut piece)).await;
        match read {
            Ok(Ok(0)) => {
                // The exit status says nothing that the protocol has not said already; the child is only reaped.
                let _ = tokio::time::timeout_at(self.deadline, self.child.wait()).await;
                None
            }
            Ok(Ok(_)) => Some(Ok(piece.freeze())),
            Ok(Err(error)) => Some(Err(error)),
            Err(_) => Some(Err(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Lets the program do its work and drops what it says.
    pub async fn finish(&mut self) {
        while let Some(Ok(_)) = self.next().await {}
    }

    /// An answer with this first and then the program's output as it comes.
    pub fn into_response(self, first: Option<Bytes>) -> Response {
        let output = stream::unfold(self, |mut running| async move { running.next().await.map(|piece| (piece, running)) });
        let first = stream::iter(first.map(Ok));
        let pieces = futures::StreamExt::chain(first, output);
        warp::Reply::into_response(warp::reply::stream(pieces))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.input.abort();
    }
}

/// Feeds a body to a program. An error of either side just ends the input: the program sees a short request and says so in
/// the protocol's own words.
async fn feed(mut body: Body, encoding: Encoding, mut stdin: ChildStdin) {
    let mut inflater = match encoding {
        Encoding::Plain => None,
        Encoding::Gzip => Some(GzDecoder::new(Vec::new())),
    };
    let mut fed = 0;
    while let Some(Ok(piece)) = body.next().await {
        for step in piece.chunks(INFLATE_STEP_BYTES) {
            let Ok(plain) = inflate(inflater.as_mut(), step) else {
                return;
            };
            fed += plain.len();
            if fed > BODY_BYTES_MAX || stdin.write_all(&plain).await.is_err() {
                return;
            }
        }
    }
}

fn inflate(inflater: Option<&mut GzDecoder<Vec<u8>>>, step: &[u8]) -> io::Result<Vec<u8>> {
    let Some(inflater) = inflater else {
        return Ok(step.to_vec());
    };
    inflater.write_all(step)?;
    inflater.flush()?;
    Ok(std::mem::take(inflater.get_mut()))
}

/// Reads the rest of a body away, so that a client that is still sending gets its answer.
pub(super) async fn drain(mut body: Body) {
    let mut drained = 0;
    while let Some(Ok(piece)) = body.next().await {
        drained += piece.len();
        if drained > BODY_BYTES_MAX {
            return;
        }
    }
}

/// An answer that breaks off after its head. With no head at all, libcurl would take a connection it had used before for
/// one that went stale, and would send the request again by itself.
pub(super) fn closed_connection() -> Response {
    let cut = stream::once(async {
        // The server writes out the head when the body makes it wait.
        tokio::task::yield_now().await;
        Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    warp::Reply::into_response(warp::reply::stream(cut))
}
