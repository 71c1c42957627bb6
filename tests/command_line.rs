//! The command line, run as a program: forms of output, exit codes, and what mistakes are told.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use skeg::http::desk::Refusal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::noting_desk::private;
use crate::support::raw_http::exchange;

fn skeg(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skeg"));
    command.args(arguments).env_remove("SKEG_SERVER").env_remove("SKEG_TOKEN").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs skeg to its end.
async fn run(arguments: &[&str]) -> Output {
    skeg(arguments).output().await.unwrap()
}

/// Runs a command that talks to a server.
async fn ask(address: SocketAddr, arguments: &[&str]) -> Output {
    skeg(arguments).env("SKEG_SERVER", format!("http://{address}")).env("SKEG_TOKEN", "s3cret").output().await.unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str, stderr: &str) {
    let told = (output.status.code(), out(output), std::str::from_utf8(&output.stderr).unwrap());
    assert_eq!(told, (Some(code), stdout, stderr));
}

#[tokio::test]
async fn wrong_usage_ends_with_two_and_help_with_zero() {
    assert_eq!(run(&["--help"]).await.status.code(), Some(0));
    check(&run(&["version"]).await, 0, concat!("skeg ", env!("CARGO_PKG_VERSION"), "\n"), "");
    for wrong in [
        &["frobnicate"][..],
        &[],
        &["approve"],
        &["pause", "--all", "-n", "shop"],
        &["pause", "--all", "--for", "soon"],
        &["updates", "-o", "yaml"],
    ] {
        let output = run(wrong).await;
        assert_eq!((output.status.code(), out(&output)), (Some(2), ""), "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
    check(&run(&["approve", "web"]).await, 2, "", "error: which namespace? write NAMESPACE/web, or add -n NAMESPACE\n");
    check(&run(&["pause", "deploy/web"]).await, 2, "", "error: which namespace is deploy/web in? add -n NAMESPACE\n");
    check(&run(&["status", "--server", "ftp://x"]).await, 2, "", "error: --server: write http://HOST:PORT or https://HOST:PORT\n");
}

#[tokio::test]
async fn images_and_updates_come_as_tables_or_as_json() {
    let served = private(true).await;
    let table = ask(served.address, &["images"]).await;
    check(
        &table,
        0,
        "NAMESPACE   WORKLOAD         CONTAINER   IMAGE                                 POLICY      STATE      CANDIDATE   LISTED   REASON\n\
         billing     Deployment/web   web         registry.example.com/acme/web:1.0.0   -           degraded   -           -        skeg.dev/polcy: there is no such directive; did you mean policy?\u{fffd}[2J\n\
         shop        Deployment/web   web         registry.example.com/acme/web:1.0.0   semver:^1   updating   1.0.1       -        update web-0123456789\n",
        "",
    );
    let one: serde_json::Value =
        serde_json::from_slice(&ask(served.address, &["images", "-n", "shop", "-o", "json"]).await.stdout).unwrap();
    assert_eq!((one["images"].as_array().unwrap().len(), &one["images"][0]["candidate"]["tag"]), (1, &"1.0.1".into()));
    let updates = ask(served.address, &["updates", "-n", "shop", "--open", "--limit", "1"]).await;
    assert!(out(&updates).starts_with("NAMESPACE   UPDATE   CHANGES              PHASE   VOTES   AGE"), "{}", out(&updates));
    assert!(out(&updates).contains("\nshop        web-0    web 1.0.0 to 1.0.1   Held    0/1"), "{}", out(&updates));
    assert_eq!(served.desk.orders(), ["updates UpdateFilter { namespace: Some(\"shop\"), open: Some(true), limit: 1 }"]);
}

#[tokio::test]
async fn status_tells_what_is_closed_and_why() {
    let served = private(true).await;
    let status = ask(served.address, &["status"]).await;
    assert!(out(&status).starts_with("skeg 0.1.0, act, not ready, leads, up "), "{}", out(&status));
    assert!(out(&status).contains("receiver   /v1/webhooks/native   closed   -         it has no credential\n"), "{}", out(&status));
}

#[tokio::test]
async fn decisions_reach_skeg_and_print_how_the_update_stands() {
    let served = private(true).await;
    let voted = ask(served.address, &["approve", "shop/web-0123456789", "--reason", "looks good"]).await;
    check(&voted, 0, "approved: shop/web-0123456789 web 1.0.0 to 1.0.1 Held: waits for approval, 0 of 1 votes given\n", "");
    ask(served.address, &["reject", "web-0123456789", "-n", "shop"]).await;
    ask(served.address, &["retry", "shop/web-0123456789", "--override"]).await;
    let paused = ask(served.address, &["pause", "deploy/web", "-n", "shop", "--for", "2h", "--reason", "freeze"]).await;
    check(&paused, 0, "paused: shop/Deployment/web by user:ann, until resumed: freeze\n", "");
    check(&ask(served.address, &["resume", "--all"]).await, 0, "nothing was paused or held back there\n", "");
    let expected = [
        "user:ann Approve shop/web-0123456789 Some(\"looks good\")",
        "user:ann Reject shop/web-0123456789 None",
        "user:ann retry shop/web-0123456789 override=true",
        "user:ann pause shop/Deployment/web Some(7200s)",
        "user:ann resume everything",
    ];
    assert_eq!(served.desk.orders(), expected);
    let json = ask(served.address, &["approve", "shop/web-0123456789", "-o", "json"]).await;
    let view: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(view["phase"], "Held");
}

#[tokio::test]
async fn what_was_not_done_ends_with_one_and_one_line() {
    let served = private(true).await;
    *served.desk.refusal.lock().unwrap() = Some(Refusal::Conflict("web-0123456789 is closed: Superseded, superseded by 1.0.2".into()));
    let refused = ask(served.address, &["approve", "shop/web-0123456789"]).await;
    check(&refused, 1, "", "error: web-0123456789 is closed: Superseded, superseded by 1.0.2\n");

    let url = format!("http://{}", served.address);
    let no_token = run(&["status", "--server", &url]).await;
    check(&no_token, 1, "", &format!("error: {url}/: a valid credential is needed: set SKEG_TOKEN\n"));
    let wrong_token = skeg(&["status", "--server", &url]).env("SKEG_TOKEN", "hunter2").output().await.unwrap();
    check(&wrong_token, 1, "", &format!("error: {url}/: the token in SKEG_TOKEN is not the one of [server]\n"));

    let closed = private(false).await;
    let answer = ask(closed.address, &["status"]).await;
    check(&answer, 1, "", "error: the API is closed: name a token with [server] token_file or token_env\n");

    served.stop.cancel();
    served.done.await.unwrap();
    let gone = run(&["status", "--server", &url]).await;
    assert_eq!(gone.status.code(), Some(1));
    let told = String::from_utf8(gone.stderr).unwrap();
    assert!(told.contains("cannot be reached: Connection refused") && told.lines().count() == 1, "{told}");
}

#[tokio::test]
async fn watching_prints_each_change_once() {
    let served = private(true).await;
    let mut watch = skeg(&["updates", "--watch", "--server", &format!("http://{}", served.address)]);
    let mut child = watch.env("SKEG_TOKEN", "s3cret").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in [2, 1, 0] {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap().unwrap();
        assert!(line.starts_with(&format!("shop/web-{number} web 1.0.0 to 1.0.1 Held: ")), "{line}");
    }
    child.kill().await.unwrap();
}

/// skeg is restarted: it hangs up three times, and then answers with something new.
#[tokio::test]
async fn watching_goes_on_when_skeg_is_away_for_a_while_and_says_so_once() {
    let served = private(true).await;
    let request = "GET /v1/updates HTTP/1.1\r\nhost: skeg\r\nauthorization: Bearer s3cret\r\nconnection: close\r\n\r\n";
    let before = exchange(served.address, request).await.body;
    let after = before.replace("\"Held\"", "\"Applying\"");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answers = tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let body = if number == 0 { &before } else { &after };
            if !(1..=3).contains(&number) {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        }
    });
    let mut watch = skeg(&["updates", "--watch", "--server", &format!("http://{address}")]);
    let mut child = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for phase in ["Held", "Held", "Held", "Applying"] {
        let line = tokio::time::timeout(Duration::from_mins(1), lines.next_line()).await.unwrap().unwrap().expect("it goes on");
        assert!(line.contains(&format!(" {phase}: ")), "{line}");
    }
    child.start_kill().unwrap();
    let told = String::from_utf8(child.wait_with_output().await.unwrap().stderr).unwrap();
    assert!(told.contains("cannot be reached") && told.contains("still watching") && told.lines().count() == 1, "{told}");
    answers.abort();
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let mut child = skeg(&["crd"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[tokio::test]
async fn the_definition_of_the_record_is_json() {
    let printed: serde_json::Value = serde_json::from_slice(&run(&["crd"]).await.stdout).unwrap();
    assert_eq!(printed["metadata"]["name"], "imageupdates.skeg.dev");
}

/// CF-01, at load: the place of a syntax error is told.
#[tokio::test]
async fn a_configuration_is_checked_with_every_problem_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skeg.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[server]\ntoken_env = 'SKEG_TEST_UNSET'\n").unwrap();
    let warning = format!(
        "warning: {path}:2:13: server.token_env: the environment variable SKEG_TEST_UNSET is not set; the API stays closed until the secret is there\n"
    );
    check(&run(&["check-config", "--config", path]).await, 0, &format!("{path}: ok\n"), &warning);

    std::fs::write(&file, "[polll]\n\n[limits]\nin_flight = 'ten'\n").unwrap();
    let problems = format!(
        "error: {path}:1:2: polll: there is no such section; did you mean poll?\n\
         error: {path}:4:13: limits.in_flight: is a text; write a whole number, without quotes\n"
    );
    check(&run(&["check-config", "--config", path]).await, 2, "", &problems);

    std::fs::write(&file, "[poll\n").unwrap();
    check(&run(&["check-config", "--config", path]).await, 2, "", &format!("error: {path}:1:6: unclosed table, expected `]`\n"));
}

#[tokio::test]
async fn problems_of_a_configuration_are_json_for_whoever_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skeg.toml");
    let path = file.to_str().unwrap();
    let checked = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = run(&["check-config", "-o", "json", "--config", path]).await;
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap())
    };
    let (code, wrong) = checked("[limits]\nin_flight = 'ten'\n").await;
    assert_eq!((code, &wrong["ok"], &wrong["file"]), (Some(2), &false.into(), &path.into()));
    let problem = serde_json::json!({
        "line": 2, "column": 13, "key": "limits.in_flight", "what": "is a text", "advice": "write a whole number, without quotes",
    });
    assert_eq!(wrong["problems"], serde_json::json!([problem]));
    let (code, warned) = checked("[server]\ntoken_env = 'SKEG_TEST_UNSET'\n").await;
    assert_eq!((code, &warned["ok"], &warned["problems"]), (Some(0), &true.into(), &serde_json::json!([])));
    assert_eq!((&warned["warnings"][0]["key"], &warned["warnings"][0]["line"]), (&"server.token_env".into(), &2.into()));
}

/// What an editor is told: everything the example shows, and nothing else.
#[tokio::test]
async fn the_schema_of_the_configuration_is_that_of_the_example() {
    let output = run(&["check-config", "--schema"]).await;
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sections = schema["properties"].as_object().unwrap();
    let mut shown = std::collections::BTreeSet::new();
    for line in include_str!("../config.example.toml").lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        shown.extend(bare.starts_with('[').then(|| bare.trim_matches(['[', ']'])));
    }
    assert_eq!(sections.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), shown);
    assert_eq!(run(&["check-config", "--schema", "--connect"]).await.status.code(), Some(2));
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStderr>>;

/// Starts `skeg run` against a cluster that is not there; gives the process, its log, where the public listener is, and the private one's URL.
async fn daemon(folder: &std::path::Path) -> (tokio::process::Child, Lines, String, String) {
    // Nobody listens on the discard port of this machine.
    let kubeconfig = "{apiVersion: v1, kind: Config, current-context: none, clusters: [{name: none, cluster: {server: 'http://127.0.0.1:9'}}], \
                      contexts: [{name: none, context: {cluster: none, user: none}}], users: [{name: none, user: {}}]}";
    std::fs::write(folder.join("kubeconfig"), kubeconfig).unwrap();
    let config = "[server]\nlisten = '127.0.0.1:0'\nprivate_listen = '127.0.0.1:0'\ncache_dir = 'cache'\ntoken_file = 'token'\n\
                  [cluster]\nkubeconfig = 'kubeconfig'\n[telemetry]\nlog = 'json'\n";
    std::fs::write(folder.join("skeg.toml"), config).unwrap();
    std::fs::write(folder.join("token"), "s3cret").unwrap();
    let mut command = skeg(&["run", "--config", folder.join("skeg.toml").to_str().unwrap()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = tokio::time::timeout(Duration::from_secs(20), log.next_line()).await.unwrap().unwrap().expect("the daemon starts");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "skeg has started" {
            assert_eq!(line["cluster"], "http://127.0.0.1:9");
            let private = format!("http://{}", line["private"].as_str().unwrap());
            return (child, log, line["public"].as_str().unwrap().to_owned(), private);
        }
    }
}

/// SD-01, for the signal and the exit code.
#[tokio::test]
async fn a_cluster_that_is_not_there_is_a_degraded_state_and_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, log, public, private) = daemon(folder.path()).await;
    let drained = tokio::spawn(async move {
        let mut log = log;
        while let Ok(Some(_)) = log.next_line().await {}
    });
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: skeg\r\nconnection: close\r\n\r\n");
    let address: SocketAddr = public.parse().unwrap();
    assert_eq!(exchange(address, &get("/healthz")).await.status, 200);
    assert_eq!(exchange(address, &get("/readyz")).await.status, 503);
    let private = private.as_str();
    let told = skeg(&["resume", "Deployment/web", "-n", "shop", "--server", private]).env("SKEG_TOKEN", "s3cret").output().await.unwrap();
    check(&told, 1, "", "error: no replica leads at the moment\n");
    let status = skeg(&["status", "--server", private]).env("SKEG_TOKEN", "s3cret").output().await.unwrap();
    assert!(out(&status).contains("failed to perform initial object list: cannot connect: Connection refused"), "{}", out(&status));

    assert_eq!(ends_by("TERM", &mut child).await, Some(0));
    drained.await.unwrap();
}

/// SD-01, for the other signal.
#[tokio::test]
async fn an_interrupt_at_the_terminal_is_a_good_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, ..) = daemon(folder.path()).await;
    assert_eq!(ends_by("INT", &mut child).await, Some(0));
}

/// Sends a signal; the exit code.
async fn ends_by(signal: &str, child: &mut tokio::process::Child) -> Option<i32> {
    let kill = format!("kill -{signal} {}", child.id().unwrap());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    tokio::time::timeout(Duration::from_secs(15), child.wait()).await.expect("the drain limit is 10 s").unwrap().code()
}

#[tokio::test]
async fn what_no_retry_can_mend_ends_the_daemon_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skeg.toml");
    std::fs::write(&file, "[cluster]\nkubeconfig = 'nowhere'\n").unwrap();
    let output = run(&["run", "--config", file.to_str().unwrap()]).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.lines().last().unwrap().starts_with("error: [cluster]: ") && told.contains("nowhere"), "{told}");
    std::fs::write(&file, "[cluster]\nkubeconfg = 'nowhere'\n").unwrap();
    assert_eq!(run(&["run", "--config", file.to_str().unwrap()]).await.status.code(), Some(2));
}

#[tokio::test]
async fn check_config_tries_what_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("skeg.toml");
    let config = "[server]\ncache_dir = 'cache'\n[cluster]\nkubeconfig = 'nowhere'\n[[registry]]\nhost = '127.0.0.1:9'\ninsecure = true\n\
                  [[git]]\nname = 'manifests'\nurl = 'http://127.0.0.1:9/x.git'\ninsecure = true\nnamespaces = ['*']\n";
    std::fs::write(&file, config).unwrap();
    let output = run(&["check-config", "--connect", "-o", "json", "--config", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let parts: Vec<_> = checked["connections"].as_array().unwrap().iter().map(|tried| (&tried["part"], &tried["ok"])).collect();
    assert_eq!(serde_json::to_string(&parts).unwrap(), r#"[["cluster",false],["registry",false],["remote",false]]"#, "{checked}");
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn check_config_logs_in_to_each_registry_and_tells_no_secret() {
    use skeg::embedded::registry::{Access, EmbeddedRegistry, Login};
    let login = || Login::new("robot", "s3cret");
    let basic = EmbeddedRegistry::start(Access::Basic(login())).unwrap();
    let token_life = Duration::from_mins(1);
    let bearer = EmbeddedRegistry::start(Access::Bearer { login: login(), anonymous_pull: true, token_life }).unwrap();
    let open = EmbeddedRegistry::start(Access::Anonymous).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("right"), "s3cret\n").unwrap();
    std::fs::write(folder.path().join("wrong"), "c4nary\n").unwrap();
    let entry = |registry: &EmbeddedRegistry, namespace: &str, file: &str| {
        let credential = if file.is_empty() { String::new() } else { format!("username = 'robot'\npassword_file = '{file}'\n") };
        format!("[[registry]]\nhost = '{}'\ninsecure = true\nnamespaces = ['{namespace}']\n{credential}", registry.address())
    };
    let mut config = "[cluster]\nkubeconfig = 'nowhere'\n".to_owned();
    for registry in [&basic, &bearer] {
        for (namespace, file) in [("a", "right"), ("b", "wrong"), ("c", "missing"), ("d", "")] {
            config += &entry(registry, namespace, file);
        }
    }
    config += &entry(&open, "a", "wrong");
    let file = folder.path().join("skeg.toml");
    std::fs::write(&file, config).unwrap();
    let output = run(&["check-config", "--connect", "-o", "json", "--config", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1));
    let checked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried: Vec<(bool, &str)> = checked["connections"].as_array().unwrap()[1..]
        .iter()
        .map(|tried| (tried["ok"].as_bool().unwrap(), tried["detail"].as_str().unwrap()))
        .collect();
    let missing = format!("not logged in: the login cannot be read: {}: there is no such file", folder.path().join("missing").display());
    let asks = "answers, and asks for a login; none is configured, so it can show public images only";
    // Whether the challenge was known from another entry of the host makes a difference in the words.
    let refused = tried[1].1;
    let refusals = ["not logged in: the login is refused", "not logged in: answered 401 Unauthorized (UNAUTHORIZED)"];
    assert!(refusals.contains(&refused), "{refused}");
    let token_server = format!("not logged in: the token server {} answered 401 Unauthorized (UNAUTHORIZED)", bearer.address());
    assert_eq!(
        tried,
        [
            (true, "answers, and takes the login of robot"),
            (false, refused),
            (false, &*missing),
            (true, asks),
            (true, "answers, and takes the login of robot"),
            (false, &*token_server),
            (false, &*missing),
            (true, asks),
            (true, "answers without a login: whether the configured one is good shows only with a repository"),
        ]
    );
    assert!(!out(&output).contains("c4nary") && !String::from_utf8_lossy(&output.stderr).contains("c4nary"));
}

#[tokio::test]
async fn every_command_ends_quietly_when_its_reader_goes_away_and_edit_still_writes() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let file = folder.path().join("web.yaml");
    let manifest = |tag: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec: {{containers: [{{name: web, image: 'acme/web:{tag}'}}]}}\n")
    };
    std::fs::write(&file, manifest("1")).unwrap();
    let delivery = folder.path().join("delivery");
    std::fs::write(&delivery, r#"{"name":"acme/web","tag":"1"}"#).unwrap();
    let tags = folder.path().join("tags");
    std::fs::write(&tags, "1.0.0\n").unwrap();
    for arguments in [
        &["webhook", "decode", "--source", "native", delivery.to_str().unwrap()][..],
        &["policy", "eval", "--policy", "semver:*", "--tags", tags.to_str().unwrap()],
        &["edit", "--dir", dir, "--image", "acme/web", "--tag", "2", "--write"],
    ] {
        let mut child = skeg(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().await.unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""), "{arguments:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), manifest("2"));
}

#[tokio::test]
async fn a_result_that_cannot_be_written_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child = skeg(&["crd"]).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.starts_with("error: standard output: No space left on device"), "{told}");
}
