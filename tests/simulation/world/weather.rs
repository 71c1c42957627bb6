//! What can go wrong between skeg and its far ends, and how often: drawn anew for each seed, so that some runs are calm and some are not.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::World;
use super::network::Does;

/// Something that skeg talks to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Far {
    /// The API server.
    Cluster,
    /// The registries.
    Registry,
    /// The Git servers.
    Git,
    /// The chat.
    Chat,
}

impl Far {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Registry, Self::Git, Self::Chat];
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "the API server",
            Self::Registry => "the registry",
            Self::Git => "the Git server",
            Self::Chat => "the chat",
        })
    }
}

/// How often each thing goes wrong, in a thousand requests.
#[derive(Clone, Default, Debug)]
pub struct Weather {
    lost: u32,
    answer_lost: u32,
    late: u32,
    busy: u32,
    slow: u32,
    /// How often something comes twice: a request that changes something, an event of a watch, a hint.
    pub twice: u32,
    /// How often a process dies, in ten thousand polls of its tasks.
    pub deadly: u32,
    /// How often it dies right after one of its writes was carried out, in a thousand.
    pub deadly_after_write: u32,
    /// What is away, and until when.
    pub away: BTreeMap<Far, Timestamp>,
    /// Whether everything works from now on.
    pub is_calm: bool,
}

/// What becomes of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is carried out after the first time, and answered after the second.
    Answered(Duration, Duration),
    /// It never arrives; the one who sent it gives up after this time.
    Lost(Duration),
    /// It is carried out after the first time, and the one who sent it has given up, or gives up, after the second.
    AnswerLost(Duration, Duration),
    /// The far end has no time for it.
    Busy(Duration),
    /// It is carried out after the first time and again after the second, as by a proxy that asks again where it hears nothing.
    Twice(Duration, Duration, Answer),
}

/// Which answer of two is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// That of the first, this long after it. The second may come even later.
    First(Duration),
    /// That of the second, this long after it: what the first came to is known to nobody.
    Second(Duration),
}

/// How long a client waits for an answer: the deadline of skeg's own HTTP clients is of this order.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));
/// How late a request may still be carried out: proxies and servers hold one back for as long as this.
const LATE_MAX: Duration = Duration::from_secs(90);
/// How much later a request comes a second time.
const AGAIN_MAX: Duration = Duration::from_secs(4);

impl Weather {
    /// The weather of one run.
    pub fn drawn(random: &mut Rng) -> Self {
        let mut often = |most: u32| if random.bool() { random.u32(0..=most) } else { 0 };
        Self {
            lost: often(60),
            answer_lost: often(120),
            late: often(60),
            busy: often(60),
            slow: often(200),
            twice: often(100),
            deadly: often(15),
            deadly_after_write: often(120),
            away: BTreeMap::new(),
            is_calm: false,
        }
    }

    /// Nothing goes wrong any more.
    pub fn clear(&mut self) {
        *self = Self { is_calm: true, ..Self::default() };
    }
}

impl World {
    /// What becomes of a request that is sent now.
    pub fn fate(&mut self, far: Far, does: Does) -> Fate {
        let weather = self.weather.clone();
        let quick = (Duration::from_millis(1), Duration::from_millis(120));
        let patience = self.between(PATIENCE.0, PATIENCE.1);
        if weather.away.get(&far).is_some_and(|until| self.now < *until) {
            // Refused at once, or silence.
            return Fate::Lost(if self.random.bool() { self.between(quick.0, quick.1) } else { patience });
        }
        let there = if self.chance(weather.slow) { self.between(quick.1, Duration::from_secs(4)) } else { self.between(quick.0, quick.1) };
        let back = if self.chance(weather.slow) { self.between(quick.1, Duration::from_secs(4)) } else { self.between(quick.0, quick.1) };
        if self.chance(weather.lost) {
            Fate::Lost(patience)
        } else if self.chance(weather.answer_lost) {
            // The connection breaks after the request has gone through, mostly at once.
            let given_up = if self.random.bool() { there.saturating_add(back) } else { patience };
            Fate::AnswerLost(there, given_up)
        } else if self.chance(weather.late) {
            Fate::AnswerLost(self.between(patience, patience.saturating_add(LATE_MAX)), patience)
        } else if self.chance(weather.busy) {
            Fate::Busy(back)
        } else if does == Does::Write && self.chance(weather.twice) {
            let again = there.saturating_add(self.between(Duration::from_millis(1), AGAIN_MAX));
            Fate::Twice(there, again, if self.random.bool() { Answer::First(back) } else { Answer::Second(back) })
        } else {
            Fate::Answered(there, back)
        }
    }
}
