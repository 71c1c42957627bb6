//! A real Git server behind OpenSSH's `sshd`, which lets in by key only, and what a client of it has in its files.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use skeg::embedded::git::BareRepository;

use super::needs::{Program, all_there};
use super::server::Server;

const NEEDED: [Program; 4] =
    [Program("git", "git"), Program("sshd", "openssh-server"), Program("ssh", "openssh-client"), Program("ssh-keygen", "openssh-client")];

/// A running server with one repository, `config.git`. Everything of it is gone when this is dropped.
pub struct SshGit {
    server: Server,
    repository: BareRepository,
    folder: PathBuf,
}

/// A pair of keys in files: the private one, and beside it the public one with `.pub`.
pub struct KeyPair {
    /// The private key's file.
    pub file: PathBuf,
}

impl KeyPair {
    /// Makes a pair without a passphrase.
    pub fn create(file: PathBuf) -> Self {
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(&file).status().unwrap();
        assert!(made.success());
        Self { file }
    }

    /// Takes the place of another pair. Both files: ssh offers the public key that lies beside the private one.
    pub fn replace(&self, other: &Self) {
        std::fs::rename(&self.file, &other.file).unwrap();
        std::fs::rename(self.public_file(), other.public_file()).unwrap();
    }

    fn public_file(&self) -> PathBuf {
        let mut file = self.file.clone().into_os_string();
        file.push(".pub");
        file.into()
    }

    /// The public key as a line of `authorized_keys`: type and key.
    pub fn public(&self) -> String {
        std::fs::read_to_string(self.public_file()).unwrap().rsplit_once(" test").unwrap().0.to_owned()
    }
}

impl SshGit {
    /// Serves a new repository with these files (path and bytes), to nobody yet; `None` where the programs are not installed, which has
    /// then been said.
    #[track_caller]
    pub fn start(files: &[(&str, &[u8])]) -> Option<Self> {
        if !all_there(&NEEDED) {
            return None;
        }
        let (server, (repository, folder)) = Server::start("git-ssh.sh", &[], |folder| {
            KeyPair::create(folder.join("host_key"));
            std::fs::write(folder.join("authorized_keys"), "").unwrap();
            (BareRepository::create(folder.join("config.git"), files.iter().copied()).unwrap(), folder.to_owned())
        });
        Some(Self { server, repository, folder })
    }

    /// Lets in whoever has this key, and nobody else.
    pub fn admit(&self, key: &KeyPair) {
        std::fs::write(self.folder.join("authorized_keys"), key.public() + "\n").unwrap();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL to clone from.
    pub fn url(&self) -> String {
        Self::url_at(self.address())
    }

    /// The URL to clone from by way of another address.
    pub fn url_at(address: SocketAddr) -> String {
        format!("ssh://{}@{address}/config.git", user())
    }

    /// The line of `known_hosts` that vouches for this server.
    pub fn known_host(&self) -> String {
        self.known_host_at(self.address())
    }

    /// The line of `known_hosts` that vouches for this server at another address.
    pub fn known_host_at(&self, address: SocketAddr) -> String {
        known_host(address, &KeyPair { file: self.folder.join("host_key") })
    }

    /// The repository behind it, to commit to and to look into as a person would.
    pub fn repository(&self) -> &BareRepository {
        &self.repository
    }

    /// Puts a hook into the repository: a shell script.
    pub fn hook(&self, name: &str, script: &str) {
        let hooks = self.repository.directory().join("hooks");
        std::fs::create_dir_all(&hooks).unwrap();
        std::fs::write(hooks.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(hooks.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The line of `known_hosts` that says: at this address, this key.
pub fn known_host(address: SocketAddr, key: &KeyPair) -> String {
    format!("[{}]:{} {}\n", address.ip(), address.port(), key.public())
}

/// Sets who may read a file.
pub fn set_mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Who runs the server, and so who logs in.
fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}
