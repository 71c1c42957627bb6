//! Write-back: images that run are recorded in Git, once, without a byte too many, and never over a person's work.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
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

/// The machine's clock.
struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        tokio::time::sleep(deadline.duration_since(Timestamp::now()).try_into().unwrap_or_default()).await;
    }
}

/// What may happen to a mirror.
type Damage = fn(&Path);

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
    }
}

fn image(container: &str, from: &str, to: &str) -> GitImage {
    GitImage { container: container.into(), init: false, from: from.into(), to: to.into() }
}

fn recorded(commit: &str, path: &str) -> GitOutcome {
    GitOutcome::Recorded(CommitRecord { remote: "fleet".into(), id: commit.into(), path: path.into() })
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
    let first = fixture.write_one(edit("web")).await;
    fixture.repository().commit("other.txt", b"x", PERSON, "Something else").unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, first);
    assert_eq!(fixture.subjects(), ["Something else", "Update web to 1.0.1", "Begin"]);
}

#[tokio::test]
async fn an_image_that_somebody_wrote_already_is_recorded_without_a_commit() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", NEW).as_bytes())]);
    let tip = fixture.repository().tip().unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, recorded(&tip, "web.yaml"));
    assert_eq!(fixture.repository().tip().unwrap(), tip);
}

/// GI-01: the person's push arrives after skeg fetched and before it asks where to push (git compares), or before its push (the
/// server compares).
#[tokio::test]
async fn a_push_of_somebody_else_in_between_stays_and_skegs_commit_goes_on_top() {
    for request in [GitRequest::PushRefs, GitRequest::Push] {
        let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
        fixture.remote.before_next(request, |repository| {
            repository.commit("notes.txt", b"kept", PERSON, "A person was faster").unwrap();
        });
        let outcome = fixture.write_one(edit("web")).await;
        assert_eq!(outcome, recorded(&fixture.repository().tip().unwrap(), "web.yaml"), "{request:?}");
        assert_eq!(fixture.subjects(), ["Update web to 1.0.1", "A person was faster", "Begin"], "{request:?}");
        assert_eq!(fixture.shows("notes.txt"), "kept");
        assert_eq!(fixture.shows("web.yaml"), manifest("web", NEW));
    }
}

#[tokio::test]
async fn a_branch_that_moves_at_every_push_ends_the_tries() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    for number in 0..20 {
        fixture.remote.before_next(GitRequest::PushRefs, move |repository| {
            repository.commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Again").unwrap();
        });
    }
    let error = fixture.write(&[edit("web")]).await.unwrap_err();
    assert_eq!(error, GitError::Contended { remote: "fleet".into(), tries: 5 });
    assert_eq!(fixture.subjects().len(), 6, "nothing of skeg's is on the branch");
}

/// A lease, and not only a fast-forward: skeg's commit on the old tip would bring back what the person took off the branch.
#[tokio::test]
async fn commits_that_a_person_took_off_the_branch_do_not_come_back() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    let begin = fixture.repository().tip().unwrap();
    fixture.repository().commit("mistake.txt", b"x", PERSON, "A mistake").unwrap();
    fixture.remote.before_next(GitRequest::PushRefs, move |repository| move_branch(repository, &begin));
    fixture.write_one(edit("web")).await;
    assert_eq!(fixture.subjects(), ["Update web to 1.0.1", "Begin"]);
}

/// GI-08.
#[tokio::test]
async fn a_person_who_changes_the_same_line_in_between_wins() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.remote.before_next(GitRequest::Push, |repository| {
        repository.commit("web.yaml", manifest("web", "ghcr.io/acme/web:9.9.9").as_bytes(), PERSON, "Mine").unwrap();
    });
    let outcome = fixture.write_one(edit("web")).await;
    assert_eq!(outcome, GitOutcome::Moved { path: "web.yaml".into(), found: "ghcr.io/acme/web:9.9.9".into() });
    assert_eq!(fixture.subjects(), ["Mine", "Begin"]);
}

#[tokio::test]
async fn an_update_that_a_person_took_back_is_not_written_again() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.write_one(edit("web")).await;
    let commit = fixture.repository().tip().unwrap();
    fixture.person_sets("web", OLD);
    assert_eq!(fixture.write_one(edit("web")).await, GitOutcome::TakenBack { commit });
    assert_eq!(fixture.subjects()[0], "By hand");
    let next_attempt = GitEdit { update: UpdateId { namespace: "shop".into(), name: "web-9876543210".into() }, ..edit("web") };
    assert!(matches!(fixture.write_one(next_attempt).await, GitOutcome::Recorded(_)), "another update may write the same image");
}

#[tokio::test]
async fn a_commit_taken_back_is_found_below_what_the_mirror_held_at_first() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.write_one(edit("web")).await;
    let commit = fixture.repository().tip().unwrap();
    fixture.person_sets("web", OLD);
    for number in 0..60 {
        fixture.repository().commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Busy").unwrap();
    }
    std::fs::remove_dir_all(fixture.folder.path().join("mirrors")).unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, GitOutcome::TakenBack { commit });
}

/// A push whose answer is lost has happened; the next run finds its commit.
#[tokio::test]
async fn a_push_with_an_unknown_result_is_not_repeated() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.remote.fail_next(GitRequest::Push, GitFault::LoseAnswer);
    let error = fixture.write(&[edit("web")]).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error}");
    let outcome = fixture.write_one(edit("web")).await;
    assert_eq!(outcome, recorded(&fixture.repository().tip().unwrap(), "web.yaml"));
    assert_eq!(fixture.subjects(), ["Update web to 1.0.1", "Begin"]);
}

#[tokio::test]
async fn a_connection_that_is_cut_before_the_push_is_carried_out_leaves_nothing_behind() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    for request in [GitRequest::FetchRefs, GitRequest::Fetch, GitRequest::PushRefs, GitRequest::Push] {
        fixture.remote.fail_next(request, GitFault::CloseConnection);
        let error = fixture.write(&[edit("web")]).await.unwrap_err();
        assert!(matches!(error, GitError::Unreachable { .. }), "{request:?}: {error}");
        assert_eq!(fixture.subjects(), ["Begin"]);
    }
    assert!(matches!(fixture.write_one(edit("web")).await, GitOutcome::Recorded(_)));
}

/// GI-03.
#[tokio::test]
async fn a_refusal_by_a_hook_is_told_in_its_own_words_cut_and_clean() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.remote.fail_next(GitRequest::Push, GitFault::HookRefusal(format!("frozen\x1b[31m {}", "x".repeat(4096))));
    let GitError::Refused { remote, detail } = fixture.write(&[edit("web")]).await.unwrap_err() else { panic!("not refused") };
    assert_eq!(remote, "fleet");
    assert!(detail.starts_with("pre-receive hook declined: frozen [31m xxx"), "{detail}");
    assert!(detail.chars().count() <= 300 && !detail.contains(char::is_control), "{detail}");
    assert_eq!(fixture.subjects(), ["Begin"]);
}

/// GI-05.
#[tokio::test]
async fn symbolic_links_are_never_followed() {
    let fixture = Fixture::new(&[("real/web.yaml", manifest("web", "ghcr.io/acme/web:0.9").as_bytes())]);
    let outside = fixture.folder.path().join("outside.yaml");
    std::fs::write(&outside, manifest("web", OLD)).unwrap();
    let manifest_as_target = manifest("web", OLD);
    let links = [
        Change::Link("target.yaml", &manifest_as_target),
        Change::Link("web.yaml", outside.to_str().unwrap()),
        Change::Link("passwd.yaml", "/etc/passwd"),
        Change::Link("apps", fixture.folder.path().to_str().unwrap()),
        Change::Delete("real/web.yaml"),
    ];
    fixture.repository().commit_changes(&links, PERSON, "Links").unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, GitOutcome::NotDeclared);
    let inside = |path: &str| GitEdit { place: GitPlace { remote: "fleet".into(), path: Some(path.into()) }, ..edit("web") };
    for path in ["web.yaml", "apps", "apps/outside.yaml", "../outside.yaml", "/etc/passwd"] {
        assert_eq!(fixture.write_one(inside(path)).await, GitOutcome::NotDeclared, "{path}");
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), manifest("web", OLD));
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
    assert_eq!(outcomes[2], GitOutcome::NotDeclared);
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

#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.write_one(edit("web")).await;
    let mirror = mirror_of(&fixture);
    let damages: [(&str, Damage); 4] = [
        ("no objects", |mirror| std::fs::remove_dir_all(mirror.join("objects")).unwrap()),
        ("a lock left behind", |mirror| std::fs::write(mirror.join("shallow.lock"), "").unwrap()),
        ("a configuration that is none", |mirror| std::fs::write(mirror.join("config"), "[[[").unwrap()),
        ("no repository", |mirror| std::fs::remove_file(mirror.join("HEAD")).unwrap()),
    ];
    for (number, (what, damage)) in damages.iter().enumerate() {
        damage(&mirror);
        let (from, to) = (format!("ghcr.io/acme/web:1.0.{}", number + 1), format!("ghcr.io/acme/web:1.0.{}", number + 2));
        let update = UpdateId { namespace: "shop".into(), name: format!("web-{number}").into() };
        let outcome = fixture.write_one(GitEdit { update, images: vec![image("app", &from, &to)], ..edit("web") }).await;
        assert!(matches!(outcome, GitOutcome::Recorded(_)), "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_mirror_is_shallow_and_has_no_work_tree() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    for number in 0..100 {
        fixture.repository().commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Old").unwrap();
    }
    let old = GitEdit { since: Timestamp::now() + SignedDuration::from_hours(2), ..edit("web") };
    fixture.write_one(old).await;
    let mirror = mirror_of(&fixture);
    assert_eq!(git(&mirror, &["rev-list", "--count", "refs/skeg/tip"]), "32");
    assert!(!mirror.join("web.yaml").exists() && git(&mirror, &["config", "core.bare"]) == "true");
}

#[tokio::test]
async fn a_missing_branch_repository_or_server_is_told_apart() {
    let fixture = Fixture::with(&[("web.yaml", b"")], None, |settings| settings.branch = "release".into());
    let error = fixture.write(&[edit("web")]).await.unwrap_err();
    assert_eq!(error.to_string(), "fleet: couldn't find remote ref refs/heads/release");
    assert_eq!(fixture.remotes.check("fleet").await.unwrap_err().to_string(), "fleet: there is no branch release");
    fixture.remote.stop();
    assert!(matches!(fixture.write(&[edit("web")]).await, Err(GitError::Unreachable { .. })));
    assert!(matches!(fixture.remotes.check("fleet").await, Err(GitError::Unreachable { .. })));
    assert_eq!(fixture.remotes.write_back("other", &[]).await, Err(GitError::Unknown { remote: "other".into() }));
}

/// GI-04, as far as one run goes: a rotated password is used at once, and a wrong one is told as such.
#[tokio::test]
async fn a_rotated_password_is_used_at_the_next_run() {
    let password = Arc::new(Mutex::new("old".to_owned()));
    let source: SecretSource = {
        let password = Arc::clone(&password);
        Arc::new(move || Ok(password.lock().unwrap().clone()))
    };
    let login = Login::new("git", "old");
    let fixture = Fixture::with(&[("web.yaml", manifest("web", OLD).as_bytes())], Some(login), |settings| settings.password = Some(source));
    assert_eq!(fixture.remotes.check("fleet").await, Ok(()));
    fixture.remote.set_login(Some(Login::new("git", "new")));
    let error = fixture.write(&[edit("web")]).await.unwrap_err();
    assert!(matches!(error, GitError::Unauthorized { .. }), "{error}");
    *password.lock().unwrap() = "new".to_owned();
    assert!(matches!(fixture.write_one(edit("web")).await, GitOutcome::Recorded(_)));
}

/// SE-01 for this port: the canary is on no command line while git runs, in no file of the mirror, no error and no log line.
#[tokio::test]
async fn a_password_is_nowhere_but_in_the_request() {
    const CANARY: &str = "canary-6f1d2c";
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer({
        let log = Arc::clone(&log);
        move || Shared(Arc::clone(&log))
    });
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let login = Login::new("robot", CANARY);
    let fixture = Fixture::with(&[("web.yaml", manifest("web", OLD).as_bytes())], Some(login), |settings| {
        settings.username = Some("robot".into());
        settings.password = Some(Arc::new(|| Ok(CANARY.to_owned())));
    });
    let command_lines = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&command_lines);
    fixture.remote.before_next(GitRequest::Push, move |_| seen.lock().unwrap().push_str(&all_command_lines()));
    fixture.write_one(edit("web")).await;
    fixture.remote.set_login(Some(Login::new("robot", "another")));
    let refused = fixture.write(&[edit("web")]).await.unwrap_err();
    let encoded = "cm9ib3Q6Y2FuYXJ5LTZmMWQyYw==";

    let command_lines = command_lines.lock().unwrap().clone();
    assert!(command_lines.contains("push"), "git was running: {command_lines}");
    let files = git(
        Path::new("/"),
        &["-C", fixture.folder.path().join("mirrors").to_str().unwrap(), "grep", "--no-index", "-l", "-F", "-e", CANARY, "-e", encoded],
    );
    assert_eq!(files, "");
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    for text in [command_lines, refused.to_string(), format!("{refused:?}"), log] {
        assert!(!text.contains(CANARY) && !text.contains(encoded), "{text}");
    }
}

/// Credentials go to the address they are for: a redirect is an error that says so, and the other server hears nothing.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let target = other.remote.url();
    let answering = std::thread::spawn(move || {
        use std::io::{BufRead as _, BufReader, Write as _};
        let (mut stream, _) = server.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        let mut path = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap().trim_start_matches("/moved.git").to_owned();
            }
            line.clear();
        }
        write!(stream, "HTTP/1.1 301 Moved\r\nLocation: {target}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    });
    let mut settings = settings(&format!("http://{address}/moved.git"));
    settings.password = Some(Arc::new(|| Ok("canary".to_owned())));
    let folder = tempfile::tempdir().unwrap();
    let remotes = GitRemotes::new(vec![settings], folder.path(), &(Arc::new(SystemClock) as Arc<dyn Clock>)).unwrap();
    let error = remotes.write_back("fleet", &[edit("web")]).await.unwrap_err();
    answering.join().unwrap();
    assert!(matches!(&error, GitError::Broken { detail, .. } if detail.contains("the server has moved the repository")), "{error}");
    assert_eq!(other.remote.requests(), []);
}

/// GI-17.
#[tokio::test]
async fn an_address_or_branch_that_reads_as_an_option_or_another_transport_is_refused_at_load() {
    let refuse = |change: fn(&mut skeg::adapters::git::GitRemote)| {
        let mut settings = settings("https://git.example.com/fleet.git");
        change(&mut settings);
        GitRemotes::new(vec![settings], Path::new("/nonexistent"), &(Arc::new(SystemClock) as Arc<dyn Clock>)).err().unwrap().to_string()
    };
    let scheme = "[[git]] fleet: url: only https:// is allowed, and http:// with insecure = true; ssh:// is not available yet";
    assert_eq!(refuse(|settings| settings.url = "ext::sh".into()), scheme);
    assert_eq!(refuse(|settings| settings.url = "file:///etc".into()), scheme);
    assert_eq!(
        refuse(|settings| settings.url = "--upload-pack=touch".into()),
        "[[git]] fleet: url: not a URL of the form https://host/path"
    );
    assert_eq!(
        refuse(|settings| settings.branch = "--force".into()),
        "[[git]] fleet: branch: not a name of a branch (git-check-ref-format)"
    );
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

struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The command lines of all processes, as every user of the machine may read them.
fn all_command_lines() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
    processes.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n").collect()
}

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
