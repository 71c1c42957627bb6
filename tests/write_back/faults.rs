//! What goes wrong on the way: told apart, told briefly, and never done twice.

use super::*;

/// What may happen to a mirror.
type Damage = fn(&Path);

/// A push whose answer is lost has happened; the next run finds its commit.
#[tokio::test]
async fn a_push_with_an_unknown_result_is_not_repeated() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.remote.fail_next(GitRequest::Push, GitFault::LoseAnswer);
    let error = fixture.write(&[edit("web")]).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error}");
    let outcome = fixture.write_one(edit("web")).await;
    assert_eq!(outcome, stands(&fixture.repository().tip().unwrap(), "web.yaml"));
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
