//! Runs futures one poll at a time, in an order that the caller chooses: no thread, no time of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::future::BoxFuture;

use crate::history::Process;

/// Who a task belongs to: it dies with its process; people's own tasks belong to nobody.
pub type Owner = Option<Process>;

/// A number for each task, in the order of their start.
pub type TaskId = u64;

/// Every task, and which of them want to be polled.
#[derive(Default)]
pub struct Executor {
    tasks: BTreeMap<TaskId, Task>,
    ready: Arc<Mutex<Vec<TaskId>>>,
    started: TaskId,
}

struct Task {
    owner: Owner,
    future: BoxFuture<'static, ()>,
    alarm: Arc<Alarm>,
}

/// Wakes one task.
struct Alarm {
    task: TaskId,
    is_queued: AtomicBool,
    ready: Arc<Mutex<Vec<TaskId>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        }
    }
}

impl Executor {
    /// Takes up a task; it wants to be polled.
    pub fn start(&mut self, owner: Owner, future: BoxFuture<'static, ()>) {
        self.started += 1;
        let alarm = Arc::new(Alarm { task: self.started, is_queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        Arc::clone(&alarm).wake();
        self.tasks.insert(self.started, Task { owner, future, alarm });
    }

    /// The tasks that want to be polled and may be, in the order in which they were woken.
    pub fn ready(&self, may_run: impl Fn(Owner) -> bool) -> Vec<TaskId> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|task| self.tasks.contains_key(task));
        ready.iter().copied().filter(|task| self.tasks.get(task).is_some_and(|task| may_run(task.owner))).collect()
    }

    /// Who the task belongs to.
    pub fn owner(&self, task: TaskId) -> Owner {
        self.tasks.get(&task).and_then(|task| task.owner)
    }

    /// Polls the task once.
    pub fn poll(&mut self, task: TaskId) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).retain(|ready| *ready != task);
        let Some(polled) = self.tasks.get_mut(&task) else { return };
        polled.alarm.is_queued.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&polled.alarm));
        if let Poll::Ready(()) = polled.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.tasks.remove(&task);
        }
    }

    /// Drops every task of a process, wherever it was.
    pub fn kill(&mut self, process: Process) {
        let doomed: Vec<TaskId> = self.tasks.iter().filter(|(_, task)| task.owner == Some(process)).map(|(id, _)| *id).collect();
        for task in doomed {
            self.tasks.remove(&task);
        }
    }
}
