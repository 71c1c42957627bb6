//! What people do to the branch meanwhile: their work is never lost, and where they decided, they win.

use super::*;
use crate::support::agent::{Agent, Setup};

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
async fn a_commit_that_is_only_looked_for_is_found_and_not_made() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    let looking = GitEdit { looks_only: true, ..edit("web") };
    assert_eq!(fixture.write_one(looking.clone()).await, GitOutcome::NotMade);
    assert_eq!((fixture.subjects(), fixture.shows("web.yaml")), (vec!["Begin".to_owned()], manifest("web", OLD)));
    fixture.write_one(edit("web")).await;
    let commit = fixture.repository().tip().unwrap();
    assert_eq!(fixture.write_one(looking.clone()).await, stands(&commit, "web.yaml"));
    fixture.person_sets("web", OLD);
    for number in 0..60 {
        fixture.repository().commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Busy").unwrap();
    }
    std::fs::remove_dir_all(fixture.folder.path().join("mirrors")).unwrap();
    assert_eq!(fixture.write_one(looking).await, GitOutcome::TakenBack { commit }, "found below what the mirror held at first");
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

#[tokio::test]
async fn a_commit_that_stands_is_told_and_not_what_others_have_put_on_top_of_it() {
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes())]);
    fixture.write_one(edit("web")).await;
    let commit = fixture.repository().tip().unwrap();
    for number in 0..60 {
        fixture.repository().commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Busy").unwrap();
    }
    std::fs::remove_dir_all(fixture.folder.path().join("mirrors")).unwrap();
    assert_eq!(fixture.write_one(edit("web")).await, stands(&commit, "web.yaml"));
}

/// The file of a person who went back in the cluster alone still holds what skeg wrote.
#[tokio::test]
async fn what_skeg_committed_last_is_skegs_to_replace_and_nothing_else_is() {
    const NEXT: &str = "ghcr.io/acme/web:1.0.2";
    let next = |number: u32, from: &str| GitEdit {
        update: UpdateId { namespace: "shop".into(), name: format!("web-{number:010}").into() },
        images: vec![image("app", from, NEXT)],
        ..edit("web")
    };
    let fixture = Fixture::new(&[("web.yaml", manifest("web", OLD).as_bytes()), ("api.yaml", manifest("api", NEW).as_bytes())]);
    fixture.write_one(edit("web")).await;
    for number in 0..60 {
        fixture.repository().commit("notes.txt", format!("{number}").as_bytes(), PERSON, "Busy").unwrap();
    }
    std::fs::remove_dir_all(fixture.folder.path().join("mirrors")).unwrap();
    assert!(matches!(fixture.write_one(next(1, OLD)).await, GitOutcome::Recorded(_)), "found below what the mirror held at first");
    assert_eq!(fixture.shows("web.yaml"), manifest("web", NEXT));

    let moved = |found: &str| GitOutcome::Moved { path: "web.yaml".into(), found: found.into() };
    // A revert of the newer commit brings back the image of the older one: that was a person.
    fixture.person_sets("web", NEW);
    assert_eq!(fixture.write_one(next(2, "ghcr.io/acme/web:1.0.3")).await, moved(NEW));
    fixture.person_sets("web", "ghcr.io/acme/web:9.9.9");
    assert_eq!(fixture.write_one(next(3, OLD)).await, moved("ghcr.io/acme/web:9.9.9"));
    // Another workload has the image that skeg committed for this one.
    let other = GitEdit { images: vec![image("app", OLD, NEXT)], ..edit("api") };
    assert_eq!(fixture.write_one(other).await, GitOutcome::Moved { path: "api.yaml".into(), found: NEW.into() });
    assert_eq!(fixture.subjects()[0], "By hand");
}

/// A file that does not parse is named, until it is mended; a narrower place has nothing to do with it.
#[tokio::test]
async fn a_workload_whose_file_cannot_be_read_is_recorded_once_it_can() {
    let broken = format!("{}\tx", manifest("web", OLD));
    let fixture = Fixture::new(&[("a.yaml", b"a: *nowhere"), ("apps/web.yaml", broken.as_bytes()), ("other/api.yaml", b"kind: Pod")]);
    let GitOutcome::Unreadable { files } = fixture.write_one(edit("web")).await else { panic!("it reads") };
    assert!(files[0].starts_with("apps/web.yaml: line 10, column 2: "), "the file that has the workload's name comes first: {files:?}");
    assert_eq!(files.len(), 2, "{files:?}");
    let elsewhere = GitEdit { place: GitPlace { remote: "fleet".into(), path: Some("other".into()) }, ..edit("web") };
    assert_eq!(fixture.write_one(elsewhere).await, GitOutcome::NotDeclared);
    fixture.repository().commit("apps/web.yaml", manifest("web", OLD).as_bytes(), PERSON, "Mend it").unwrap();
    assert!(matches!(fixture.write_one(edit("web")).await, GitOutcome::Recorded(_)));
}

/// The metrics count what skeg pushed, and not what it found.
#[tokio::test]
async fn commits_and_pushes_are_counted_where_skeg_made_them() {
    let agent = Agent::start(Setup::at_once()).await;
    let (path, declared) = ("shop/web.yaml", agent.stage.declared("shop/web.yaml"));
    let by_hand = declared.replace("web:1.0.0", "web:1.0.1");
    agent.stage.remote.repository().commit(path, by_hand.as_bytes(), PERSON, "By hand").unwrap();
    agent.push("shop/web", "1.0.1");
    agent.wait_for_phase("1.0.1", "Done").await;
    agent.stage.remote.repository().commit(path, b"", PERSON, "Not here any more").unwrap();
    agent.push("shop/web", "1.0.2");
    agent.wait_for_phase("1.0.2", "Unrecorded").await;
    assert_eq!(agent.metrics("skeg_git_commits_total").await, [r#"skeg_git_commits_total{remote="fleet"} 0"#]);
    assert_eq!(agent.metrics("skeg_git_pushes_total").await, Vec::<String>::new());

    agent.stage.remote.repository().commit(path, by_hand.replace("1.0.1", "1.0.2").as_bytes(), PERSON, "Here again").unwrap();
    agent.push("shop/web", "1.0.3");
    agent.wait_for_phase("1.0.3", "Done").await;
    assert_eq!(agent.metrics("skeg_git_commits_total").await, [r#"skeg_git_commits_total{remote="fleet"} 1"#]);
    assert_eq!(agent.metrics("skeg_git_pushes_total").await, [r#"skeg_git_pushes_total{remote="fleet",outcome="done"} 1"#]);
}
