//! What befalls skeg's processes and its far ends.

use std::time::Duration;

use jiff::SignedDuration;
use skeg::core::schedule::after;
use skeg::core::update::UpdateId;

use crate::history::{By, Fact, Process};
use crate::scene::REMOTES;
use crate::world::weather::Far;
use crate::world::{Wanted, World};

/// How many of all misfortunes it is, and what happens.
type Misfortune = (u32, fn(&mut World));

/// What can happen.
const MISFORTUNES: [Misfortune; 7] =
    [(6, go_away), (5, kill), (3, stop), (3, set_the_clock), (3, freeze), (4, break_a_watch), (2, decline_pushes)];

/// The longest that a process is down.
const DOWN_MAX: Duration = Duration::from_secs(90);
/// The longest that a process is frozen: longer than any lease.
const FROZEN_MAX: Duration = Duration::from_mins(4);
/// How often every record is lost while no replica runs, in a thousand.
const LOSES_RECORDS: u32 = 15;
/// The most that a clock is set by.
const SET_BY_MAX: i64 = 400;

impl World {
    /// Has one of them happen.
    pub fn let_something_happen(&mut self) {
        let mut place = self.random.u32(0..MISFORTUNES.iter().map(|(weight, _)| weight).sum());
        for (weight, misfortune) in MISFORTUNES {
            if place < weight {
                return misfortune(self);
            }
            place -= weight;
        }
    }

    fn any_process(&mut self) -> Option<Process> {
        let running: Vec<Process> = self.replicas.iter().filter_map(|replica| replica.process).collect();
        self.any(&running).copied()
    }

    /// A replica is down from now on, and comes up again after a while.
    pub fn is_down(&mut self, process: Process) {
        let Some(replica) = self.replicas.get_mut(process.replica).filter(|replica| replica.process == Some(process)) else { return };
        (replica.process, replica.is_frozen) = (None, false);
        let wait = if self.random.bool() { Duration::from_millis(500) } else { self.between(Duration::from_secs(1), DOWN_MAX) };
        self.after(wait, move |world| world.wanted.push_back(Wanted::Start(process.replica)));
        let is_alone = self.replicas.iter().all(|replica| replica.process.is_none());
        if is_alone && !self.weather.is_calm && self.chance(LOSES_RECORDS) {
            self.tell(Fact::Replica { process, what: "is down, and all records are deleted".to_owned() });
            let all: Vec<UpdateId> = self.journal.by_id.keys().cloned().collect();
            for id in all {
                self.remove_record(&id, By::Person("kubectl delete"));
            }
        }
    }

    /// A frozen process goes on.
    pub fn thaw(&mut self, process: Process) {
        let Some(replica) = self.replicas.get_mut(process.replica) else { return };
        if replica.process == Some(process) && replica.is_frozen {
            replica.is_frozen = false;
            self.tell(Fact::Replica { process, what: "goes on".to_owned() });
            self.catch_up(process.replica);
        }
    }
}

fn go_away(world: &mut World) {
    let far = Far::ALL[world.random.usize(0..Far::ALL.len())];
    let wait = world.between(Duration::from_secs(5), Duration::from_mins(5));
    let until = after(world.now, wait);
    world.weather.away.insert(far, until);
    world.tell(Fact::Weather { what: format!("{far} is away for {} s", wait.as_secs()) });
}

fn kill(world: &mut World) {
    if let Some(process) = world.any_process() {
        world.wanted.push_back(Wanted::Kill(process));
    }
}

fn stop(world: &mut World) {
    if let Some(process) = world.any_process() {
        world.wanted.push_back(Wanted::Stop(process));
    }
}

fn set_the_clock(world: &mut World) {
    let Some(process) = world.any_process() else { return };
    let by = SignedDuration::from_secs(world.random.i64(-SET_BY_MAX..=SET_BY_MAX));
    if let Some(replica) = world.replicas.get_mut(process.replica) {
        // A clock that is far off is set right again before it is set wrong once more.
        replica.offset = if replica.offset.is_zero() { by } else { SignedDuration::ZERO };
        let what = format!("has its clock set: it is {} s off now", replica.offset.as_secs());
        world.tell(Fact::Replica { process, what });
    }
}

fn freeze(world: &mut World) {
    let Some(process) = world.any_process() else { return };
    let wait = world.between(Duration::from_secs(1), FROZEN_MAX);
    if let Some(replica) = world.replicas.get_mut(process.replica) {
        replica.is_frozen = true;
        world.tell(Fact::Replica { process, what: format!("is frozen for {} s", wait.as_secs()) });
        world.after(wait, move |world| world.thaw(process));
    }
}

fn break_a_watch(world: &mut World) {
    let Some(process) = world.any_process() else { return };
    world.tell(Fact::Replica { process, what: "loses its watch".to_owned() });
    world.break_watch(process.replica);
}

fn decline_pushes(world: &mut World) {
    let remote: Box<str> = REMOTES[world.random.usize(0..REMOTES.len())].into();
    let wait = world.between(Duration::from_secs(20), Duration::from_mins(4));
    world.git.closed.push(remote.clone());
    world.tell(Fact::Weather { what: format!("{remote} declines pushes for {} s", wait.as_secs()) });
    world.after(wait, move |world| world.git.closed.retain(|closed| *closed != remote));
}
