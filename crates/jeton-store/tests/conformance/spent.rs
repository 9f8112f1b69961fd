//! What can be used once: spent together or not at all, by one of many, and remembered long enough.

use std::sync::Arc;

use jeton_engine::clock::Time;
use jeton_engine::spent::Spent;
use jeton_engine::store::{Horizon, Store};

use crate::sample::{at, main, other};

fn one(number: u8, until: i64) -> Spent {
    Spent { id: [number; 16], until: at(until) }
}

async fn spend(store: &dyn Store, spent: &[Spent], now: i64) -> Option<usize> {
    store.spend(&main(), spent, at(now)).await.unwrap()
}

pub(crate) async fn what_is_spent_once_is_spent_in_its_realm(store: Arc<dyn Store>) {
    assert_eq!(spend(&*store, &[one(1, 60)], 0).await, None);
    assert_eq!(spend(&*store, &[one(1, 60)], 0).await, Some(0));
    // Another end makes it nothing else.
    assert_eq!(spend(&*store, &[one(1, 90)], 59).await, Some(0));
    assert_eq!(spend(&*store, &[one(2, 60)], 0).await, None);
    assert_eq!(store.spend(&other(), &[one(1, 60)], at(0)).await.unwrap(), None);
    assert_eq!(spend(&*store, &[], 0).await, None);
}

pub(crate) async fn all_are_spent_or_none(store: Arc<dyn Store>) {
    assert_eq!(spend(&*store, &[one(2, 60)], 0).await, None);
    assert_eq!(spend(&*store, &[one(1, 60), one(2, 60)], 0).await, Some(1));
    assert_eq!(spend(&*store, &[one(3, 60), one(3, 60)], 0).await, Some(1));
    assert_eq!(spend(&*store, &[one(1, 60), one(3, 60)], 0).await, None);
}

pub(crate) async fn of_many_that_spend_the_same_at_once_one_does(store: Arc<dyn Store>) {
    let (first, end) = ([one(1, 60), one(2, 60)], [one(2, 60), one(1, 60)]);
    let tries = (0..200).map(|turn| {
        let (store, spent) = (Arc::clone(&store), if turn % 2 == 0 { first } else { end });
        tokio::spawn(async move { store.spend(&main(), &spent, at(0)).await.unwrap() })
    });
    let mut successes = 0;
    for tried in tries.collect::<Vec<_>>() {
        successes += usize::from(tried.await.unwrap().is_none());
    }
    assert_eq!(successes, 1);
}

pub(crate) async fn what_is_spent_is_remembered_until_its_end(store: Arc<dyn Store>) {
    let before = |spent: Time| Horizon { tokens: at(-9999), events: at(-9999), spent };
    for number in 1..=3 {
        assert_eq!(spend(&*store, &[one(number, 60 + i64::from(number))], 0).await, None);
    }
    assert_eq!(store.remove_expired(&before(at(61)), 10).await.unwrap(), 0);
    assert_eq!(store.remove_expired(&before(at(63)), 1).await.unwrap(), 1);
    assert_eq!(store.remove_expired(&before(at(63)), 10).await.unwrap(), 1);
    assert_eq!(spend(&*store, &[one(3, 63)], 62).await, Some(0));
    // Past its end it is as good as gone, removed or not, and may be spent anew.
    assert_eq!(spend(&*store, &[one(3, 120)], 63).await, None);
    assert_eq!(spend(&*store, &[one(3, 120)], 64).await, Some(0));
    assert_eq!(store.remove_expired(&before(at(64)), 10).await.unwrap(), 0);
}
