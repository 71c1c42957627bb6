//! Requests written byte by byte, for what a well-behaved client would not send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answered {
    /// The code of an error.
    pub fn error(&self) -> String {
        self.field("error")
    }

    /// A text of the JSON in the body.
    pub fn field(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"));
        body[name].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends `request` as it is and reads to the end of the connection.
pub async fn exchange(address: SocketAddr, request: &str) -> Answered {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    answered(stream).await
}

/// Reads what the server says to the end of the connection.
pub async fn answered(mut stream: TcpStream) -> Answered {
    let mut bytes = Vec::new();
    // The server may cut a connection whose request it did not read to the end; what it had said is there.
    drop(tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.unwrap());
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {text:?}"));
    Answered { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}
