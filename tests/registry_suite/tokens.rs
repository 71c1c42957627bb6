//! Tokens of a real token server, verified by a real registry: when they run out, and what one is good for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use skeg::adapters::clock::SystemClock;
use skeg::core::image::Repository;
use skeg::embedded::registry::Image;

use super::far::{Client, Far, TEAM, entry};
use super::push::{MANY, many_tag};
use super::robot;
use crate::support::agent::MovedClock;
use crate::support::gate::{Gate, Point};
use crate::support::registry::{Auth, Version};
use crate::support::token_service::Life;

/// Three pages.
const TAGS: usize = 256;
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn far() -> Option<Far> {
    Far::distribution(Version::Three { page_tags: 100 }, &Auth::Bearer(robot()))
}

/// Waits until the registry does not take this token any more.
async fn run_out(far: &Far, token: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v2/{MANY}/tags/list", far.host);
    while client.get(&url).bearer_auth(token).send().await.unwrap().status() != 401 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// RE-21. The token server says that its tokens last longer than they do, so it is the registry that tells.
#[tokio::test]
async fn a_token_that_runs_out_between_two_pages_is_renewed_once_and_the_listing_goes_on_there() {
    let Some(far) = far() else { return };
    far.fill_with_tags(TAGS).await;
    let gate = Gate::start(far.host.parse::<SocketAddr>().unwrap()).await;
    let (host, tokens) = (gate.address.to_string(), far.tokens.as_ref().unwrap());
    let reader = Client::of(entry(&host, Some(&robot())), Arc::new(SystemClock));
    let many = Repository::new(&host, MANY).unwrap();
    let given_before = tokens.given().len();
    tokens.give(Life { seconds: 4, told_seconds: 300 });
    let mut second_page = gate.hold(Point::Before, |request| request.path.contains("last="));
    let meanwhile = async {
        second_page.reached().await;
        run_out(&far, &tokens.given().last().unwrap().token).await;
        tokens.give(Life { seconds: 300, told_seconds: 300 });
        second_page.release();
    };
    let (tags, ()) = tokio::join!(reader.tags(&many, TEAM), meanwhile);
    assert_eq!(tags.unwrap(), (0..TAGS).map(many_tag).collect::<Vec<_>>());
    let (asked, token, first, refused, renewed, second, third) = ("401", "200", "200", "401", "200", "200", "200");
    assert_eq!(reader.answers(), [asked, token, first, refused, renewed, second, third]);
    let given: Vec<Vec<String>> = tokens.given().split_off(given_before).into_iter().map(|given| given.scopes).collect();
    assert_eq!(given, [[format!("repository:{MANY}:pull")], [format!("repository:{MANY}:pull")]]);
}

/// The registry takes a token for several repositories, and it is renewed before it runs out: nobody is refused.
#[tokio::test]
async fn one_token_is_good_for_several_repositories_and_is_renewed_before_its_end() {
    let Some(far) = far() else { return };
    let paths = ["team/a", "team/b", "team/c"];
    for path in paths {
        far.push(path, "1.0.0", &Image::new(path)).await;
    }
    let (clock, tokens) = (Arc::new(MovedClock::default()), far.tokens.as_ref().unwrap());
    let reader = Client::of(entry(&far.host, Some(&robot())), clock.clone());
    let mut given = tokens.given().len();
    let mut poll = async || {
        for path in paths {
            assert_eq!(reader.tags(&far.repository(path), TEAM).await.unwrap(), ["1.0.0"]);
        }
        let before = std::mem::replace(&mut given, tokens.given().len());
        tokens.given().split_off(before)
    };
    assert_eq!(poll().await.len(), 3, "which repositories there are is learned");
    reader.answers();
    for _ in 0..2 {
        assert_eq!(poll().await.len(), 0, "a token is kept");
        // They last for a minute, as the server says; the registry goes by its own clock.
        clock.move_on(SignedDuration::from_secs(51));
        let renewed = poll().await;
        assert_eq!((renewed.len(), renewed[0].scopes.len()), (1, 3), "{renewed:?}");
    }
    assert!(reader.answers().iter().all(|status| status == "200"), "nobody is refused");
}
