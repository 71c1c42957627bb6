//! A real Git server: nginx asks for the login and git's own `http-backend` serves, as behind many a forge.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use skeg::embedded::git::{BareRepository, Login};

use super::needs::{Program, all_there};
use super::server::Server;

const NEEDED: [Program; 4] =
    [Program("git", "git"), Program("nginx", "nginx"), Program("fcgiwrap", "fcgiwrap"), Program("htpasswd", "apache2-utils")];

/// A running server with one repository, `config.git`. Everything of it is gone when this is dropped.
pub struct RealGit {
    server: Server,
    repository: BareRepository,
}

impl RealGit {
    /// Serves a new repository with these files (path and bytes) to `login`; `None` where the programs are not installed,
    /// which has then been said.
    #[track_caller]
    pub fn start(files: &[(&str, &[u8])], login: &Login) -> Option<Self> {
        if !all_there(&NEEDED) {
            return None;
        }
        let variables = [("LOGIN", format!("{}:{}", login.user, login.password))];
        let (server, repository) = Server::start("git.sh", &variables, |directory| {
            BareRepository::create(directory.join("config.git"), files.iter().copied()).unwrap()
        });
        Some(Self { server, repository })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL to clone from, without a login.
    pub fn url(&self) -> String {
        format!("http://{}/config.git", self.address())
    }

    /// The repository behind it, to commit to and to look into as a person would.
    pub fn repository(&self) -> &BareRepository {
        &self.repository
    }
}

/// The real `git` program as a person has it in `directory`, with nothing of the machine's own settings.
pub fn git(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(directory).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", directory).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command.args(["-c", "user.name=Pat Person", "-c", "user.email=pat@example.com"]).args(arguments);
    command.output().unwrap()
}

/// Runs `git` where it must succeed, and gives its output.
#[track_caller]
pub fn git_succeeds(directory: &Path, arguments: &[&str]) -> String {
    let output = git(directory, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Clones `url` with this login into `directory/clone`.
#[track_caller]
pub fn clone(directory: &Path, url: &str, login: &Login) -> PathBuf {
    let url = with_login(url, login);
    git_succeeds(directory, &["clone", "--quiet", "--depth=1", &url, "clone"]);
    directory.join("clone")
}

/// A URL with the login in it, as a person may write it.
pub fn with_login(url: &str, login: &Login) -> String {
    url.replacen("http://", &format!("http://{}:{}@", login.user, login.password), 1)
}
