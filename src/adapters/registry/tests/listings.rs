//! What is a whole list of tags, and what is none.

use super::*;

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

/// RE-08, for redirects; what goes along to an address that may be reached is shown at the HTTP client.
#[tokio::test]
async fn a_redirect_to_another_origin_on_this_machine_is_not_followed() {
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
