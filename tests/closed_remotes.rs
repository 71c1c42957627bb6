//! A Git remote that lets nobody in, or takes no push: it is asked seldom, people are told, and it is taken up again once it is mended.

use std::time::{Duration, Instant};

use skeg::embedded::git::{BareRepository, GitFault, GitRemote, GitRequest, Login};

use crate::support::agent::{Agent, NAMESPACE, PERSON, Setup, Stage, Workload, text};

/// Tries that a closed remote may see in a minute, whatever waits for it (GI-04).
const TRIES_A_MINUTE: u32 = 6;
/// From the rotation of a credential to the commits (GI-04).
const RESUMED_WITHIN: Duration = Duration::from_mins(1);

/// GI-04: the credential expires while eight updates are due, and is rotated in its file.
#[tokio::test]
async fn an_expired_credential_is_tried_seldom_and_its_successor_within_a_minute() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut agent = Agent::start(Setup::of(names.map(|name| Workload::new(name, &format!("shop/{name}"), "1.0.0")))).await;
    agent.stage.remote.set_login(Some(Login::new("skeg", "the-next-password")));
    agent.stage.remote.clear_requests();
    let mut count = agent.stage.remote.request_count();
    count.mark_unchanged();
    for name in names {
        agent.push(&format!("shop/{name}"), "1.0.1");
    }
    let mut tries = Vec::new();
    while tries.len() < 3 {
        count.changed().await.unwrap();
        tries.push(Instant::now());
    }
    let pauses: Vec<Duration> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let pause_min = Duration::from_mins(1) / TRIES_A_MINUTE;
    assert!(pauses.iter().all(|pause| *pause >= pause_min), "{pauses:?}");
    assert_eq!(agent.stage.remote.requests().len(), tries.len(), "a try is one request");

    let updates = agent.updates().await;
    assert!(updates.iter().all(|update| update["phase"] == "Recording"), "{updates:#?}");
    let told = text(&updates[0], "/reason/message");
    assert!(told.contains("fleet: not authorised"), "{told}");
    let status = agent.get("/v1/status").await;
    let remote = status["remotes"].as_array().unwrap().iter().find(|remote| remote["name"] == "fleet").unwrap().clone();
    assert_eq!(remote["state"], "degraded", "{remote:#}");
    assert!(!status.to_string().contains("git-password"), "{status:#}");

    agent.stage.write("git", "the-next-password");
    let rotated = Instant::now();
    for name in names {
        agent.wait_for_workload(name, "Done").await;
    }
    assert!(rotated.elapsed() < RESUMED_WITHIN, "{:?}", rotated.elapsed());
    assert_eq!((agent.patches_done(), agent.records().len()), (names.len(), names.len()));
    let recorded: String = agent.commits().iter().map(|commit| commit.body.clone()).collect();
    assert_eq!(recorded.matches("Skeg-Update: ").count(), names.len());
    agent.stop().await;
}

/// GI-03: the update runs, Git does not show it, and everybody can see that and why.
#[tokio::test]
async fn a_push_that_a_hook_refuses_each_time_ends_unrecorded_with_its_words() {
    let agent = Agent::start(Setup::at_once()).await;
    let words = format!("frozen\x1b[31m until\rMonday {}", "x".repeat(4096));
    for _ in 0..20 {
        agent.stage.remote.fail_next(GitRequest::Push, GitFault::HookRefusal(words.clone()));
    }
    agent.push("shop/web", "1.0.1");
    let end = agent.wait_for_phase("1.0.1", "Unrecorded").await;
    let told = text(&end, "/reason/message");
    assert!(told.contains("pre-receive hook declined: frozen [31m until Monday xxx"), "{told}");
    assert!(told.len() < 400 && !told.contains(char::is_control), "{told}");
    let pushes = agent.stage.remote.requests().iter().filter(|seen| seen.path.ends_with("/git-receive-pack")).count();
    assert_eq!(pushes, 5);
    assert_eq!(agent.commits().len(), 0);
    assert!(agent.deployment_image("web").ends_with(":1.0.1"), "what runs is not taken back");
    assert!(agent.stage.declared("shop/web.yaml").contains("shop/web:1.0.0"));
    let recorded = async || Some(agent.records().remove(0)).filter(|record| text(record, "/status/phase") == "Unrecorded");
    let record = agent.wait_for("the end is recorded", recorded).await;
    assert!(text(&record, "/status/reason").contains("frozen"), "{record:#}");

    // A person has lifted the freeze.
    agent.stage.remote.clear_plans();
    agent.vote("1.0.1", "retry").await;
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!((agent.commits().len(), agent.patches_done()), (1, 1));
}

/// Of two granted remotes the first is away; the second is the one that declares the workload.
#[tokio::test]
async fn a_remote_that_is_away_keeps_no_other_from_being_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let repository = BareRepository::create(folder.path().join("apps.git"), [("web.yaml", b"".as_slice())]).unwrap();
    let apps = GitRemote::serve(repository, None).unwrap();
    let more = format!("[[git]]\nname = \"apps\"\nurl = \"{}\"\ninsecure = true\nnamespaces = [\"{NAMESPACE}\"]", apps.url());
    let stage = Stage::build(&Setup { more: more.leak(), ..Setup::at_once() });
    let declared = stage.declared("shop/web.yaml");
    apps.repository().commit("web.yaml", declared.as_bytes(), PERSON, "Declare web").unwrap();
    stage.remote.stop();

    let agent = Agent::start_unready(stage).await;
    agent.until("skeg is ready", async || agent.is_ready().await).await;
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(apps.repository().show("web.yaml").unwrap(), declared.replace("web:1.0.0", "web:1.0.1").into_bytes());
}

/// The file that declares the workload does not parse: everybody is told which and where, and it is taken up as soon as it is mended.
#[tokio::test]
async fn a_file_that_does_not_parse_is_named_and_recorded_once_it_is_mended() {
    let agent = Agent::start(Setup::at_once()).await;
    let declared = agent.stage.declared("shop/web.yaml");
    let commit = |text: &str| agent.stage.remote.repository().commit("shop/web.yaml", text.as_bytes(), PERSON, "By hand").unwrap();
    commit(&format!("{declared}\tx: y\n"));
    agent.push("shop/web", "1.0.1");
    let told = "these cannot be read: shop/web.yaml: line ";
    let names_it = async || agent.update_to("1.0.1").await.is_some_and(|update| text(&update, "/reason/message").contains(told));
    agent.until("the update names the file", names_it).await;
    commit(&declared);
    agent.wait_for_phase("1.0.1", "Done").await;
    assert_eq!(agent.stage.declared("shop/web.yaml"), declared.replace("web:1.0.0", "web:1.0.1"));

    commit("{");
    agent.push("shop/web", "1.0.2");
    let end = agent.wait_for_phase("1.0.2", "Unrecorded").await;
    assert!(text(&end, "/reason/message").contains(told), "{end:#}");
    let status = agent.get("/v1/status").await;
    assert!(status["remotes"].to_string().contains(told), "{status:#}");
    let in_record = async || agent.records().iter().any(|record| text(record, "/status/reason").contains(told));
    agent.until("the record names the file", in_record).await;
}
