//! Who a person is in the workspace: a member, or a guest, an app, somebody who has left.
//!
//! A click says who clicked and not what that person may do there. Slack is asked, and its answer is good for a while: whoever becomes a guest
//! loses the say within that time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::web_api::WebApi;
use crate::core::hold::voter::Standing;
use crate::core::schedule::after;

/// How long an answer is good.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// People remembered at once: more than vote in ten minutes, at some fifty bytes each. Beyond that the answers are asked for anew.
const PEOPLE_MAX: usize = 1_000;
/// How long an answer is waited for. Slack wants a click acknowledged within three seconds and sends it again otherwise.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What is known of people.
#[derive(Default)]
pub struct People(Mutex<HashMap<Box<str>, (Timestamp, Standing)>>);

impl People {
    /// What the person is, as Slack has said a short while ago or says now. What it does not say is not kept.
    pub async fn standing(&self, api: &WebApi, user: &str, now: Timestamp) -> Standing {
        if let Some(known) = self.known(user, now) {
            return known;
        }
        let answer = tokio::time::timeout(ANSWER_MAX, api.standing(user)).await;
        let unknown = |why: String| Standing::Unknown { why: why.into() };
        let standing = match answer {
            Ok(Ok(standing)) => standing,
            Ok(Err(error)) => return unknown(error.to_string()),
            Err(_) => return unknown(format!("Slack does not answer users.info within {} s", ANSWER_MAX.as_secs())),
        };
        self.note(user, &standing, now);
        standing
    }

    fn known(&self, user: &str, now: Timestamp) -> Option<Standing> {
        let people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        people.get(user).filter(|(at, _)| is_good(*at, now)).map(|(_, standing)| standing.clone())
    }

    fn note(&self, user: &str, standing: &Standing, now: Timestamp) {
        if matches!(standing, Standing::Unknown { .. }) {
            return;
        }
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= PEOPLE_MAX {
            people.retain(|_, (at, _)| is_good(*at, now));
        }
        if people.len() < PEOPLE_MAX {
            people.insert(user.into(), (now, standing.clone()));
        }
    }
}

/// A clock that was set back makes no answer younger.
fn is_good(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now < after(at, KNOWN_FOR)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn an_answer_is_good_for_ten_minutes() {
        let people = People::default();
        people.note("U1", &Standing::Member, at(0));
        people.note("U2", &Standing::Unknown { why: "away".into() }, at(0));
        assert_eq!(people.known("U1", at(599)), Some(Standing::Member));
        for (user, now) in [("U1", at(600)), ("U1", at(-1)), ("U2", at(0)), ("U3", at(0))] {
            assert_eq!(people.known(user, now), None, "{user} {now}");
        }
    }

    #[test]
    fn so_many_people_are_remembered() {
        let people = People::default();
        for number in 0..=PEOPLE_MAX {
            people.note(&format!("U{number}"), &Standing::Member, at(0));
        }
        assert_eq!(people.0.lock().unwrap().len(), PEOPLE_MAX);
        people.note("U1", &Standing::Guest, at(601));
        assert_eq!(people.0.lock().unwrap().len(), 1, "old answers make room");
    }
}
