//! The audit log that skeg writes on this thread.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

/// Collects what is written while it lives. A test needs a runtime of one thread for it.
pub struct AuditLog {
    written: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

struct To(Arc<Mutex<Vec<u8>>>);

impl io::Write for To {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AuditLog {
    /// From now on.
    pub fn begin() -> Self {
        let written: Arc<Mutex<Vec<u8>>> = Arc::default();
        let to = Arc::clone(&written);
        let lines = fmt::layer().json().flatten_event(true).with_writer(move || To(Arc::clone(&to)));
        let subscriber = Registry::default().with(lines.with_filter(filter_fn(|metadata| metadata.target() == "audit")));
        Self { written, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
