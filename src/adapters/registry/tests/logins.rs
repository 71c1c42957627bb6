//! Passwords and tokens, and when they are asked for.

use super::*;

#[tokio::test]
async fn a_password_is_sent_when_asked_for_and_from_then_on() {
    let bench = Bench::new(embedded::Access::Basic(Login::new("robot", "s3cret")), Some(("robot", "s3cret")));
    assert_eq!(bench.tags().await.unwrap().len(), 3);
    assert_eq!(bench.tags().await.unwrap().len(), 3);
    let sent: Vec<bool> = bench.registry.requests().iter().map(|request| request.has_authorization).collect();
    assert_eq!(sent, [false, true, true]);
}

#[tokio::test]
async fn a_wrong_password_and_a_namespace_without_grant_are_told_apart() {
    let bench = Bench::new(embedded::Access::Basic(Login::new("robot", "s3cret")), Some(("robot", "wr0ng")));
    let error = bench.tags().await.unwrap_err();
    let repository = bench.repository.to_string();
    assert_eq!(
        error,
        RegistryError::Unauthorized { repository: repository.clone(), detail: "answered 401 Unauthorized (UNAUTHORIZED)".to_owned() }
    );
    assert_eq!(bench.registry.requests().len(), 2, "a wrong password is not tried twice");
    assert_eq!(bench.client.access(&bench.repository, &Puller::of_namespace("other")), Access::Anonymous);
    let error = bench.client.tags(&bench.repository, &Access::Anonymous).await.unwrap_err();
    let detail = "asks for a login, and none is configured that this namespace may use".to_owned();
    assert_eq!(error, RegistryError::Unauthorized { repository, detail });
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_until_shortly_before_its_end() {
    let bench = Bench::new(bearer(Duration::from_mins(5)), Some(("robot", "s3cret")));
    assert_eq!(bench.tags().await.unwrap().len(), 3);
    assert!(bench.digest("1.0.0").await.unwrap().is_some());
    assert_eq!(bench.asked("/token"), 1);
    bench.clock.advance(Duration::from_secs(289));
    assert!(bench.digest("1.0.0").await.unwrap().is_some());
    assert_eq!(bench.asked("/token"), 1);
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.digest("1.0.0").await.unwrap().is_some());
    assert_eq!(bench.asked("/token"), 2);
}

#[tokio::test]
async fn one_token_serves_the_repositories_of_a_registry() {
    let bench = Bench::new(bearer(Duration::from_mins(5)), Some(("robot", "s3cret")));
    let repositories: Vec<Repository> =
        (0..5).map(|number| Repository::new(bench.repository.registry(), &format!("team/app{number}")).unwrap()).collect();
    for repository in &repositories {
        bench.registry.push_image(repository.path(), "1.0.0", &Image::new("1.0.0")).unwrap();
    }
    let poll = async || {
        for repository in &repositories {
            assert_eq!(bench.client.tags(repository, &bench.access()).await.unwrap().len(), 1);
        }
    };
    poll().await;
    assert_eq!(bench.asked("/token"), 5, "which repositories there are is learned");
    for round in 1..4 {
        bench.clock.advance(Duration::from_secs(290));
        poll().await;
        assert_eq!(bench.asked("/token"), 5 + round);
    }
    let lists = bench.registry.requests().iter().filter(|request| request.path.contains("/tags/list")).count();
    assert_eq!(lists, 4 * 5 + 5, "only the first time is a challenge asked for");
}

/// A token server that takes one scope only is asked for one at a time.
#[tokio::test]
async fn a_token_server_that_takes_one_scope_is_not_asked_for_more_again_and_again() {
    let server = Scripted::start(|head| {
        let target = head.split(' ').nth(1).unwrap();
        if target.starts_with("/token") {
            let is_for_one = target.matches("scope=").count() == 1;
            let granted = r#"{"token":"t","expires_in":1}"#;
            return if is_for_one { answer("200 OK", &[], granted) } else { answer("400 Bad Request", &[], "") };
        }
        if head.to_lowercase().contains("authorization: bearer t") {
            return answer("200 OK", &[], r#"{"tags":["1.0.0"]}"#);
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        answer("401 Unauthorized", &[&format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"")], "")
    })
    .await;
    let host = server.address().to_string();
    let (client, clock, _) = client_for(&host, Some(RegistryAuth::Basic("robot".to_owned(), "canary".to_owned())));
    let [repository, other] = ["team/app", "team/other"].map(|path| Repository::new(&host, path).unwrap());
    let access = client.access(&repository, &Puller::of_namespace("team"));
    for asked in [&repository, &other, &repository, &other] {
        client.tags(asked, &access).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    let several = server.heads().iter().filter(|head| head.starts_with("get /token") && head.matches("scope=").count() > 1).count();
    assert_eq!(several, 1);
}

#[tokio::test]
async fn questions_at_once_share_one_token() {
    let bench = Bench::new(bearer(Duration::from_mins(5)), Some(("robot", "s3cret")));
    let questions = (0..10).map(|_| bench.digest("1.0.0"));
    for digest in futures::future::join_all(questions).await {
        assert!(digest.unwrap().is_some());
    }
    assert_eq!(bench.asked("/token"), 1);
}

/// RE-21.
#[tokio::test]
async fn a_token_that_ends_between_two_pages_is_renewed_and_the_listing_goes_on() {
    let bench = Bench::new(bearer(Duration::from_mins(5)), Some(("robot", "s3cret")));
    bench.push_many(2500);
    bench.registry.fail_next(Matcher::of(Operation::Tags).after(1), Fault::RevokeTokens);
    assert_eq!(bench.tags().await.unwrap().len(), 2503);
    assert_eq!(bench.asked("/token"), 2);
    assert_eq!(bench.asked("/tags/list"), 5, "the first and the second page were asked for twice");
}

#[tokio::test]
async fn a_token_that_is_never_accepted_is_not_fetched_for_ever() {
    let (server, client, repository) = scripted(|head| {
        if head.starts_with("GET /token") {
            return answer("200 OK", &[], r#"{"token":"t","expires_in":300}"#);
        }
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\",error=\"invalid_token\"");
        answer("401 Unauthorized", &[&challenge], "")
    })
    .await;
    let access = client.access(&repository, &Puller::of_namespace("team"));
    for _ in 0..2 {
        let error = client.tags(&repository, &access).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    }
    let tokens = server.heads().iter().filter(|head| head.starts_with("get /token")).count();
    assert!(tokens <= 2, "{tokens} tokens for two listings");
}

#[tokio::test]
async fn a_refused_login_at_the_token_server_is_told_without_the_login() {
    let bench = Bench::new(bearer(Duration::from_mins(5)), Some(("robot", "wr0ng")));
    let error = bench.tags().await.unwrap_err().to_string();
    let host = bench.repository.registry();
    assert_eq!(error, format!("{host}/team/app: not authorised: the token server {host} answered 401 Unauthorized (UNAUTHORIZED)"));
}

#[tokio::test]
async fn a_token_server_that_is_not_reached_over_https_gets_no_login() {
    // The registry itself is secure as far as its entry goes; only the challenge is looked at here.
    let (server, client, repository) = scripted(|_| answer("200 OK", &[], r#"{"token":"t"}"#)).await;
    let mut target = client.target(&repository, &Access::Configured(0)).unwrap();
    target.host.insecure = false;
    let mut headers = http::HeaderMap::new();
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", server.address());
    headers.insert(http::header::WWW_AUTHENTICATE, challenge.parse().unwrap());
    let authorization = client.auth.after_challenge(&client, &target, request::Purpose::Tags, &headers, None).await;
    assert!(matches!(authorization, Err(RegistryError::Unauthorized { detail, .. }) if detail.contains("https")));
    assert_eq!(server.heads().len(), 0);
}

#[tokio::test]
async fn a_rotated_password_is_used_at_once() {
    let bench = Bench::new(embedded::Access::Basic(Login::new("robot", "new")), None);
    let host = bench.repository.registry();
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let credential: CredentialProvider = Arc::new(move || {
        let password = if counted.fetch_add(1, Ordering::Relaxed) == 0 { "old" } else { "new" };
        Ok(RegistryAuth::Basic("robot".to_owned(), password.to_owned()))
    });
    let entry =
        RegistryEntry { insecure: true, namespaces: vec!["*".to_owned()], credential: Some(credential), ..RegistryEntry::new(host) };
    let client = RegistryClient::new(vec![entry], Arc::new(HandClock::default()), Arc::new(|_, _| {})).unwrap();
    assert!(client.tags(&bench.repository, &Access::Configured(0)).await.is_err());
    assert!(client.tags(&bench.repository, &Access::Configured(0)).await.is_ok());
}

#[tokio::test]
async fn a_login_that_cannot_be_read_is_told() {
    let bench = Bench::new(embedded::Access::Basic(Login::new("robot", "s3cret")), None);
    let credential: CredentialProvider = Arc::new(|| Err("/run/secrets/hub: no such file".to_owned()));
    let entry = RegistryEntry {
        insecure: true,
        namespaces: vec!["*".to_owned()],
        credential: Some(credential),
        ..RegistryEntry::new(bench.repository.registry())
    };
    let client = RegistryClient::new(vec![entry], Arc::new(HandClock::default()), Arc::new(|_, _| {})).unwrap();
    let error = client.tags(&bench.repository, &Access::Configured(0)).await.unwrap_err().to_string();
    assert!(error.ends_with("the login cannot be read: /run/secrets/hub: no such file"), "{error}");
}
