//! A gate on the way to a far end: HTTP requests pass through it, and the one that a test waits for is held there, before the far end has
//! it or before skeg has the answer. So a process can be killed exactly there.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The longest wait for a request to come to the gate.
const REACHED_WITHIN: Duration = Duration::from_mins(1);
/// What is passed on at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Where a request is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// The far end knows nothing of it.
    Before,
    /// The far end has carried it out and has answered.
    After,
}

/// A request, as far as tests look at it.
pub struct Passing {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body, as text.
    pub body: String,
}

/// A running gate. It closes when this is dropped.
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    plans: Plans,
    task: tokio::task::JoinHandle<()>,
}

/// A request that is or will be held.
pub struct Held {
    reached: Option<oneshot::Receiver<()>>,
    fate: oneshot::Sender<()>,
    answered: oneshot::Receiver<()>,
}

struct Plan {
    point: Point,
    is_it: Box<dyn Fn(&Passing) -> bool + Send>,
    hold: Hold,
}

/// The gate's end of a [`Held`].
struct Hold {
    reached: oneshot::Sender<()>,
    fate: oneshot::Receiver<()>,
    answered: oneshot::Sender<()>,
}

/// What is done at the next answer of a connection.
enum AtAnswer {
    Hold(Hold),
    Tell(oneshot::Sender<()>),
}

type Plans = Arc<Mutex<Vec<Plan>>>;

impl Gate {
    /// A gate before this address.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plans = Plans::default();
        let known = Arc::clone(&plans);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, Arc::clone(&known)));
            }
        });
        Self { address, plans, task }
    }

    /// Holds the next such request at this point.
    pub fn hold(&self, point: Point, is_it: impl Fn(&Passing) -> bool + Send + 'static) -> Held {
        let ((reached, is_reached), (fate, is_decided)) = (oneshot::channel(), oneshot::channel());
        let (answered, is_answered) = oneshot::channel();
        let hold = Hold { reached, fate: is_decided, answered };
        self.plans.lock().unwrap().push(Plan { point, is_it: Box::new(is_it), hold });
        Held { reached: Some(is_reached), fate, answered: is_answered }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Held {
    /// Waits until the request is held.
    pub async fn reached(&mut self) {
        let reached = self.reached.take().expect("it is waited for once");
        tokio::time::timeout(REACHED_WITHIN, reached).await.expect("no such request came").expect("the gate is open");
    }

    /// Lets it go on, and gives what tells when the far end has answered. Dropping this closes its connection instead.
    pub fn release(self) -> oneshot::Receiver<()> {
        let _ = self.fate.send(());
        self.answered
    }
}

/// One connection, until either side closes it. Clients send one request at a time (RFC 9112, section 9.3.2, "Pipelining", is used by none of
/// them), so whatever comes from the far end after a request is its answer.
async fn pass(client: TcpStream, to: SocketAddr, plans: Plans) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let answer: Arc<Mutex<Option<AtAnswer>>> = Arc::default();
    let answers = tokio::spawn(pass_answers(from_server, to_client, Arc::clone(&answer)));
    // An error is the end of a connection.
    let _ = pass_requests(BufReader::new(from_client), to_server, &plans, &answer).await;
    // The client has gone; what it asked for is answered to nobody. A request that is held is decided by the test.
    let _ = answers.await;
}

async fn pass_requests(
    mut client: BufReader<OwnedReadHalf>,
    mut server: OwnedWriteHalf,
    plans: &Plans,
    answer: &Mutex<Option<AtAnswer>>,
) -> io::Result<()> {
    while let Some((passing, bytes)) = read_request(&mut client).await? {
        match take(plans, &passing) {
            Some(Plan { point: Point::Before, hold, .. }) => {
                let _ = hold.reached.send(());
                if hold.fate.await.is_err() {
                    return Ok(());
                }
                let (tell, told) = oneshot::channel();
                *answer.lock().unwrap() = Some(AtAnswer::Tell(tell));
                server.write_all(&bytes).await?;
                // The client may be gone by now. A server that sees its connection closed may give the request up.
                if told.await.is_ok() {
                    let _ = hold.answered.send(());
                }
                continue;
            }
            Some(Plan { point: Point::After, hold, .. }) => *answer.lock().unwrap() = Some(AtAnswer::Hold(hold)),
            None => {}
        }
        server.write_all(&bytes).await?;
    }
    Ok(())
}

async fn pass_answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, answer: Arc<Mutex<Option<AtAnswer>>>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = server.read(&mut piece).await {
        let at_answer = answer.lock().unwrap().take();
        match at_answer {
            Some(AtAnswer::Hold(hold)) => {
                let _ = hold.reached.send(());
                if hold.fate.await.is_err() {
                    return;
                }
            }
            Some(AtAnswer::Tell(answered)) => drop(answered.send(())),
            None => {}
        }
        if client.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

fn take(plans: &Plans, passing: &Passing) -> Option<Plan> {
    let mut plans = plans.lock().unwrap();
    let place = plans.iter().position(|plan| (plan.is_it)(passing))?;
    Some(plans.remove(place))
}

/// The next request and its bytes; `None` when the client has closed.
async fn read_request(client: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<(Passing, Vec<u8>)>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if client.read_until(b'\n', &mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut words = head.split(' ');
    let [method, path] = [words.next(), words.next()].map(|word| word.unwrap_or_default().to_owned());
    let header = |name: &str| {
        let values = head.lines().filter_map(|line| line.split_once(':'));
        values.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let start = bytes.len();
    if header("transfer-encoding").is_some() {
        read_chunks(client, &mut bytes).await?;
    } else {
        let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        bytes.resize(start + length, 0);
        client.read_exact(&mut bytes[start..]).await?;
    }
    let body = String::from_utf8_lossy(&bytes[start..]).into_owned();
    Ok(Some((Passing { method, path, body }, bytes)))
}

/// Chunks to the last one, framing included (RFC 9112, section 7.1; none of the clients sends trailers).
async fn read_chunks(client: &mut BufReader<OwnedReadHalf>, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let start = bytes.len();
        client.read_until(b'\n', bytes).await?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&bytes[start..]).trim(), 16).unwrap();
        let end = bytes.len();
        bytes.resize(end + size + 2, 0);
        client.read_exact(&mut bytes[end..]).await?;
        if size == 0 {
            return Ok(());
        }
    }
}
