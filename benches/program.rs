//! The program itself: its size, its start, its memory when there is nothing to do.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::{self, Daemon};
use crate::report::{Report, median};

const STARTS: usize = 10;

pub fn measure(report: &mut Report) {
    let folder = tempfile::tempdir().expect("a folder");
    let size = |path: &Path| std::fs::metadata(path).expect("the program").len() as f64 / MIB;
    report.add(
        "size of the program, with its demo",
        "MiB",
        size(&daemon::executable()),
        (size(&hello(folder.path())), "a program that prints one line"),
        None,
    );
    let kube = daemon::cluster();
    let api = daemon::address(&kube.url());
    let starts = (0..STARTS).map(|_| Daemon::start(folder.path(), api, None, "1h").ready_after).collect();
    report.add_time(
        "time to ready, nothing in the cluster",
        median(starts),
        (start_by_hand(&kube.url()), "the same reads, one by one"),
        None,
    );
    let idle = Daemon::start(folder.path(), api, None, "1h").resident_at_rest() / MIB;
    report.add("memory when idle", "MiB", idle, (waiting() / MIB, "the same program waiting for input"), None);
}

pub const MIB: f64 = 1024.0 * 1024.0;

/// A program of the same toolchain that does next to nothing.
fn hello(folder: &Path) -> std::path::PathBuf {
    let (source, program) = (folder.join("hello.rs"), folder.join("hello"));
    std::fs::write(&source, "fn main() { println!(\"hello\"); }").expect("a file");
    let built = Command::new("rustc").args(["-O", "-C", "strip=symbols", "-o"]).arg(&program).arg(&source).status();
    assert!(built.expect("rustc").success());
    program
}

/// What a start cannot do without: the process, and one listing each of workloads, records and pauses.
pub fn start_by_hand(url: &str) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let paths = ["apis/apps/v1/deployments", "apis/skeg.dev/v1alpha1/imageupdates", "api/v1/namespaces/skeg/configmaps"];
    let once = |_| {
        let begun = Instant::now();
        assert!(daemon::program().arg("version").stdout(Stdio::null()).status().expect("skeg").success());
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            for path in paths {
                let answer = client.get(format!("{url}/{path}")).send().await.and_then(reqwest::Response::error_for_status);
                answer.expect("an answer").bytes().await.expect("a body");
            }
        });
        begun.elapsed()
    };
    median((0..STARTS).map(once).collect())
}

/// Memory of a command that waits for its input.
pub fn waiting() -> f64 {
    let mut command = daemon::program();
    command.args(["policy", "eval", "--policy", "major", "--current", "1.0.0", "--tags", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("skeg");
    std::thread::sleep(Duration::from_millis(500));
    let memory = daemon::resident(&child);
    drop(child.stdin.take());
    child.wait().expect("an end");
    memory
}
