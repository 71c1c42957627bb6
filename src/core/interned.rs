//! Values that many things have in common, each kept once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// How many values there must be before those that nobody has any more are looked for.
const SWEPT_MIN: usize = 64;

/// The values in use, each once. What nobody has any more goes when their number has doubled, so keeping costs nothing that grows.
#[derive(Debug)]
pub struct Interned<T: ?Sized + Eq + Hash> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized + Eq + Hash> Default for Interned<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: SWEPT_MIN }
    }
}

impl<T: ?Sized + Eq + Hash> Interned<T> {
    /// The one that is equal to `value`, or `value` itself from now on.
    pub fn share(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(known) = self.values.get(&value) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.sweep_at {
            self.sweep();
        }
        self.values.insert(Arc::clone(&value));
        value
    }

    /// Lets go of what nobody has any more.
    pub fn sweep(&mut self) {
        self.values.retain(|value| Arc::strong_count(value) > 1);
        self.sweep_at = SWEPT_MIN.max(self.values.len() * 2);
    }

    /// The one that is equal to `value`, made of it when there is none.
    pub fn of(&mut self, value: &T) -> Arc<T>
    where
        for<'a> Arc<T>: From<&'a T>,
    {
        match self.values.get(value) {
            Some(known) => Arc::clone(known),
            None => self.share(Arc::from(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut names = Interned::<str>::default();
        let (first, second) = (names.of("web"), names.of("web"));
        assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &names.share("web".into())));
        assert_eq!((&*names.of("api"), names.values.len()), ("api", 2));
    }

    #[test]
    fn what_nobody_has_any_more_goes() {
        let mut numbers = Interned::<u32>::default();
        let kept = numbers.share(Arc::new(0));
        for number in 1..10_000 {
            numbers.share(Arc::new(number));
        }
        assert!(numbers.values.len() <= SWEPT_MIN + 1, "{}", numbers.values.len());
        assert!(Arc::ptr_eq(&kept, &numbers.share(Arc::new(0))));
    }
}
