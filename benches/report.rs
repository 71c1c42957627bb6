//! The table that is printed.

use std::fmt;
use std::time::Duration;

/// What was measured.
#[derive(Default)]
pub struct Report(Vec<Row>);

/// One figure.
struct Row {
    what: String,
    unit: &'static str,
    measured: f64,
    floor: f64,
    floor_is: &'static str,
    goal: Option<Goal>,
}

/// The most a figure should be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// In the figure's unit.
    AtMost(f64),
    /// As a multiple of the floor.
    TimesFloor(f64),
}

impl Report {
    /// Adds a figure with its floor.
    pub fn add(&mut self, what: impl Into<String>, unit: &'static str, measured: f64, floor: (f64, &'static str), goal: Option<Goal>) {
        self.0.push(Row { what: what.into(), unit, measured, floor: floor.0, floor_is: floor.1, goal });
    }

    /// Adds a time with its floor.
    pub fn add_time(&mut self, what: impl Into<String>, measured: Duration, floor: (Duration, &'static str), goal: Option<Goal>) {
        self.add(what, "ms", milliseconds(measured), (milliseconds(floor.0), floor.1), goal);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<46} {:>10} {:>10} {:<5} {:>7}  {:<14} floor", "what", "measured", "floor", "unit", "ratio", "goal")?;
        for row in &self.0 {
            let ratio = row.measured / row.floor;
            let (goal, is_met) = match row.goal {
                None => (String::new(), true),
                Some(Goal::AtMost(most)) => (format!("≤ {most} {}", row.unit), row.measured <= most),
                Some(Goal::TimesFloor(most)) => (format!("≤ {most} × floor"), ratio <= most),
            };
            let ratio = if ratio.is_finite() { format!("{ratio:.2}") } else { "–".to_owned() };
            let missed = if is_met { "" } else { "  (goal missed)" };
            writeln!(
                f,
                "{:<46} {:>10.2} {:>10.2} {:<5} {ratio:>7}  {goal:<14} {}{missed}",
                row.what, row.measured, row.floor, row.unit, row.floor_is
            )?;
        }
        Ok(())
    }
}

/// The middle of many measurements.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().expect("something was measured")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
