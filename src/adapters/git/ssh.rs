//! How git reaches a remote by SSH: which `ssh` it starts, and what that says when it does not get through.
//!
//! git hands `GIT_SSH_COMMAND` to a shell. The command here is a constant; what comes from the configuration reaches it as variables of
//! the environment, which the shell expands inside quotes and does not read again. A wrapper program (`GIT_SSH`) would need a file of our
//! own to be written and found; `core.sshCommand` is the same shell with the quoting left to us.
//!
//! Nothing but the two files counts: no configuration of a person or of the machine, no agent, no password, nobody to ask. ssh opens
//! the files itself at each run, so a rotated Secret takes effect at once and no copy of a key is ever made.

use std::ffi::OsString;
use std::path::Path;

use super::settings::SshFiles;
use super::trouble::{DETAIL_LENGTH_MAX, Trouble};
use crate::core::git_address::ssh_takes;
use crate::core::one_line::one_line;

/// Source: `ssh(1)`, `ssh_config(5)`. An option that is given here counts for the whole run. Errors only are told: a server's banner and its
/// notices come at the levels above, and would be taken for ssh's own words. A server that is gone is noticed within a minute.
const COMMAND: &str = "ssh -F none -T -i \"$SKEG_SSH_KEY\" -o \"UserKnownHostsFile=\\\"$SKEG_SSH_KNOWN_HOSTS\\\"\" \
    -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes -o CheckHostIP=no -o UpdateHostKeys=no -o VerifyHostKeyDNS=no \
    -o IdentitiesOnly=yes -o IdentityAgent=none -o AddKeysToAgent=no -o BatchMode=yes -o PreferredAuthentications=publickey \
    -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o ForwardAgent=no -o ClearAllForwardings=yes \
    -o PermitLocalCommand=no -o ControlMaster=no -o ControlPath=none -o LogLevel=ERROR -o ConnectTimeout=15 \
    -o ServerAliveInterval=15 -o ServerAliveCountMax=4";

/// The variables of a run that goes by these files.
pub(super) fn environment(files: &SshFiles) -> Result<[(&'static str, OsString); 5], Trouble> {
    Ok([
        ("GIT_ALLOW_PROTOCOL", "ssh".into()),
        ("GIT_SSH_COMMAND", COMMAND.into()),
        // git would otherwise run ssh once more, to learn which one it is.
        ("GIT_SSH_VARIANT", "ssh".into()),
        ("SKEG_SSH_KEY", file("ssh_key_file", &files.key)?),
        ("SKEG_SSH_KNOWN_HOSTS", file("known_hosts_file", &files.known_hosts)?),
    ])
}

/// The absolute name of a file that can be read now.
fn file(setting: &str, path: &Path) -> Result<OsString, Trouble> {
    let failed = |what: &dyn std::fmt::Display| Trouble::Unauthorized(one_line(&format!("{setting} {}: {what}", path.display()), 300));
    let absolute = std::path::absolute(path).map_err(|error| failed(&error.kind()))?;
    if !absolute.to_str().is_some_and(ssh_takes) {
        return Err(failed(&"ssh cannot be given a file of this name"));
    }
    std::fs::File::open(&absolute).map_err(|error| failed(&error.kind()))?;
    Ok(absolute.into())
}

/// The trouble behind what git and ssh wrote, when ssh did not bring the two sides together.
///
/// ssh's own complaints come first and whole, one in a line. What the far side's program says arrives here too; it is shown, and decides
/// only between troubles that are all tried again.
pub(super) fn trouble(stderr: &str) -> Option<Trouble> {
    let lines: Vec<&str> = stderr.lines().map(str::trim).collect();
    let end = lines.iter().position(|line| *line == "fatal: Could not read from remote repository.")?;
    let told = lines.get(..end).unwrap_or_default();
    let line_with = |part: &str| told.iter().copied().find(|line| line.contains(part));
    let trouble = if told.contains(&"Host key verification failed.") {
        Trouble::Untrusted(host_key(&line_with))
    } else if let Some(line) = line_with("are too open.") {
        Trouble::Unauthorized(format!(
            "{} Others may read ssh_key_file: chmod 600 it, or mount its Secret with defaultMode 0400",
            cut(line)
        ))
    } else if let Some(line) = told.iter().find(|line| line.starts_with("Load key ")) {
        Trouble::Unauthorized(format!("{}: ssh_key_file must hold a private key", cut(line)))
    } else if let Some(line) = line_with(": Permission denied (").or(line_with("Too many authentication failures")) {
        let advice =
            "the server does not take ssh_key_file: register its public key there, with the right to push; it must have no passphrase";
        Trouble::Unauthorized(format!("{} ({advice})", cut(line)))
    } else if line_with("ssh: not found").or(line_with("ssh: command not found")).is_some() {
        Trouble::Broken("a remote by SSH needs the ssh program (openssh-client)".to_owned())
    } else if let Some(line) = told.iter().find(|line| line.starts_with("No user exists for uid")) {
        Trouble::Broken(format!("{}: ssh needs an entry in /etc/passwd for the user that skeg runs as", cut(line)))
    } else {
        of_the_far_side(told)
    };
    Some(trouble)
}

/// Why the server's key is not trusted, and what to do.
fn host_key<'a>(line_with: &impl Fn(&str) -> Option<&'a str>) -> String {
    if line_with("REMOTE HOST IDENTIFICATION HAS CHANGED").is_some() {
        let line = line_with(" has changed and ").unwrap_or("the host key has changed");
        return format!(
            "{} (another server answers, or it has a new key: compare it with what its operator publishes, and mend known_hosts_file)",
            cut(line)
        );
    }
    if let Some(line) = line_with(" was revoked and ") {
        return format!("{} (known_hosts_file says so)", cut(line));
    }
    let line = line_with("host key is known for").unwrap_or("the server's host key is not known");
    format!("{} (add the key that its operator publishes to known_hosts_file)", cut(line))
}

/// No connection, or a word of the server's own program.
fn of_the_far_side(told: &[&str]) -> Trouble {
    let words = one_line(&told.join(" "), DETAIL_LENGTH_MAX);
    let says = |parts: &[&str]| parts.iter().any(|part| words.to_ascii_lowercase().contains(part));
    if words.is_empty() {
        Trouble::Unreachable("the connection ended before the server answered".to_owned())
    } else if says(&["does not appear to be a git repository", "repository not found", "no such repository"]) {
        Trouble::Broken(words)
    } else if says(&["denied", "read only", "read-only", "not allowed"]) {
        Trouble::Unauthorized(words)
    } else {
        Trouble::Unreachable(words)
    }
}

fn cut(line: &str) -> String {
    one_line(line, DETAIL_LENGTH_MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n";

    #[track_caller]
    fn check(said: &str, kind: fn(String) -> Trouble, part: &str) {
        let trouble = trouble(&format!("{said}{END}")).unwrap();
        let text = format!("{trouble:?}");
        assert!(text.contains(part), "{text}");
        assert_eq!(std::mem::discriminant(&trouble), std::mem::discriminant(&kind(String::new())), "{text}");
    }

    #[test]
    fn a_server_that_is_not_trusted_is_told_with_what_to_do() {
        let failed = "Host key verification failed.\r\n";
        let unknown = "No ED25519 host key is known for [git]:22 and you have requested strict checking.\r\n";
        check(&format!("{unknown}{failed}"), Trouble::Untrusted, "add the key");
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key for git has changed and you have requested strict checking.\r\n";
        check(&format!("{changed}{failed}"), Trouble::Untrusted, "compare it");
        check(
            &format!("ED25519 host key for git was revoked and you have requested strict checking.\r\n{failed}"),
            Trouble::Untrusted,
            "was revoked",
        );
    }

    #[test]
    fn a_key_that_is_not_taken_is_told_with_what_to_do() {
        check("git@git: Permission denied (publickey).\r\n", Trouble::Unauthorized, "register its public key");
        let open = "Permissions 0644 for '/etc/skeg/key' are too open.\r\nLoad key \"/etc/skeg/key\": bad permissions\r\n";
        check(
            &format!("{open}git@git: Permission denied (publickey).\r\n"),
            Trouble::Unauthorized,
            "0644 for '/etc/skeg/key' are too open. Others",
        );
        check(
            "Load key \"k\": error in libcrypto\r\ngit@git: Permission denied (publickey).\r\n",
            Trouble::Unauthorized,
            "must hold a private key",
        );
        check("ERROR: Permission to acme/fleet.git denied to deploy key\n", Trouble::Unauthorized, "denied to deploy key");
    }

    #[test]
    fn what_else_stops_ssh_is_told_apart() {
        check("ssh: connect to host git port 22: Connection refused\r\n", Trouble::Unreachable, "Connection refused");
        check("", Trouble::Unreachable, "before the server answered");
        check("ssh -F none: 1: ssh: not found\n", Trouble::Broken, "openssh-client");
        check("No user exists for uid 1000\n", Trouble::Broken, "/etc/passwd");
        check("fatal: '/srv/x.git' does not appear to be a git repository\n", Trouble::Broken, "does not appear");
        assert_eq!(trouble("fatal: couldn't find remote ref refs/heads/main\n"), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_setting() {
        let files = SshFiles { key: "/nowhere/key".into(), known_hosts: "/nowhere/known_hosts".into() };
        let trouble = environment(&files).unwrap_err();
        assert_eq!(trouble, Trouble::Unauthorized("ssh_key_file /nowhere/key: entity not found".to_owned()));
    }
}
