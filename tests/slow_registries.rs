//! RE-04: a registry that answers a byte in ten seconds. A request to it ends at its deadline, and nobody else waits for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use skeg::embedded::registry::{Fault, Matcher, Operation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::agent::{Agent, Setup, Stage, Workload, text};

/// A whole request may take this long, and a machine is busy.
const DEADLINE: Duration = Duration::from_secs(30);
/// More than there are places to read at a registry.
const SLOW: usize = 80;
/// Requests that a registry sees at once: four, and sixteen that it is slow to answer.
const AT_ONCE_MAX: usize = 20;
const MOMENT: Duration = Duration::from_millis(500);
/// What a slow registry or repository may delay another one by.
const DELAY_MAX: Duration = Duration::from_secs(1);
/// A workload that has a container from the slow registry beside one from the other.
const PAIR: &str = "pair";

/// A registry whose answers come by the byte. Gives its address, and how many requests it holds at the most for longer than a moment: one that is
/// given up is seen so a little after the next one is there.
async fn slow_registry() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&most);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (open, most) = (Arc::clone(&open), Arc::clone(&most));
            tokio::spawn(async move {
                open.fetch_add(1, Ordering::SeqCst);
                let (mut from, mut to) = stream.split();
                let _ = from.read(&mut [0; 1024]).await;
                let drip = async {
                    tokio::time::sleep(MOMENT).await;
                    most.fetch_max(open.load(Ordering::SeqCst), Ordering::SeqCst);
                    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" {
                        if to.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(Duration::from_secs(10)).await;
                    }
                };
                let closed = async { while from.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {} };
                tokio::select! { () = drip => {}, () = closed => {} }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, told)
}

/// The longest that one of some polls of the repository takes, with the wait before it.
async fn poll_of(agent: &Agent, repository: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..4 {
        let asked = Instant::now();
        agent.polls(repository, 1).await;
        longest = longest.max(asked.elapsed());
    }
    longest
}

/// Whether polls of the repository go on as if nothing was. The machine may be busy for a moment; what waits for a slow answer waits each time.
async fn check_polled_as_usual(agent: &Agent, repository: &str, usual: Duration) {
    let mut each = Vec::new();
    while each.len() < 3 {
        each.push(poll_of(agent, repository).await);
        if each.last().is_some_and(|poll| *poll < usual + DELAY_MAX) {
            return;
        }
    }
    panic!("{repository}: polls of {each:?}, {usual:?} before");
}

/// The workload with its second container from another registry.
fn with_sidecar(workload: &Workload, host: &str, sidecar: &str) -> Value {
    let mut object = workload.object(host);
    let containers = object.pointer_mut("/spec/template/spec/containers").unwrap().as_array_mut().unwrap();
    containers.push(json!({"name": "sidecar", "image": sidecar}));
    object
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_answers_by_the_byte_delays_nobody_else() {
    let (slow, most) = slow_registry().await;
    let setup = Setup::at_once();
    let more = format!("[[registry]]\nhost = \"{slow}\"\ninsecure = true\n");
    let agent = Agent::start(Setup { more: Box::leak(more.into_boxed_str()), ..setup }).await;
    let host = agent.stage.registry.address().to_string();
    let usual = poll_of(&agent, "shop/web").await;
    let begun = Instant::now();
    for number in 0..SLOW {
        let name = format!("slow-{number}");
        let mut object = Workload::new(&name, &format!("team/{name}"), "1.0.0").object(&slow.to_string());
        // Nothing of it is to run: its image cannot be pulled.
        object["spec"]["replicas"] = json!(0);
        agent.stage.kube.apply(object).unwrap();
    }
    agent.push(&format!("shop/{PAIR}"), "1.0.0");
    let pair = with_sidecar(&Workload::new(PAIR, &format!("shop/{PAIR}"), "1.0.0"), &host, &format!("{slow}/team/sidecar:1.0.0"));
    agent.stage.kube.apply(pair).unwrap();
    agent.until("the slow registry is asked", async || most.load(Ordering::SeqCst) >= 4).await;

    // Its own repository, and one that is read together with a slow one: each poll a second, as if nothing was.
    for repository in ["shop/web".to_owned(), format!("shop/{PAIR}")] {
        check_polled_as_usual(&agent, &repository, usual).await;
    }
    let pushed = Instant::now();
    agent.push(&format!("shop/{PAIR}"), "1.0.1");
    agent.push("shop/web", "1.0.1");
    agent
        .until("the update beside a slow container is decided", async || {
            agent.updates().await.iter().any(|update| update["workload"]["name"] == PAIR)
        })
        .await;
    let decided = pushed.elapsed();
    assert!(decided < DEADLINE, "{decided:?}, polls of {usual:?}: as long as a wait for a slow answer");
    agent.wait_for_workload("web", "Done").await;
    assert!(most.load(Ordering::SeqCst) <= AT_ONCE_MAX, "the registry sees no more requests at once than it is meant to");

    let told = async || {
        let images = agent.get("/v1/images").await["images"].as_array().unwrap().clone();
        images.into_iter().find(|image| text(image, "/workload/name").starts_with("slow-") && image["state"] == "degraded")
    };
    let image = agent.wait_for("a slow repository is degraded", told).await;
    let took = begun.elapsed();
    assert!(text(&image, "/errors/0").contains("30 s"), "{image:#}");
    assert!(took >= DEADLINE, "{took:?}");
}

/// Four repositories of one registry that answer by the byte: as many as there are requests at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_repositories_do_not_delay_the_others_of_their_registry() {
    let names = ["web", "slow-0", "slow-1", "slow-2", "slow-3"];
    let stage = Stage::build(&Setup::of(names.map(|name| Workload::new(name, &format!("shop/{name}"), "1.0.0"))));
    let agent = Agent::start_unready(stage).await;
    agent.until("all of them are polled", async || names.iter().all(|name| agent.listings(&format!("shop/{name}")) > 1)).await;
    let usual = poll_of(&agent, "shop/web").await;
    for name in names.iter().filter(|name| name.starts_with("slow")) {
        let listing = Matcher::of(Operation::Tags).in_repository(format!("shop/{name}")).always();
        agent.stage.registry.fail_next(listing, Fault::SlowBody(Duration::from_secs(10)));
    }
    let asked = Instant::now();
    check_polled_as_usual(&agent, "shop/web", usual).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_workload("web", "Done").await;
    assert!(asked.elapsed() < DEADLINE, "{:?}: that was after the first deadline", asked.elapsed());
}
