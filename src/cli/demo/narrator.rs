//! How the demo tells what happens: sentences, or one JSON event per line.

use std::io::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::output::Form;

/// Writes to standard output.
pub struct Narrator {
    form: Form,
}

impl Narrator {
    /// A narrator of this form.
    pub fn new(form: Form) -> Self {
        Self { form }
    }

    /// Tells one event: its name, the update it is about, the sentence for people, and more for scripts.
    pub fn tell(&self, event: &str, update: Option<&str>, sentence: &str, more: &[(&str, Value)]) {
        let line = match self.form {
            Form::Text => sentence.to_owned(),
            Form::Json => {
                let mut object = Map::new();
                object.insert("event".into(), json!(event));
                object.insert("at".into(), json!(Timestamp::now().to_string()));
                object.insert("update".into(), json!(update));
                object.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
                Value::Object(object).to_string()
            }
        };
        // Whoever closes the pipe has heard enough; the stories still end as they end.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// Something for people only.
    pub fn say(&self, sentence: &str) {
        if self.form == Form::Text {
            let _ = writeln!(std::io::stdout().lock(), "{sentence}");
        }
    }
}

/// Asks the person at the terminal.
pub fn prompt(question: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{question} ");
    let _ = out.flush();
}
