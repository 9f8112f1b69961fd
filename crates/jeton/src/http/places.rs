//! How many requests may be decided at one time, and how many are. Nobody waits for a place: who finds
//! none hears so at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Places for requests that are being decided.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicUsize,
    most: usize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Places);

impl Places {
    /// So many places.
    pub(crate) const fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    /// A place, if one is free.
    pub(crate) fn take(&self) -> Option<Place<'_>> {
        let one_more = |taken: usize| (taken < self.most).then_some(taken.saturating_add(1));
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.ok().map(|_| Place(self))
    }

    /// How many are taken, and how many there are.
    pub(crate) fn read(&self) -> (usize, usize) {
        (self.taken.load(Ordering::Relaxed), self.most)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_there_are_and_each_can_be_taken_again() {
        let places = Places::new(2);
        let (one, other) = (places.take(), places.take());
        assert!(one.is_some() && other.is_some());
        assert!(places.take().is_none());
        assert_eq!(places.read(), (2, 2), "who found none has taken none");
        drop(one);
        assert_eq!(places.read(), (1, 2));
        assert!(places.take().is_some());
        drop(other);
        assert_eq!(places.read(), (0, 2));
        assert!(Places::new(0).take().is_none());
    }
}
