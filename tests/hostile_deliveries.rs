//! WH-01 and WH-04 at the program itself: what nobody has signed has no effect, and costs neither memory nor patience.
//!
//! [`receivers`](crate::receivers) shows each refusal by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::daemon::Daemon;
use crate::support::raw_http::{answered, exchange};

/// What the memory may grow by, whatever is sent (WH-04).
const GROWTH_MAX: u64 = 16 * 1024 * 1024;
/// Senders at the same time: as many bodies as one receiver reads at once. More of them are asked to come back.
const SENDERS: usize = 8;
/// A body that is longer than anything that is read, and short enough to be sent in a test: a chunk, and how many of them.
const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 512;
/// The longest that any of it may take: the deadline of a body is ten seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
const PUSH: &str = r#"{"name": "acme/web", "tag": "1.0.1"}"#;

struct Fixture {
    skeg: Daemon,
    public: SocketAddr,
    private: SocketAddr,
    _folder: tempfile::TempDir,
}

/// skeg with a cluster that is not there: receivers are open all the same.
async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let kubeconfig = "{apiVersion: v1, kind: Config, current-context: none, clusters: [{name: none, cluster: {server: 'http://127.0.0.1:9'}}], \
                      contexts: [{name: none, context: {cluster: none, user: none}}], users: [{name: none, user: {}}]}";
    write("kubeconfig", kubeconfig);
    write("secret", "s3cret\n");
    write("empty", "");
    let receiver = |path: &str, credential: &str| format!("[[webhook]]\nsource = 'native'\npath = '{path}'\n{credential}\n");
    let receivers = [
        receiver("/token", "token_file = 'secret'"),
        receiver("/password", "username = 'ci'\npassword_file = 'secret'"),
        receiver("/none", ""),
        receiver("/empty-token", "token_file = 'empty'"),
        receiver("/empty-password", "username = 'ci'\npassword_file = 'empty'"),
        receiver("/empty-variable", "token_env = 'SKEG_TEST_EMPTY'"),
        receiver("/open", "insecure = true"),
    ];
    let config = "[server]\nlisten = '127.0.0.1:0'\nprivate_listen = '127.0.0.1:0'\ncache_dir = 'cache'\n\
                  [cluster]\nkubeconfig = 'kubeconfig'\n[telemetry]\nlog = 'json'\n";
    write("skeg.toml", &(config.to_owned() + &receivers.concat()));
    let skeg = Daemon::start_with(&folder.path().join("skeg.toml"), &[("SKEG_TEST_EMPTY", "")]).await;
    let (public, private) = (skeg.public.parse().unwrap(), skeg.private.parse().unwrap());
    Fixture { skeg, public, private, _folder: folder }
}

fn head(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\n{headers}\r\n")
}

impl Fixture {
    /// How many deliveries came to this outcome.
    async fn counted(&self, outcome: &str) -> u64 {
        let metrics = exchange(self.private, "GET /metrics HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\n\r\n").await.body;
        let line = format!("skeg_webhook_deliveries_total{{source=\"native\",outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }
}

/// WH-01.
#[tokio::test]
async fn what_is_not_signed_has_no_effect() {
    let fixture = fixture().await;
    let length = format!("content-length: {}\r\n", PUSH.len());
    // `:`, `ci:` and `ci:s3cret`
    let basic = ["authorization: Basic Og==\r\n", "authorization: Basic Y2k6\r\n", "authorization: Basic Y2k6czNjcmV0\r\n"];
    let bearer =
        ["authorization: Bearer \r\n", "authorization: Bearer wrong\r\n", "authorization: Bearer s3cre\r\n", "authorization: s3cret\r\n"];
    let elsewhere = ["x-token: s3cret\r\n", "cookie: token=s3cret\r\n", "x-hub-signature-256: sha256=00\r\n", ""];
    let wrong: Vec<&str> = bearer.into_iter().chain(elsewhere).chain([basic[0], basic[1]]).collect();
    for (path, expected, right) in [("/token", 401, basic[2]), ("/password", 401, "authorization: Bearer s3cret\r\n")] {
        for headers in wrong.iter().copied().chain([right]) {
            let answer = exchange(fixture.public, &(head(path, &format!("{length}{headers}")) + PUSH)).await;
            assert_eq!(answer.status, expected, "{path} {headers}");
        }
        for query in ["?token=s3cret", "?access_token=s3cret", "?authorization=Bearer%20s3cret"] {
            assert_eq!(
                exchange(fixture.public, &(head(&format!("{path}{query}"), &length) + PUSH)).await.status,
                expected,
                "{path}{query}"
            );
        }
    }
    for path in ["/none", "/empty-token", "/empty-password", "/empty-variable"] {
        for headers in wrong.iter().copied().chain(basic) {
            let answer = exchange(fixture.public, &(head(path, &format!("{length}{headers}")) + PUSH)).await;
            assert_eq!(answer.status, 404, "{path} {headers}");
        }
    }
    assert_eq!(fixture.counted("accepted").await, 0);
    // The same with the credential: what was refused was not refused for anything else.
    for (path, headers) in [("/token", "authorization: Bearer s3cret\r\n"), ("/password", basic[2])] {
        assert_eq!(exchange(fixture.public, &(head(path, &format!("{length}{headers}")) + PUSH)).await.status, 200, "{path}");
    }
    assert_eq!(fixture.counted("accepted").await, 2);
}

/// WH-04: to a receiver that asks for a credential, and to one where everybody may post.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_endless_deep_or_slow_is_refused_within_sixteen_mebibytes() {
    let fixture = fixture().await;
    // One of everything, so that what is set up once is set up.
    exchange(fixture.public, &(head("/open", "content-length: 1\r\n") + "x")).await;
    let before = fixture.skeg.memory("VmRSS");
    let begun = Instant::now();
    for (path, is_open) in [("/token", false), ("/open", true)] {
        let expect = |status: u16| if is_open { status } else { 401 };
        at_once(|| sends_five_gigabytes(fixture.public, path, expect(413))).await;
        at_once(|| sends_without_end(fixture.public, path, expect(413))).await;
        at_once(|| sends_depth(fixture.public, path, expect(400))).await;
        at_once(|| sends_slowly(fixture.public, path, expect(408))).await;
    }
    assert!(begun.elapsed() < 2 * ANSWERED_WITHIN, "{:?}", begun.elapsed());
    let peak = fixture.skeg.memory("VmHWM");
    assert!(peak.saturating_sub(before) <= GROWTH_MAX, "from {before} to {peak}");
    assert_eq!(fixture.counted("accepted").await, 0);
}

async fn at_once<S: Future<Output = ()> + Send + 'static>(sends: impl Fn() -> S) {
    let senders: tokio::task::JoinSet<()> = (0..SENDERS).map(|_| sends()).collect();
    senders.join_all().await;
}

/// Announces five gigabytes and sends what is taken of them.
async fn sends_five_gigabytes(to: SocketAddr, path: &'static str, expected: u16) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(head(path, "content-length: 5368709120\r\n").as_bytes()).await.unwrap();
    send_until_refused(&mut stream, &vec![b'x'; CHUNK]).await;
    assert_eq!(answered(stream).await.status, expected, "{path}");
}

/// Announces nothing, and goes on.
async fn sends_without_end(to: SocketAddr, path: &'static str, expected: u16) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(head(path, "transfer-encoding: chunked\r\n").as_bytes()).await.unwrap();
    let chunk = format!("{CHUNK:x}\r\n{}\r\n", "x".repeat(CHUNK));
    send_until_refused(&mut stream, chunk.as_bytes()).await;
    assert_eq!(answered(stream).await.status, expected, "{path}");
}

/// Sends as long as the other side takes it and has not answered.
async fn send_until_refused(stream: &mut TcpStream, piece: &[u8]) {
    let (mut from, mut to) = stream.split();
    for _ in 0..CHUNKS {
        let mut first = [0];
        tokio::select! { biased;
            _ = from.peek(&mut first) => return,
            sent = to.write_all(piece) => if sent.is_err() { return },
        }
    }
}

/// A hundred thousand levels of JSON, whole.
async fn sends_depth(to: SocketAddr, path: &'static str, expected: u16) {
    let body = "[".repeat(100_000) + &"]".repeat(100_000);
    let request = head(path, &format!("content-length: {}\r\n", body.len())) + &body;
    assert_eq!(exchange(to, &request).await.status, expected, "{path}");
}

/// Ten bytes a second.
async fn sends_slowly(to: SocketAddr, path: &'static str, expected: u16) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let begun = Instant::now();
    stream.write_all(head(path, "content-length: 100000\r\n").as_bytes()).await.unwrap();
    let mut every = tokio::time::interval(Duration::from_secs(1));
    let mut first = [0];
    loop {
        tokio::select! {
            _ = stream.peek(&mut first) => break,
            _ = every.tick() => if stream.try_write(b"0123456789").is_err() { break },
        }
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{path} is never answered");
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{path}: {answer}");
}
