//! What is to be so at every registry.

use std::fs;

use skeg::adapters::registry::Greeting;
use skeg::core::image::{Digest, Repository, Tag};
use skeg::core::rollout::ImageIndex;
use skeg::core::workload::Puller;
use skeg::embedded::registry::{Image, Login};
use skeg::ports::registry::{Access, Registry as _, RegistryError, TagList};

use super::far::{Client, Far, TEAM};
use super::push::{APP, MANY, ODD, Pushed, many_tag};

/// Names that a registry's storage may hold and that are no tags.
const ODD_NAMES: [&str; 9] = ["$(id)", "a b", "a\nb", "{{ x }}", "- a: b", "a;b", "`x`", "..x", "'"];

/// All of them.
pub async fn all(far: &Far) {
    let pushed = far.fill().await;
    what_was_pushed_is_read(far, &pushed).await;
    what_is_missing_is_said_to_be(far).await;
    every_tag_is_listed(far).await;
    an_unchanged_list_is_not_sent_again_where_the_registry_marks_it(far).await;
    names_that_are_no_tags_do_not_get_in(far).await;
    nobody_reads_who_may_not(far).await;
}

impl Client {
    /// The tags that this namespace gets to see.
    pub async fn tags(&self, repository: &Repository, namespace: &str) -> Result<Vec<String>, RegistryError> {
        let access = self.client.access(repository, &Puller::of_namespace(namespace));
        Ok(self.client.tags(repository, &access).await?.iter().map(Tag::to_string).collect())
    }
}

fn parsed(digest: &str) -> Digest {
    digest.parse().unwrap()
}

async fn what_was_pushed_is_read(far: &Far, pushed: &Pushed) {
    let reader = far.client();
    let (client, app) = (&reader.client, far.repository(APP));
    let access = client.access(&app, &Puller::of_namespace(TEAM));
    assert_eq!(client.greet(0).await, Ok(if far.asks() { Greeting::LoggedIn } else { Greeting::Open }));
    assert_eq!(reader.tags(&app, TEAM).await.unwrap(), ["1.0.0", "1.1.0", "2.0.0"]);
    for (tag, digest) in [("1.0.0", &pushed.images[0]), ("1.1.0", &pushed.images[1]), ("2.0.0", &pushed.index)] {
        assert_eq!(client.digest(&app, &tag.parse().unwrap(), &access).await, Ok(Some(parsed(digest))), "{tag}");
    }
    let members = ImageIndex { digest: parsed(&pushed.index), manifests: pushed.members.iter().map(|member| parsed(member)).collect() };
    assert_eq!(client.index(&app, &parsed(&pushed.index), &access).await, Ok(Some(members)));
    assert_eq!(client.index(&app, &parsed(&pushed.images[0]), &access).await, Ok(None), "an image of one platform");
    for (digest, time) in [(&pushed.images[0], "2026-01-01T00:00:00Z"), (&pushed.index, "2026-02-03T04:05:06Z")] {
        for _ in 0..2 {
            assert_eq!(client.built(&app, &parsed(digest), &access).await, Ok(Some(time.parse().unwrap())), "as the image says");
        }
    }
}

async fn what_is_missing_is_said_to_be(far: &Far) {
    let reader = far.client();
    let (client, app, nothing) = (&reader.client, far.repository(APP), far.repository("team/nothing"));
    let access = client.access(&app, &Puller::of_namespace(TEAM));
    let none = parsed(&format!("sha256:{}", "0".repeat(64)));
    assert_eq!(client.digest(&app, &"9.9.9".parse().unwrap(), &access).await, Ok(None));
    assert_eq!(client.digest(&nothing, &"1.0.0".parse().unwrap(), &access).await, Ok(None));
    assert_eq!(client.tags(&nothing, &access).await, Err(RegistryError::NotFound { repository: nothing.to_string() }));
    assert_eq!(client.index(&app, &none, &access).await, Ok(None));
    let missing = client.built(&app, &none, &access).await;
    assert!(matches!(missing, Err(RegistryError::Malformed { .. })), "{missing:?}");
}

async fn every_tag_is_listed(far: &Far) {
    let (count, requests) = far.tags_in_requests;
    far.fill_with_tags(count).await;
    let (reader, many) = (far.client(), far.repository(MANY));
    let expected: Vec<String> = (0..count).map(many_tag).collect();
    assert_eq!(reader.tags(&many, TEAM).await.unwrap(), expected);
    // The way in is known by now.
    reader.answers();
    assert_eq!(reader.tags(&many, TEAM).await.unwrap(), expected);
    assert_eq!(reader.answers(), vec!["200"; requests]);
}

async fn an_unchanged_list_is_not_sent_again_where_the_registry_marks_it(far: &Far) {
    let (reader, app) = (far.client(), far.repository(APP));
    let access = reader.client.access(&app, &Puller::of_namespace(TEAM));
    let list = async |known: Option<_>| reader.client.tags_unless(&app, &access, known.as_ref()).await.unwrap();
    let TagList::Whole(tags, mark) = list(None).await else { panic!("nothing is known yet") };
    assert_eq!((tags.len(), mark.is_some()), (3, far.marks_lists));
    let Some(mark) = mark else { return };
    assert_eq!(list(Some(mark.clone())).await, TagList::Unchanged);
    far.push(APP, "1.2.0", &Image::new("1.2.0")).await;
    let TagList::Whole(tags, Some(other)) = list(Some(mark.clone())).await else { panic!("the list is another one") };
    assert_eq!(tags.len(), 4);
    assert_ne!(other, mark);
}

/// RE-12.
async fn names_that_are_no_tags_do_not_get_in(far: &Far) {
    let Some(folder) = &far.tag_folders else { return };
    far.push(ODD, "1.0.0", &Image::new("1.0.0")).await;
    let long = "a".repeat(129);
    for name in ODD_NAMES.into_iter().chain([long.as_str()]) {
        // As the registry stores a tag.
        let current = folder.join(name).join("current");
        fs::create_dir_all(&current).unwrap();
        fs::copy(folder.join("1.0.0/current/link"), current.join("link")).unwrap();
    }
    let raw = far.writer.raw_list(ODD).await;
    assert!(raw.contains("$(id)") && raw.contains(&long), "the registry lists them: {raw}");
    assert_eq!(far.client().tags(&far.repository(ODD), TEAM).await.unwrap(), ["1.0.0"]);
}

async fn nobody_reads_who_may_not(far: &Far) {
    if !far.asks() {
        return;
    }
    let (reader, app) = (far.client(), far.repository(APP));
    let stranger = Login::new("robot", "wr0ng");
    assert_eq!(far.client_with(None).client.greet(0).await, Ok(Greeting::AsksForLogin));
    let refused = far.client_with(Some(&stranger)).client.greet(0).await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })), "{refused:?}");
    // Closed until granted.
    assert_eq!(reader.client.access(&app, &Puller::of_namespace("other")), Access::Anonymous);
    let refused = reader.tags(&app, "other").await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })), "{refused:?}");
    let wrong = far.client_with(Some(&stranger));
    let told = wrong.tags(&app, TEAM).await.unwrap_err();
    assert!(matches!(told, RegistryError::Unauthorized { .. }), "{told}");
    assert!(told.to_string().starts_with(app.as_str()) && !told.to_string().contains("wr0ng"), "{told}");
    assert_eq!(wrong.answers(), ["401", "401"], "a wrong login is not tried again and again");
    assert!(reader.tags(&app, TEAM).await.is_ok(), "that of the one who may is as good as before");
}
