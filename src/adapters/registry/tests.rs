//! The client against registries that work, and against servers that do not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::hand_clock::HandClock;
use super::*;
use crate::adapters::fetch::scripted::{Scripted, answer};
use crate::embedded::registry::{self as embedded, EmbeddedRegistry, Fault, Image, Login, Matcher, Operation};

/// A registry with a client that is configured for it.
struct Bench {
    registry: EmbeddedRegistry,
    client: RegistryClient,
    clock: Arc<HandClock>,
    requests: Arc<Mutex<Vec<String>>>,
    repository: Repository,
}

impl Bench {
    fn new(access: embedded::Access, login: Option<(&str, &str)>) -> Self {
        let registry = EmbeddedRegistry::start(access).unwrap();
        let host = registry.address().to_string();
        for version in ["1.0.0", "1.1.0", "2.0.0"] {
            registry.push_image("team/app", version, &Image::new(version)).unwrap();
        }
        let login = login.map(|(user, password)| RegistryAuth::Basic(user.to_owned(), password.to_owned()));
        let (client, clock, requests) = client_for(&host, login);
        let repository = Repository::new(&host, "team/app").unwrap();
        Self { registry, client, clock, requests, repository }
    }

    fn open() -> Self {
        Self::new(embedded::Access::Anonymous, None)
    }

    fn access(&self) -> Access {
        self.client.access(&self.repository, &Puller::of_namespace("team"))
    }

    async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        let tags = self.client.tags(&self.repository, &self.access()).await?;
        Ok(tags.iter().map(Tag::to_string).collect())
    }

    async fn digest(&self, tag: &str) -> Result<Option<String>, RegistryError> {
        let digest = self.client.digest(&self.repository, &tag.parse().unwrap(), &self.access()).await?;
        Ok(digest.map(|digest| digest.to_string()))
    }

    fn push_many(&self, count: usize) {
        let digest = self.registry.digest_of("team/app", "1.0.0").unwrap();
        for number in 0..count {
            self.registry.retag("team/app", &format!("0.{number}.0"), &digest).unwrap();
        }
    }

    fn asked(&self, operation: &str) -> usize {
        self.registry.requests().iter().filter(|request| request.path.contains(operation)).count()
    }
}

fn client_for(host: &str, login: Option<RegistryAuth>) -> (RegistryClient, Arc<HandClock>, Arc<Mutex<Vec<String>>>) {
    let clock = Arc::new(HandClock::default());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let entry = RegistryEntry {
        insecure: true,
        namespaces: vec!["team".to_owned()],
        credential: login.map(|login| Arc::new(move || Ok(login.clone())) as CredentialProvider),
        ..RegistryEntry::new(host)
    };
    let observer: Observer = Arc::new(move |host, what| {
        let what = match what {
            Seen::Answer(status) => status.to_owned(),
            Seen::Wait(waited) => format!("waited {waited:?}"),
        };
        seen.lock().unwrap().push(format!("{host} {what}"));
    });
    let client = RegistryClient::new(vec![entry], Arc::clone(&clock) as Arc<dyn Clock>, observer).unwrap();
    (client, clock, requests)
}

async fn scripted(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (Scripted, RegistryClient, Repository) {
    let server = Scripted::start(script).await;
    let host = server.address().to_string();
    let (client, _, _) = client_for(&host, Some(RegistryAuth::Basic("robot".to_owned(), "canary".to_owned())));
    (server, client, Repository::new(&host, "team/app").unwrap())
}

fn bearer(token_life: Duration) -> embedded::Access {
    embedded::Access::Bearer { login: Login::new("robot", "s3cret"), anonymous_pull: false, token_life }
}

fn is_malformed<T: std::fmt::Debug>(result: &Result<T, RegistryError>, detail: &str) -> bool {
    matches!(result, Err(RegistryError::Malformed { detail: found, .. }) if found.contains(detail))
}

#[tokio::test]
async fn tags_and_digests_are_read() {
    let bench = Bench::open();
    assert_eq!(bench.tags().await.unwrap(), ["1.0.0", "1.1.0", "2.0.0"]);
    assert_eq!(bench.digest("1.1.0").await.unwrap(), bench.registry.digest_of("team/app", "1.1.0"));
    let index = bench.registry.push_index("team/app", "3.0.0", &[("amd64", Image::new("a")), ("arm64", Image::new("b"))]).unwrap();
    assert_eq!(bench.digest("3.0.0").await.unwrap(), Some(index));
    assert_eq!(bench.digest("9.9.9").await.unwrap(), None);
    let host = bench.repository.registry();
    assert_eq!(*bench.requests.lock().unwrap(), ["200", "200", "200", "404"].map(|status| format!("{host} {status}")));
}

#[tokio::test]
async fn every_page_is_read() {
    let bench = Bench::open();
    bench.push_many(2500);
    assert_eq!(bench.tags().await.unwrap().len(), 2503);
    assert_eq!(bench.asked("/tags/list"), 3);
}

#[tokio::test]
async fn an_unknown_repository_is_told_from_an_empty_one() {
    let (_server, client, repository) = scripted(|_| answer("404 Not Found", &[], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#)).await;
    let tags = client.tags(&repository, &Access::Anonymous).await;
    assert_eq!(tags, Err(RegistryError::NotFound { repository: repository.to_string() }));
    let (_server, client, repository) = scripted(|_| answer("200 OK", &[], r#"{"name":"team/app","tags":null}"#)).await;
    assert_eq!(client.tags(&repository, &Access::Anonymous).await, Ok(Vec::new()));
}

/// RE-08, for `Link`.
#[tokio::test]
async fn a_next_page_at_another_origin_is_an_error_and_is_not_asked_for() {
    let bench = Bench::new(embedded::Access::Basic(Login::new("robot", "s3cret")), Some(("robot", "s3cret")));
    let other = Scripted::start(|_| answer("200 OK", &[], r#"{"tags":["9.9.9"]}"#)).await;
    let downgraded = format!("https://{}/v2/team/app/tags/list", bench.repository.registry());
    for foreign in [format!("http://{}/v2/team/app/tags/list?last=1", other.address()), downgraded] {
        bench.registry.fail_next(Matcher::of(Operation::Tags), Fault::ForeignLink(foreign));
        let tags = bench.tags().await;
        assert!(is_malformed(&tags, "page 1 of the tag list links to another origin"), "{tags:?}");
    }
    assert_eq!(other.heads().len(), 0);
}

/// RE-08, for redirects; which headers would go along is shown at the HTTP client.
#[tokio::test]
async fn a_redirect_to_another_origin_carries_no_login() {
    let other = Scripted::start(|_| answer("200 OK", &[], r#"{"tags":["9.9.9"]}"#)).await;
    let bench = Bench::new(embedded::Access::Basic(Login::new("robot", "s3cret")), Some(("robot", "s3cret")));
    bench.registry.fail_next(Matcher::of(Operation::Tags), Fault::Redirect(format!("http://{}/", other.address())));
    assert!(bench.tags().await.is_err());
    assert_eq!(other.heads().len(), 0);
}

/// RE-09.
#[tokio::test]
async fn what_is_no_tag_list_is_a_typed_error_and_no_empty_list() {
    let bench = Bench::open();
    let nested = format!(r#"{{"tags":{}"#, "[".repeat(1 << 20));
    for (fault, detail) in [
        (Fault::Html, "is not JSON"),
        (Fault::Body(Bytes::from_static(br#"{"name":"a","tags":["1.0"#)), "ends in the middle"),
        (Fault::Body(Bytes::from_static(br#"{"name":"a","tags":{"1.0.0":{}}}"#)), "is no tag list"),
        (Fault::Body(Bytes::from_static(br#"{"name":"a"}"#)), "is no tag list"),
        (Fault::Body(Bytes::from(nested)), "is no tag list"),
    ] {
        bench.registry.fail_next(Matcher::of(Operation::Tags), fault.clone());
        let tags = bench.tags().await;
        assert!(is_malformed(&tags, detail), "{fault:.60?}: {tags:?}");
    }
    bench.registry.fail_next(Matcher::of(Operation::Tags), Fault::TruncatedBody(20));
    assert!(matches!(bench.tags().await, Err(RegistryError::Unreachable { .. })));
    assert_eq!(bench.tags().await.unwrap().len(), 3, "it is asked again as if nothing had been");
}

/// RE-10.
#[tokio::test]
async fn a_page_that_fails_fails_the_listing() {
    let bench = Bench::open();
    bench.push_many(1500);
    let second = || Matcher::of(Operation::Tags).after(1);
    bench.registry.fail_next(second(), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let detail = "answered 500 Internal Server Error".to_owned();
    assert_eq!(bench.tags().await, Err(RegistryError::Unreachable { host: bench.repository.registry().to_owned(), detail }));
    bench.registry.fail_next(second(), Fault::status(StatusCode::NOT_FOUND));
    assert!(is_malformed(&bench.tags().await, "page 2 of the tag list is missing"));
    bench.registry.fail_next(second(), Fault::Html);
    assert!(is_malformed(&bench.tags().await, "page 2 of the tag list is not JSON"));
}

/// RE-12.
#[tokio::test]
async fn names_that_are_no_tags_do_not_get_in() {
    let bench = Bench::open();
    let hostile = ["$(id)", "a\nb", "../x", "{{ x }}", "- a: b", "a;b", "`x`", &"a".repeat(129)].map(str::to_owned).to_vec();
    bench.registry.fail_next(Matcher::of(Operation::Tags), Fault::ExtraTags(hostile));
    assert_eq!(bench.tags().await.unwrap(), ["1.0.0", "1.1.0", "2.0.0"]);
}

/// RE-05.
#[tokio::test]
async fn a_compressed_bomb_stops_at_the_cap() {
    let bench = Bench::open();
    bench.registry.fail_next(Matcher::of(Operation::Tags), Fault::GzipBomb { decoded_bytes: 10 << 30 });
    assert!(is_malformed(&bench.tags().await, "larger than 16777216 bytes"));
}

/// A server whose tag list has a mark, and the client of it.
async fn marked(names: usize, headers: &'static [&'static str]) -> (Scripted, RegistryClient, Repository) {
    let names: Vec<String> = (0..names).map(|number| format!("\"1.0.{number}\"")).collect();
    let body = format!(r#"{{"tags":[{}]}}"#, names.join(","));
    scripted(move |head| {
        let is_known = head.to_lowercase().contains("if-none-match: w/\"7\"");
        if is_known { answer("304 Not Modified", headers, "") } else { answer("200 OK", headers, &body) }
    })
    .await
}

fn mark() -> ListMark {
    ListMark::new("W/\"7\"").unwrap()
}

#[tokio::test]
async fn an_unchanged_list_is_not_sent_again_to_who_knows_it() {
    let (server, client, repository) = marked(3, &["ETag: W/\"7\""]).await;
    let list = async |known: Option<ListMark>| client.tags_unless(&repository, &Access::Anonymous, known.as_ref()).await.unwrap();
    let TagList::Whole(tags, Some(given)) = list(None).await else { panic!("the list comes with a mark") };
    assert_eq!((tags.len(), &given), (3, &mark()));
    assert_eq!(list(Some(given)).await, TagList::Unchanged);
    assert_eq!(client.tags(&repository, &Access::Anonymous).await.unwrap().len(), 3, "who does not know it gets it");
    let asked_with = server.heads().iter().filter(|head| head.contains("if-none-match")).count();
    assert_eq!((server.heads().len(), asked_with), (3, 1));
}

/// A mark is for one answer. What may be more than that is listed as ever.
#[tokio::test]
async fn a_mark_is_taken_only_of_a_list_that_is_one_page_beyond_doubt() {
    for (names, headers) in
        [(3, &[][..]), (3, &["ETag: none"][..]), (10, &["ETag: W/\"7\""][..]), (100, &["ETag: W/\"7\""][..]), (0, &["ETag: W/\"7\""][..])]
    {
        let (_server, client, repository) = marked(names, headers).await;
        let list = client.tags_unless(&repository, &Access::Anonymous, None).await;
        assert!(matches!(list, Ok(TagList::Whole(_, None))), "{names} names, {headers:?}: {list:?}");
    }
    let (_server, client, repository) = scripted(|head| {
        let link = if head.contains("last=") { "X: y" } else { "Link: </v2/team/app/tags/list?last=1>; rel=\"next\"" };
        answer("200 OK", &["ETag: W/\"7\"", link], r#"{"tags":["1"]}"#)
    })
    .await;
    let list = client.tags_unless(&repository, &Access::Anonymous, None).await;
    assert!(matches!(list, Ok(TagList::Whole(_, None))), "two pages: {list:?}");
    let (_server, client, repository) = scripted(|head| {
        let is_moved = head.starts_with("GET /moved");
        if is_moved { answer("200 OK", &["ETag: W/\"7\""], r#"{"tags":["1"]}"#) } else { answer("307 Moved", &["Location: /moved"], "") }
    })
    .await;
    let list = client.tags_unless(&repository, &Access::Anonymous, None).await;
    assert!(matches!(list, Ok(TagList::Whole(_, None))), "what is redirected may be so to another place next time: {list:?}");
}

#[tokio::test]
async fn not_modified_is_believed_only_of_the_whole_list_and_only_where_it_was_asked() {
    let (server, client, repository) = marked(3, &["ETag: W/\"7\"", "Link: </v2/team/app/tags/list?last=1.0.2&n=3>; rel=\"next\""]).await;
    // The page is as it was, and another one has come after it; that one leads nowhere new.
    let list = client.tags_unless(&repository, &Access::Anonymous, Some(&mark())).await;
    assert!(is_malformed(&list, "circle"), "{list:?}");
    assert!(server.heads().len() > 2, "the list was asked for without the mark");
    let (_server, client, repository) = scripted(|_| answer("304 Not Modified", &[], "")).await;
    assert!(is_malformed(&client.tags(&repository, &Access::Anonymous).await, "answered 304"));
}

/// Some registries cut the list where they are asked to, and do not link to the rest. Which kind one is costs one question.
#[tokio::test]
async fn a_page_that_is_as_long_as_asked_for_and_leads_nowhere_is_the_last_only_where_others_are_told_of() {
    fn asked(head: &str, word: &str) -> Option<usize> {
        let rest = head.split(word).nth(1)?;
        rest[..rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
    }
    fn page(names: std::ops::Range<usize>, headers: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.map(|number| format!("\"1.0.{number:04}\"")).collect();
        answer("200 OK", headers, &format!(r#"{{"tags":[{}]}}"#, names.join(",")))
    }
    let check = async |client: &RegistryClient, repository: &Repository, server: &Scripted, tags: usize, requests: usize| {
        assert_eq!(client.tags(repository, &Access::Anonymous).await.unwrap().len(), tags);
        assert_eq!(server.heads().len(), requests);
    };
    let (server, client, repository) = scripted(move |head| {
        let first = asked(head, "last=1.0.").map_or(0, |last| last + 1);
        page(first..2500.min(first + asked(head, "n=").unwrap()), &[])
    })
    .await;
    check(&client, &repository, &server, 2500, 4).await;
    check(&client, &repository, &server, 2500, 7).await;
    // Everything at once, whatever is asked for, and it happens to be that many.
    let (server, client, repository) = scripted(move |_| page(0..1000, &[])).await;
    check(&client, &repository, &server, 1000, 2).await;
    check(&client, &repository, &server, 1000, 3).await;
    // The list ends with the page, and the registry would tell if it did not.
    let (server, client, repository) = scripted(move |head| match asked(head, "n=").unwrap() {
        1 => page(0..1, &["Link: </v2/team/app/tags/list?last=1.0.0000&n=1>; rel=\"next\""]),
        _ => page(0..1000, &[]),
    })
    .await;
    check(&client, &repository, &server, 1000, 2).await;
    check(&client, &repository, &server, 1000, 3).await;
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_end() {
    let (server, client, repository) = scripted(|head| {
        let next = if head.contains("last=b") { "a" } else { "b" };
        let link = format!("Link: </v2/team/app/tags/list?last={next}>; rel=\"next\"");
        answer("200 OK", &[&link], r#"{"tags":["1.0.0"]}"#)
    })
    .await;
    assert!(is_malformed(&client.tags(&repository, &Access::Anonymous).await, "circle"));
    assert_eq!(server.heads().len(), 3);
}

#[tokio::test]
async fn a_page_longer_than_asked_for_is_fine() {
    let all: Vec<String> = (0..100_000).map(|number| format!("\"1.0.{number}\"")).collect();
    let body = format!(r#"{{"name":"team/app","tags":[{}]}}"#, all.join(","));
    let (_server, client, repository) = scripted(move |_| answer("200 OK", &[], &body)).await;
    assert_eq!(client.tags(&repository, &Access::Anonymous).await.unwrap().len(), 100_000);
}

/// RE-01.
#[tokio::test]
async fn a_rate_limit_is_kept_for_its_host_alone() {
    let bench = Bench::open();
    bench.registry.fail_next(Matcher::any(), Fault::too_many_requests(70));
    let limited = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        Err(RegistryError::RateLimited { host: bench.repository.registry().to_owned(), retry_after })
    };
    assert_eq!(bench.tags().await, limited(70));
    bench.clock.advance(Duration::from_secs(30));
    assert_eq!(bench.tags().await, limited(40), "nothing is sent before the time");
    assert_eq!(bench.registry.requests().len(), 1);
    bench.clock.advance(Duration::from_secs(40));
    assert_eq!(bench.tags().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_short_rate_limit_in_the_middle_of_a_listing_is_waited_out() {
    let bench = Bench::open();
    bench.push_many(1500);
    bench.registry.fail_next(Matcher::of(Operation::Tags).after(1), Fault::too_many_requests(7));
    let time_goes_by = async {
        loop {
            tokio::task::yield_now().await;
            bench.clock.advance(Duration::from_millis(10));
        }
    };
    let tags = tokio::select! {
        tags = bench.tags() => tags,
        () = time_goes_by => unreachable!("it goes by for ever"),
    };
    assert_eq!(tags.unwrap().len(), 1503);
    assert_eq!(bench.registry.requests().len(), 3);
    let seen = bench.requests.lock().unwrap();
    assert_eq!(seen.iter().filter(|seen| seen.contains(" waited ")).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_registry_in_trouble_or_out_of_reach_is_unreachable() {
    let bench = Bench::open();
    for fault in [Fault::status(StatusCode::BAD_GATEWAY), Fault::CloseConnection] {
        bench.registry.fail_next(Matcher::any(), fault);
        assert!(matches!(bench.tags().await, Err(RegistryError::Unreachable { .. })));
    }
    bench.registry.stop();
    let error = bench.tags().await.unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
    assert!(bench.requests.lock().unwrap().last().unwrap().ends_with(" unreachable"));
}

#[tokio::test]
async fn a_host_that_the_configuration_does_not_name_is_not_reached_at_loopback() {
    let bench = Bench::open();
    let (stranger, _, requests) = client_for("registry.test", None);
    let error = stranger.tags(&bench.repository, &Access::Anonymous).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unreachable { detail, .. } if detail.contains("loopback")), "{error}");
    assert_eq!(bench.registry.requests().len(), 0);
    assert_eq!(*requests.lock().unwrap(), ["other unreachable"]);
}

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

#[tokio::test]
async fn an_index_names_its_manifests_and_an_image_is_no_index() {
    let bench = Bench::open();
    let digest = bench.registry.push_index("team/app", "3.0.0", &[("amd64", Image::new("a")), ("arm64", Image::new("b"))]).unwrap();
    let read = |digest: String| {
        let bench = &bench;
        async move { bench.client.index(&bench.repository, &digest.parse().unwrap(), &bench.access()).await }
    };
    let manifests = ["amd64", "arm64"].map(|architecture| {
        let content = if architecture == "amd64" { "a" } else { "b" };
        Image::new(content).architecture(architecture).build().digest().parse().unwrap()
    });
    let expected = ImageIndex { digest: digest.parse().unwrap(), manifests: manifests.into() };
    assert_eq!(read(digest).await.unwrap(), Some(expected));
    assert_eq!(read(bench.registry.digest_of("team/app", "1.0.0").unwrap()).await.unwrap(), None);
    assert_eq!(read(format!("sha256:{}", "0".repeat(64))).await.unwrap(), None);
}

#[tokio::test]
async fn the_attestations_in_an_index_are_left_out() {
    let [image, attestation] = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    let body = format!(
        r#"{{"schemaVersion":2,"manifests":[
            {{"digest":"{image}","platform":{{"os":"linux","architecture":"amd64"}}}},
            {{"digest":"{attestation}","platform":{{"os":"unknown","architecture":"unknown"}}}}]}}"#
    );
    let digest = sha256(&body);
    let (_server, client, repository) =
        scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], &body)).await;
    let index = client.index(&repository, &digest, &Access::Anonymous).await.unwrap().unwrap();
    assert_eq!(index.manifests, [image.parse().unwrap()]);
}

#[tokio::test]
async fn an_index_that_is_not_the_one_asked_for_is_refused() {
    let body = r#"{"schemaVersion":2,"manifests":[]}"#;
    let (_server, client, repository) =
        scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], body)).await;
    let digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let index = client.index(&repository, &digest, &Access::Anonymous).await;
    assert!(is_malformed(&index, "not the one that its digest names"), "{index:?}");
}

#[tokio::test]
async fn the_build_time_is_that_of_the_configuration_and_is_read_once() {
    let bench = Bench::open();
    let image = |architecture: &str, created: &str| Image::new(created).architecture(architecture).created(created);
    let images = [("amd64", image("amd64", "2026-02-03T04:05:06Z")), ("arm64", image("arm64", "2026-02-03T04:06:00Z"))];
    let index = bench.registry.push_index("team/app", "3.0.0", &images).unwrap();
    let vague = bench.registry.push_image("team/app", "vague", &Image::new("vague").created("yesterday")).unwrap();
    for (digest, expected, requests) in [(&index, Some("2026-02-03T04:05:06Z"), 3), (&vague, None, 2)] {
        bench.registry.clear_requests();
        for _ in 0..3 {
            let built = bench.client.built(&bench.repository, &digest.parse().unwrap(), &bench.access()).await.unwrap();
            assert_eq!(built, expected.map(|time| time.parse().unwrap()));
        }
        assert_eq!(bench.asked("/team/app/"), requests, "{digest}");
    }
}

async fn platforms(bench: &Bench, digest: &str) -> Result<String, RegistryError> {
    let read = bench.client.platforms(&bench.repository, &digest.parse().unwrap(), &bench.access()).await?;
    Ok(read.map_or_else(|| "does not say".to_owned(), |platforms| platforms.to_string()))
}

#[tokio::test]
async fn an_index_says_for_which_platforms_it_is_and_an_image_in_its_configuration_each_read_once() {
    let bench = Bench::open();
    let images = ["amd64", "arm64"].map(|architecture| (architecture, Image::new(architecture).architecture(architecture)));
    let index = bench.registry.push_index("team/app", "3.0.0", &images).unwrap();
    let alone = bench.registry.push_image("team/app", "4.0.0", &Image::new("b").architecture("aarch64")).unwrap();
    let vague = bench.registry.push_image("team/app", "vague", &Image::new("c").architecture("")).unwrap();
    for (digest, expected, requests) in
        [(&index, "linux/amd64 and linux/arm64", 1), (&alone, "linux/arm64", 2), (&vague, "does not say", 2)]
    {
        bench.registry.clear_requests();
        for _ in 0..3 {
            assert_eq!(platforms(&bench, digest).await.unwrap(), expected);
        }
        assert_eq!(bench.asked("/team/app/"), requests, "{digest}");
    }
    bench.registry.fail_next(Matcher::of(Operation::Blob), Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let other = bench.registry.push_image("team/app", "5.0.0", &Image::new("d")).unwrap();
    assert!(matches!(platforms(&bench, &other).await, Err(RegistryError::Unreachable { .. })));
    let missing = platforms(&bench, &format!("sha256:{}", "0".repeat(64))).await;
    assert!(is_malformed(&missing, "no manifest"), "{missing:?}");
    assert_eq!(platforms(&bench, &other).await.unwrap(), "linux/amd64", "an error is not remembered");
}

#[tokio::test]
async fn the_annotations_of_an_index_win_then_those_of_its_image_then_labels_each_read_once() {
    let key = |name: &str| format!("org.opencontainers.image.{name}");
    let image = Image::new("a").label(key("source"), "https://github.com/acme/web").label(key("revision"), "of the label").build();
    let annotated = |body: &[u8], annotations: &[(&str, &str)]| {
        let mut manifest: serde_json::Value = serde_json::from_slice(body).unwrap();
        manifest["annotations"] =
            annotations.iter().map(|(name, value)| (key(name), (*value).into())).collect::<serde_json::Map<_, _>>().into();
        manifest.to_string()
    };
    let manifest = annotated(&image.manifest, &[("revision", "of the manifest"), ("version", "of the manifest")]);
    let index = annotated(&embedded::index(&[("amd64", manifest.clone().into())]), &[("version", "of the index"), ("created", "no\nw")]);
    let digest = sha256(&index);
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, of_index) = (Arc::clone(&asked), digest.to_string());
    let (_server, client, repository) = scripted(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        let line = request.lines().next().unwrap_or_default();
        if line.contains("/blobs/") {
            answer("200 OK", &["Content-Type: application/octet-stream"], std::str::from_utf8(&image.config).unwrap())
        } else if line.contains(&of_index) {
            answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], &index)
        } else {
            answer("200 OK", &["Content-Type: application/vnd.oci.image.manifest.v1+json"], &manifest)
        }
    })
    .await;
    for _ in 0..2 {
        let labels = client.labels(&repository, &digest, &Access::Anonymous).await.unwrap();
        assert_eq!(labels.source.as_deref(), Some("https://github.com/acme/web"));
        assert_eq!((labels.revision.as_deref(), labels.version.as_deref()), (Some("of the manifest"), Some("of the index")));
        assert_eq!(labels.created, None);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn attestations_and_variants_do_not_count_and_a_part_that_does_not_say_leaves_all_unknown() {
    let entry = |digit: &str, platform: &str| format!(r#"{{"digest":"sha256:{}"{platform}}}"#, digit.repeat(64));
    let of = |os: &str, architecture: &str| format!(r#","platform":{{"os":"{os}","architecture":"{architecture}","variant":"v8"}}"#);
    let said = [entry("1", &of("linux", "arm64")), entry("2", &of("windows", "amd64")), entry("3", &of("unknown", "unknown"))];
    let unsaid = [entry("1", &of("linux", "arm64")), entry("2", "")];
    for (entries, expected) in [(said.join(","), Some("linux/arm64 and windows/amd64")), (unsaid.join(","), None), (String::new(), None)] {
        let body = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        let digest = sha256(&body);
        let (_server, client, repository) =
            scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], &body)).await;
        let read = client.platforms(&repository, &digest, &Access::Anonymous).await.unwrap();
        assert_eq!(read.map(|platforms| platforms.to_string()).as_deref(), expected);
    }
}

/// What one registry does not have says nothing of the image, which another may have.
#[tokio::test]
async fn what_is_missing_is_not_remembered_as_saying_nothing() {
    let bench = Bench::open();
    let digest: Digest =
        bench.registry.push_image("team/app", "3.0.0", &Image::new("a").created("2026-02-03T04:05:06Z")).unwrap().parse().unwrap();
    let built = async || bench.client.built(&bench.repository, &digest, &bench.access()).await;
    for (operation, part) in [(Operation::Manifest, "no manifest"), (Operation::Blob, "no image configuration")] {
        bench.registry.fail_next(Matcher::of(operation), Fault::status(StatusCode::NOT_FOUND));
        let missing = built().await;
        assert!(is_malformed(&missing, part), "{missing:?}");
    }
    assert_eq!(built().await, Ok(Some("2026-02-03T04:05:06Z".parse().unwrap())));
}

#[tokio::test]
async fn the_annotation_of_a_manifest_says_when_it_was_built() {
    let body = r#"{"schemaVersion":2,"manifests":[],"annotations":{"org.opencontainers.image.created":"2026-02-03T04:05:06+02:00"}}"#;
    let (_server, client, repository) =
        scripted(move |_| answer("200 OK", &["Content-Type: application/vnd.oci.image.index.v1+json"], body)).await;
    let built = client.built(&repository, &sha256(body), &Access::Anonymous).await;
    assert_eq!(built, Ok(Some("2026-02-03T02:05:06Z".parse().unwrap())));
    let other = client.built(&repository, &sha256("another"), &Access::Anonymous).await;
    assert!(is_malformed(&other, "not the one that its digest names"), "{other:?}");
}

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
const MANIFEST_DIGEST: &str = "sha256:0b63c2f0ba32e7ee4ac5f7c6ac5ee9a5a2fcdf4b0f5e1bd1b9b6f5d1a2c3d4e5";

fn sha256(content: &str) -> Digest {
    use sha2::{Digest as _, Sha256};
    format!("sha256:{}", hex::encode(Sha256::digest(content))).parse().unwrap()
}

#[tokio::test]
async fn without_a_digest_in_the_headers_the_manifest_itself_is_hashed() {
    const TYPE: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";
    let tag: Tag = "1.0.0".parse().unwrap();
    for status_of_head in ["200 OK", "405 Method Not Allowed", "501 Not Implemented"] {
        let (_server, client, repository) = scripted(move |head| {
            let is_head = head.starts_with("HEAD");
            let digest = format!("Docker-Content-Digest: {}", if is_head { "nonsense" } else { MANIFEST_DIGEST });
            if is_head { answer(status_of_head, &[TYPE, &digest], "") } else { answer("200 OK", &[TYPE, &digest], MANIFEST) }
        })
        .await;
        assert_eq!(client.digest(&repository, &tag, &Access::Anonymous).await, Ok(Some(sha256(MANIFEST))));
    }
}

#[tokio::test]
async fn what_is_no_manifest_has_no_digest() {
    let tag: Tag = "1.0.0".parse().unwrap();
    for (content_type, body) in [
        ("text/html", "<!doctype html>"),
        ("application/vnd.oci.image.manifest.v1+json", "<!doctype html>"),
        ("application/vnd.oci.image.manifest.v1+json", r#"{"schemaVersion":1}"#),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion":1}"#),
    ] {
        let header = format!("Content-Type: {content_type}");
        let (_server, client, repository) = scripted(move |_| answer("200 OK", &[&header], body)).await;
        let digest = client.digest(&repository, &tag, &Access::Anonymous).await;
        assert!(matches!(digest, Err(RegistryError::Malformed { .. })), "{content_type} {body}: {digest:?}");
    }
}
