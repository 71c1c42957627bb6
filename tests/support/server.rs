//! One run of a script of `tests/servers`: real servers on a free loopback port, gone with everything they wrote when this
//! is dropped.
//!
//! The script lives as long as its standard input, which is a pipe from here. It closes however this process ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A port that was free may be taken by the time the server binds it; thrice in a row is not chance.
const STARTS_MAX: usize = 3;

/// A running script.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `tests/servers/<script>` with these variables in a new folder, after `prepare` has put there what it needs,
    /// and waits until it is ready (the scripts give up by themselves after 10 s). Gives what `prepare` made, too.
    ///
    /// Panics with what the script said if it does not start.
    pub fn start<T>(script: &str, variables: &[(&str, String)], prepare: impl Fn(&Path) -> T) -> (Self, T) {
        let mut said = String::new();
        for _ in 0..STARTS_MAX {
            let directory = tempfile::Builder::new().prefix("skeg-test.").tempdir().unwrap();
            let prepared = prepare(directory.path());
            // From here on the folder is the script's to remove.
            match Self::start_once(script, variables, &directory.keep()) {
                Ok(server) => return (server, prepared),
                Err(trouble) => said.push_str(&trouble),
            }
        }
        panic!("{script} does not start: {said}");
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn start_once(script: &str, variables: &[(&str, String)], directory: &Path) -> Result<Self, String> {
        let address = free_address();
        let mut child = Command::new("bash")
            .arg(scripts().join(script))
            .arg(address.port().to_string())
            .arg(directory)
            .envs(variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line == "ready\n" {
            return Ok(Self { child, address });
        }
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        Err(said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script takes the end of its input as the order to stop, and ends when its servers have and its folder is gone.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}
