//! Write-back: images that run are recorded in Git, once, without a byte too many, and never over a person's work.

mod faults;
mod people;
mod safety;

use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use skeg::adapters::clock::SystemClock;
use skeg::adapters::git::{GitAuthor, GitRemotes, SecretSource};
use skeg::core::directives::GitPlace;
use skeg::core::update::{CommitRecord, UpdateId};
use skeg::core::workload::{WorkloadId, WorkloadKind};
use skeg::embedded::git::{BareRepository, Change, GitFault, GitRemote, GitRequest, Login};
use skeg::ports::clock::Clock;
use skeg::ports::git::{Git as _, GitEdit, GitError, GitImage, GitOutcome};

use crate::support::git::{RealGit, clone, git_succeeds};

const PERSON: &str = "Ana <ana@example.com>";
const OLD: &str = "ghcr.io/acme/web:1.0.0";
const NEW: &str = "ghcr.io/acme/web:1.0.1";

fn manifest(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  template:\n    spec:\n      containers:\n        - name: app\n          image: {image} # here\n"
    )
}

/// A remote with these files, and skeg's side of it.
struct Fixture {
    remote: GitRemote,
    remotes: GitRemotes,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with(files, None, |_| {})
    }

    fn with(files: &[(&str, &[u8])], login: Option<Login>, change: impl FnOnce(&mut skeg::adapters::git::GitRemote)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = BareRepository::create(folder.path().join("fleet.git"), files.iter().copied()).unwrap();
        let remote = GitRemote::serve(repository, login).unwrap();
        let mut settings = settings(&remote.url());
        change(&mut settings);
        let remotes = GitRemotes::new(vec![settings], &folder.path().join("mirrors"), &(Arc::new(SystemClock) as Arc<dyn Clock>)).unwrap();
        Self { remote, remotes, folder }
    }

    fn repository(&self) -> &BareRepository {
        self.remote.repository()
    }

    async fn write(&self, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError> {
        self.remotes.write_back("fleet", edits).await
    }

    async fn write_one(&self, edit: GitEdit) -> GitOutcome {
        let mut outcomes = self.write(&[edit]).await.unwrap();
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    fn shows(&self, path: &str) -> String {
        String::from_utf8(self.repository().show(path).unwrap()).unwrap()
    }

    /// The subjects of the branch's commits, the newest first.
    fn subjects(&self) -> Vec<String> {
        self.repository().log().unwrap().into_iter().map(|commit| commit.subject).collect()
    }

    /// Commits `image` as a person would.
    fn person_sets(&self, name: &str, image: &str) -> String {
        let path = format!("{name}.yaml");
        self.repository().commit(&path, manifest(name, image).as_bytes(), PERSON, "By hand").unwrap()
    }
}

fn settings(url: &str) -> skeg::adapters::git::GitRemote {
    skeg::adapters::git::GitRemote {
        name: "fleet".into(),
        url: url.into(),
        insecure: true,
        branch: "main".into(),
        path: None,
        namespaces: vec!["shop".into()],
        username: None,
        password: None,
        ssh: None,
        author: GitAuthor { name: "skeg".into(), email: "skeg@example.com".into() },
        ca_file: None,
    }
}

fn edit(name: &str) -> GitEdit {
    GitEdit {
        update: UpdateId { namespace: "shop".into(), name: format!("{name}-0123456789").into() },
        workload: WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() },
        since: Timestamp::now() - SignedDuration::from_mins(1),
        place: GitPlace { remote: "fleet".into(), path: None },
        images: vec![image("app", OLD, NEW)],
        approved_by: vec!["user:ana".into()],
        comparisons: Vec::new(),
        looks_only: false,
    }
}

fn image(container: &str, from: &str, to: &str) -> GitImage {
    GitImage { container: container.into(), init: false, from: from.into(), to: to.into() }
}

fn recorded(commit: &str, path: &str) -> GitOutcome {
    GitOutcome::Recorded(CommitRecord { remote: "fleet".into(), id: commit.into(), path: path.into() })
}

/// It stood there before anything was pushed.
fn stands(commit: &str, path: &str) -> GitOutcome {
    GitOutcome::Stands(CommitRecord { remote: "fleet".into(), id: commit.into(), path: path.into() })
}

#[tokio::test]
async fn the_image_is_committed_with_the_reason_and_nothing_else_changes() {
    let fixture = Fixture::new(&[("apps/web.yaml", manifest("web", OLD).as_bytes()), ("README.md", b"image: no")]);
    let outcome = fixture.write_one(edit("web")).await;
    let tip = fixture.repository().tip().unwrap();
    assert_eq!(outcome, recorded(&tip, "apps/web.yaml"));
    assert_eq!(fixture.shows("apps/web.yaml"), manifest("web", NEW));
    let commit = fixture.repository().log().unwrap().remove(0);
    assert_eq!(commit.subject, "Update web to 1.0.1");
    assert_eq!(commit.author, "skeg <skeg@example.com>");
    assert_eq!(commit.body, format!("shop/Deployment/web app: {OLD} -> {NEW}\napproved by user:ana\n\nSkeg-Update: shop/web-0123456789"));
    let diff = fixture.repository().diff(&tip).unwrap();
    let changed: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    let lines = [format!("-          image: {OLD} # here"), format!("+          image: {NEW} # here")];
    assert_eq!(changed, ["--- a/apps/web.yaml", "+++ b/apps/web.yaml", &lines[0], &lines[1]]);
}

#[tokio::test]
async fn everything_due_is_one_commit_and_one_push() {
    let files: Vec<(String, String)> =
        (0..1000).map(|number| (format!("app-{number}.yaml"), manifest(&format!("app-{number}"), OLD))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    let fixture = Fixture::new(&files);
    let edits: Vec<GitEdit> = (0..1000).map(|number| edit(&format!("app-{number}"))).collect();
    let outcomes = fixture.write(&edits).await.unwrap();
    let tip = fixture.repository().tip().unwrap();
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome, &recorded(&tip, &format!("app-{number}.yaml")));
    }
    assert_eq!(fixture.subjects(), ["Update 1000 images", "Begin"]);
    let pushes = fixture.remote.requests().into_iter().filter(|seen| seen.path.ends_with("/git-receive-pack")).count();
    assert_eq!(pushes, 1);
}

#[tokio::test]
async fn writing_the_same_update_again_finds_the_commit_and_makes_no_second_one() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.write_one(edit("web")).await;
    let first = fixture.repository().tip().unwrap();
    fixture.repository().commit("other.txt", b"x", PERSON, "Something else").unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, stands(&first, "web.yaml"));
    assert_eq!(fixture.subjects(), ["Something else", "Update web to 1.0.1", "Begin"]);
}

#[tokio::test]
async fn an_image_that_somebody_wrote_already_is_recorded_without_a_commit() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", NEW).as_bytes())]);
    let tip = fixture.repository().tip().unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, stands(&tip, "web.yaml"));
    assert_eq!(fixture.repository().tip().unwrap(), tip);
}

/// GI-07.
#[tokio::test]
async fn the_bytes_around_the_image_stay_whatever_they_are() {
    let before =
        format!("\u{feff}{}", manifest("web", &format!("\"{OLD}\"\t")).trim_end()).replace('\n', "\r\n").replace("# here", "#\there ä");
    let fixture = Fixture::new(&[("web.yaml", before.as_bytes())]);
    fixture.write_one(edit("web")).await;
    assert_eq!(fixture.shows("web.yaml"), before.replace(OLD, NEW));
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_disturbs_no_other() {
    let template = manifest("template", "\"{{ .Values.image }}\"");
    let wrong = "a: b\n\tc";
    let anywhere = manifest("anywhere", OLD).replace(", namespace: shop", "");
    let files: [(&str, &[u8]); 7] = [
        ("anywhere.yaml", anywhere.as_bytes()),
        ("web.yaml", manifest("web", OLD).as_bytes().to_vec().leak()),
        ("twice/a.yaml", manifest("twice", OLD).as_bytes().to_vec().leak()),
        ("twice/b.yaml", manifest("twice", OLD).as_bytes().to_vec().leak()),
        ("template.yaml", template.as_bytes()),
        ("wrong.yaml", wrong.as_bytes()),
        ("bytes.yaml", b"image: \xff"),
    ];
    let fixture = Fixture::new(&files);
    let foreign = GitEdit { workload: WorkloadId { namespace: "other".into(), ..edit("anywhere").workload }, ..edit("anywhere") };
    let hostile = GitEdit { images: vec![image("app", OLD, "x:1\nevil: true")], ..edit("web") };
    let edits = [edit("twice"), edit("template"), edit("absent"), foreign, hostile, edit("web"), edit("anywhere")];
    let outcomes = fixture.write(&edits).await.unwrap();
    assert_eq!(outcomes[0], GitOutcome::DeclaredTwice { paths: vec!["twice/a.yaml".into(), "twice/b.yaml".into()] });
    assert_eq!(outcomes[1], GitOutcome::Uneditable { path: "template.yaml".into(), why: "line 9: the image is a template".into() });
    let files = ["bytes.yaml: line 1: the file is not UTF-8", "wrong.yaml: line 1, column 4: while scanning a plain scalar, found a tab"];
    assert_eq!(outcomes[2], GitOutcome::Unreadable { files: files.map(str::to_owned).into() });
    assert_eq!(outcomes[3], GitOutcome::NotDeclared, "the remote is granted to another namespace");
    assert!(matches!(&outcomes[4], GitOutcome::Uneditable { why, .. } if why == "x:1 evil: true is no image"), "{:?}", outcomes[4]);
    assert!(matches!(&outcomes[5], GitOutcome::Recorded(_)));
    assert!(matches!(&outcomes[6], GitOutcome::Recorded(_)), "a manifest without a namespace is found when it is the only one");
    let narrowed = GitEdit { place: GitPlace { remote: "fleet".into(), path: Some("twice/b.yaml".into()) }, ..edit("twice") };
    assert!(matches!(fixture.write_one(narrowed).await, GitOutcome::Recorded(_)));
    assert_eq!(fixture.shows("twice/a.yaml"), manifest("twice", OLD));
    assert_eq!(fixture.shows("twice/b.yaml"), manifest("twice", NEW));
}

#[tokio::test]
async fn an_update_of_several_containers_is_written_whole_or_not_at_all() {
    let text = manifest("web", OLD)
        + "        - name: proxy\n          image: ghcr.io/acme/proxy:2\n      initContainers:\n        - {name: migrate, image: 'ghcr.io/acme/web:1.0.0'}\n";
    let fixture = Fixture::new(&[("web.yaml", text.as_bytes())]);
    let migrate = GitImage { init: true, ..image("migrate", OLD, NEW) };
    let moved =
        GitEdit { images: vec![image("app", OLD, NEW), image("proxy", "ghcr.io/acme/proxy:1", "ghcr.io/acme/proxy:3")], ..edit("web") };
    assert!(matches!(fixture.write_one(moved).await, GitOutcome::Moved { .. }));
    assert_eq!(fixture.shows("web.yaml"), text);
    let whole = GitEdit { images: vec![image("app", OLD, NEW), migrate], ..edit("web") };
    assert!(matches!(fixture.write_one(whole).await, GitOutcome::Recorded(_)));
    assert_eq!(fixture.shows("web.yaml"), text.replace(OLD, NEW));
}

#[tokio::test]
async fn updates_of_one_workload_in_one_batch_follow_each_other() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    let id = |name: &str| UpdateId { namespace: "shop".into(), name: name.into() };
    let next = GitEdit { update: id("web-2"), images: vec![image("app", NEW, "ghcr.io/acme/web:1.0.2")], ..edit("web") };
    let same = GitEdit { update: id("web-3"), images: next.images.clone(), ..edit("web") };
    let outcomes = fixture.write(&[edit("web"), next, same]).await.unwrap();
    let tip = fixture.repository().tip().unwrap();
    assert_eq!(outcomes, vec![recorded(&tip, "web.yaml"); 3]);
    assert_eq!(fixture.shows("web.yaml"), manifest("web", "ghcr.io/acme/web:1.0.2"));
    assert_eq!(fixture.subjects().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_executable_stays_so() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    let tree = git(fixture.repository().directory(), &["ls-tree", "main"]);
    let blob = tree.split_whitespace().nth(2).unwrap();
    let tree = git_with_input(fixture.repository().directory(), &["mktree"], &format!("100755 blob {blob}\tweb.yaml\n"));
    let commit =
        git(fixture.repository().directory(), &["-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "Executable", &tree]);
    move_branch(fixture.repository(), &commit);
    fixture.write_one(edit("web")).await;
    assert!(git(fixture.repository().directory(), &["ls-tree", "main"]).starts_with("100755 blob"));
}

/// The same against nginx and git's own http-backend: a login is asked for, and a person's clone pushes in between.
#[tokio::test]
async fn a_real_server_takes_skegs_commit_on_top_of_a_persons() {
    let login = Login::new("robot", "gitpw");
    let Some(server) = RealGit::start(&[("web.yaml", manifest("web", OLD).as_bytes())], &login) else { return };
    let folder = tempfile::tempdir().unwrap();
    let remotes = |password: &'static str| {
        let mut settings = settings(&server.url());
        settings.username = Some("robot".into());
        settings.password = Some(Arc::new(move || Ok(password.to_owned())));
        GitRemotes::new(vec![settings], &folder.path().join("mirrors"), &(Arc::new(SystemClock) as Arc<dyn Clock>)).unwrap()
    };
    let error = remotes("wrong").write_back("fleet", &[edit("web")]).await.unwrap_err();
    assert!(matches!(error, GitError::Unauthorized { .. }), "{error}");

    let remotes = remotes("gitpw");
    assert_eq!(remotes.check("fleet").await, Ok(()));
    let clone = clone(folder.path(), &server.url(), &login);
    std::fs::write(clone.join("notes.txt"), "kept").unwrap();
    git_succeeds(&clone, &["add", "."]);
    git_succeeds(&clone, &["commit", "--quiet", "-m", "A person was faster"]);
    git_succeeds(&clone, &["push", "--quiet"]);
    let outcomes = remotes.write_back("fleet", &[edit("web")]).await.unwrap();
    let log = server.repository().log().unwrap();
    assert_eq!(outcomes, [recorded(&log[0].id, "web.yaml")]);
    assert_eq!(log.into_iter().map(|commit| commit.subject).collect::<Vec<_>>(), ["Update web to 1.0.1", "A person was faster", "Begin"]);
    git_succeeds(&clone, &["pull", "--quiet"]);
    assert_eq!(std::fs::read_to_string(clone.join("web.yaml")).unwrap(), manifest("web", NEW));
}

// === What the tests do themselves ===

fn mirror_of(fixture: &Fixture) -> std::path::PathBuf {
    let mut folders = std::fs::read_dir(fixture.folder.path().join("mirrors")).unwrap();
    folders.next().unwrap().unwrap().path().join("mirror.git")
}

fn move_branch(repository: &BareRepository, commit: &str) {
    git(repository.directory(), &["update-ref", "refs/heads/main", commit]);
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    git_with_input(directory, arguments, "")
}

fn git_with_input(directory: &Path, arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child =
        Command::new("git").current_dir(directory).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}
