//! JSON as a webhook body must be: one meaning, and no deeper than a stack is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

/// Why a text is not accepted. Lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nothing was sent.
    #[error("is empty")]
    Empty,
    /// Not JSON, or deeper than 128 levels.
    #[error("is not JSON, or nested deeper than 128 levels (line {line}, column {column})")]
    Syntax {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// Two readers would see two different bodies.
    #[error("has an object with a key twice (line {line}, column {column})")]
    RepeatedKey {
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Value, JsonError> {
    if body.is_empty() {
        return Err(JsonError::Empty);
    }
    serde_json::from_slice(body).map(|Strict(value)| value).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            // A value of any kind is taken, so this is the one complaint about what was read.
            Category::Data => JsonError::RepeatedKey { line, column },
            Category::Syntax | Category::Eof | Category::Io => JsonError::Syntax { line, column },
        }
    })
}

/// A value in which no object has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = members.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = members.next_entry::<String, _>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("repeated key"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_json_is_read_as_it_is() {
        let body = r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"a":{}}}"#;
        assert_eq!(read(body.as_bytes()).unwrap(), serde_json::from_str::<Value>(body).unwrap());
    }

    #[track_caller]
    fn check(body: &str, message: &str) {
        let error = read(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{body:.60}: {error}");
    }

    #[test]
    fn ambiguous_and_endless_bodies_are_refused() {
        check(r#"{"a":1,"a":2}"#, "key twice");
        check(r#"{"a":[{"b":1,"b":1}]}"#, "key twice (line 1, column ");
        check("", "is empty");
        check("name=acme/api&tag=1", "is not JSON");
        check(r#"{"a":1} {}"#, "is not JSON");
        check(&"[".repeat(100_000), "deeper than 128");
        check(&r#"{"a":"#.repeat(100_000), "deeper than 128");
        check("\u{feff}{}", "is not JSON");
        assert!(read(b"{\"a\":\"\xff\"}").is_err());
    }
}
