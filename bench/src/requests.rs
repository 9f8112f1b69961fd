//! What is asked: requests as bytes, made before the clock starts, and who asks next.

use std::collections::VecDeque;

/// How the next of many is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Choice {
    /// Each as often as any other, in no order.
    #[default]
    Uniform,
    /// A few of them nearly always: the n-th with a weight of 1/n.
    Skewed,
}

/// Makes one request that is good once.
pub(crate) type Make = Box<dyn FnMut() -> Vec<u8>>;

/// An endless row of requests.
pub(crate) enum Requests {
    /// Each may be sent again.
    Again { pool: Vec<Vec<u8>>, order: Vec<u32>, at: usize },
    /// Each is good once: assertions, proofs, tokens to be seen first.
    Once(Once),
}

/// Requests that are good once.
pub(crate) struct Once {
    ready: VecDeque<Vec<u8>>,
    make: Make,
    /// The one that was sent last.
    sent: Vec<u8>,
    /// How many had to be made while the clock ran, because those made before were used up.
    pub(crate) made_late: u64,
}

/// How long the fixed order is in which a pool is gone through before it begins again.
const ORDER: usize = 1 << 20;

impl Requests {
    pub(crate) fn again(pool: Vec<Vec<u8>>, choice: Choice) -> Self {
        let order = if pool.len() == 1 { vec![0] } else { order(pool.len(), choice) };
        Self::Again { pool, order, at: 0 }
    }

    pub(crate) fn once(make: Make) -> Self {
        let (ready, sent) = (VecDeque::new(), Vec::new());
        Self::Once(Once { ready, make, sent, made_late: 0 })
    }

    /// All there are, where each may be sent again.
    pub(crate) fn pool(&self) -> Option<&[Vec<u8>]> {
        match self {
            Self::Again { pool, .. } => Some(pool),
            Self::Once(_) => None,
        }
    }

    /// Makes sure that so many are ready.
    pub(crate) fn prepare(&mut self, count: usize) {
        if let Self::Once(once) = self {
            while once.ready.len() < count {
                once.ready.push_back((once.make)());
            }
        }
    }

    /// Adds some that are ready.
    pub(crate) fn put(&mut self, more: Vec<Vec<u8>>) {
        if let Self::Once(once) = self {
            once.ready.extend(more);
        }
    }

    /// How many had to be made while the clock ran.
    pub(crate) fn made_late(&self) -> u64 {
        match self {
            Self::Again { .. } => 0,
            Self::Once(once) => once.made_late,
        }
    }

    pub(crate) fn next(&mut self) -> &[u8] {
        match self {
            Self::Again { pool, order, at } => {
                let index = order.get(*at).copied().unwrap_or_default();
                *at = if *at + 1 >= order.len() { 0 } else { *at + 1 };
                pool.get(index as usize).map(Vec::as_slice).unwrap_or_default()
            }
            Self::Once(once) => {
                once.sent = once.ready.pop_front().unwrap_or_else(|| {
                    once.made_late += 1;
                    (once.make)()
                });
                &once.sent
            }
        }
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Between zero and one.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

fn order(count: usize, choice: Choice) -> Vec<u32> {
    let mut dice = Dice::new(7);
    let mut sums = Vec::new();
    if choice == Choice::Skewed {
        let mut sum = 0.0;
        sums.extend((1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        }));
    }
    let whole = sums.last().copied().unwrap_or_default();
    let mut draw = || match choice {
        Choice::Uniform => (dice.share() * count as f64) as u32,
        Choice::Skewed => {
            let at = dice.share() * whole;
            sums.partition_point(|sum| *sum < at) as u32
        }
    };
    (0..ORDER).map(|_| draw().min(count as u32 - 1)).collect()
}

/// One request of HTTP/1.1. `fields` are whole lines.
pub(crate) fn request(
    method: &str,
    path: &str,
    host: &str,
    fields: &[&str],
    body: &str,
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    if method != "GET" {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_and_skewed_choices_are_what_they_say() {
        let share_of_first = |choice| {
            let order = order(1000, choice);
            assert!(order.iter().all(|index| *index < 1000));
            order.iter().filter(|index| **index == 0).count() as f64 / order.len() as f64
        };
        assert!((share_of_first(Choice::Uniform) - 0.001).abs() < 0.0005);
        // 1 / H(1000)
        assert!((share_of_first(Choice::Skewed) - 0.1336).abs() < 0.005);
    }

    #[test]
    fn what_is_good_once_is_sent_once() {
        let mut number = 0;
        let mut requests = Requests::once(Box::new(move || {
            number += 1;
            vec![number]
        }));
        requests.prepare(2);
        let sent: Vec<u8> = (0..3).map(|_| requests.next()[0]).collect();
        assert_eq!(sent, [1, 2, 3]);
        assert_eq!(requests.made_late(), 1);
    }

    #[test]
    fn a_request_says_how_long_its_body_is() {
        let bytes = request("POST", "/t", "h", &["A: b"], "c=d");
        assert_eq!(bytes, b"POST /t HTTP/1.1\r\nHost: h\r\nA: b\r\nContent-Length: 3\r\n\r\nc=d");
        assert_eq!(request("GET", "/", "h", &[], ""), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
}
