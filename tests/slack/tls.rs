//! The same by TLS, with skeg as a process of its own: which authorities it trusts is settled when it starts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::{APPROVE, has_buttons, votes_needed};
use crate::support::agent::{Stage, text, until};
use crate::support::needs::{Program, all_there};
use crate::support::server::Server;
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, FakeSlack, Press};

/// A Slack behind TLS, and the authority to trust.
fn start() -> Option<(FakeSlack, Server, PathBuf)> {
    if !all_there(&[Program("nginx", "nginx"), Program("openssl", "openssl")]) {
        return None;
    }
    let slack = FakeSlack::start();
    let variables = [("WEB", slack.address().to_string()), ("SOCKETS", slack.sockets_at().to_string())];
    let (tls, authority) = Server::start("tls.sh", &variables, |folder| folder.join("ca.crt"));
    slack.set_socket_url(&format!("wss://localhost:{}/link/?ticket=secret-ticket", tls.address().port()));
    Some((slack, tls, authority))
}

fn stage(tls: &Server) -> Stage {
    let mut setup = votes_needed("1");
    setup.slack = Some(format!("https://localhost:{}/api", tls.address().port()));
    setup.more = "[telemetry]\nfilter = \"trace\"\n";
    Stage::build(&setup)
}

fn skeg(arguments: &[&str], config: &Path, authority: &Path) -> Command {
    let mut skeg = Command::new(env!("CARGO_BIN_EXE_skeg"));
    skeg.args(arguments).arg("--config").arg(config).env("SSL_CERT_FILE", authority).env_remove("HTTPS_PROXY");
    skeg
}

/// Kills the process, however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// And nothing that lets somebody in is ever written down, however much is logged.
#[test]
fn requests_and_clicks_go_by_tls() {
    let Some((slack, tls, authority)) = start() else { return };
    let stage = stage(&tls);
    let written = tempfile::NamedTempFile::new().unwrap();
    let log = || written.as_file().try_clone().unwrap();
    let running = skeg(&["run"], &stage.config_file(), &authority).stdout(log()).stderr(log()).spawn();
    let running = Running(running.unwrap());
    until("skeg is connected", || slack.sockets() == 1);
    stage.push("shop/web", "1.0.1");
    until("the request is posted", || slack.message_about("1.0.1").is_some_and(|message| has_buttons(&message)));
    let envelope = slack.press(&Press::of("U1", &slack.messages()[0], APPROVE));
    until("the click is acknowledged", || slack.acknowledged(&envelope) == 1);
    until("it is deployed", || slack.message_about("Deployed").is_some());
    assert_eq!(text(&stage.kube.all("skeg.dev/v1alpha1", "ImageUpdate")[0], "/status/votes/0/voter"), "slack:U1");
    drop(running);
    let log = std::fs::read_to_string(written.path()).unwrap();
    assert!(log.contains("connected to Slack"), "{log}");
    for secret in [BOT_TOKEN, APP_TOKEN, "secret-ticket", "hooks.slack.com"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn check_config_tries_both_tokens_and_trusts_nobody_unknown() {
    let Some((slack, tls, authority)) = start() else { return };
    let stage = stage(&tls);
    let checked = |authority: &Path| {
        let output = skeg(&["check-config", "--connect", "-o", "json"], &stage.config_file(), authority).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let tried = told["connections"].as_array().unwrap().iter().find(|tried| tried["part"] == "slack").cloned().unwrap();
        (tried["ok"] == true, tried["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(checked(&authority), (true, "answers, and knows skeg as skeg in Acme".to_owned()));
    assert_eq!(slack.messages().len(), 0, "nothing is posted");
    let (ok, detail) = checked(Path::new("/dev/null"));
    assert!(!ok && detail.contains("does not answer auth.test"), "{detail}");
    stage.write("app-token", "xapp-c4nary");
    let (ok, detail) = checked(&authority);
    assert!(!ok && detail.contains("apps.connections.open: invalid_auth, check the token") && !detail.contains("c4nary"), "{detail}");
}
