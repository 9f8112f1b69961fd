//! The load generator: one thread, many connections, requests that were written before the clock starts.
//!
//! Two ways of pacing. *Closed*: every connection asks again as soon as it has its answer, which finds the
//! most a server does. *Open*: requests are due at fixed moments whether or not earlier ones have been
//! answered, and each latency counts from the moment at which its request was due; a server that stalls is
//! not spared the requests it kept from being sent.

mod answer;
mod histogram;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};

pub(crate) use histogram::Histogram;
pub(crate) use wire::Target;

use crate::requests::Requests;
use answer::Reader;
use wire::{Received, Wire};

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The next as soon as the last is answered.
    Closed,
    /// So many a second.
    Open(f64),
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Connections {
    #[default]
    Kept,
    /// A new one for every request.
    Anew,
}

/// What is to be done.
pub(crate) struct Plan {
    pub(crate) target: Target,
    pub(crate) count: usize,
    pub(crate) connections: Connections,
    pub(crate) pace: Pace,
    /// How long before counting begins.
    pub(crate) warm_up: Duration,
    /// How long is counted.
    pub(crate) window: Duration,
    /// The most bodies to keep, of answers one in so many.
    pub(crate) keep: Keep,
}

/// Which bodies are kept for a closer look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) most: usize,
    pub(crate) one_in: u64,
}

/// What an answer must be like to count.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// How its body begins.
    pub(crate) begins: Vec<u8>,
}

/// What came of it.
pub(crate) struct Outcome {
    /// Right answers within the window.
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    /// Answers that were not as expected, and what the first of them was.
    pub(crate) wrong: u64,
    pub(crate) first_wrong: Option<String>,
    /// Requests that were due but had no answer at the end (open pace).
    pub(crate) late: u64,
    pub(crate) latency: Histogram,
    pub(crate) bodies: Vec<Vec<u8>>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

/// Runs a plan. `at_edge` is called when counting begins and when it ends.
///
/// # Errors
/// When connections cannot be made any more.
pub(crate) fn run(
    plan: &Plan,
    requests: &mut Requests,
    expected: &Expected,
    at_edge: &mut dyn FnMut(),
) -> io::Result<Outcome> {
    let mut generator = Generator::new(plan, requests, expected)?;
    generator.connect_all()?;
    let mut events = Events::with_capacity(4096);
    let begin = Instant::now();
    generator.next_due = begin;
    let (counting_from, end) = (begin + plan.warm_up, begin + plan.warm_up + plan.window);
    let patience = match plan.pace {
        Pace::Closed => Duration::from_millis(20),
        // A core of its own: the next request is due sooner than a timer would tell.
        Pace::Open(_) => Duration::ZERO,
    };
    loop {
        let now = Instant::now();
        if !generator.counting && now >= counting_from {
            generator.counting = true;
            at_edge();
        }
        if now >= end {
            break;
        }
        generator.send_ready(now)?;
        generator.send_due(now)?;
        match generator.poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            generator.serve(event)?;
        }
    }
    at_edge();
    generator.outcome.seconds = (Instant::now() - counting_from).as_secs_f64();
    generator.give_up();
    Ok(generator.outcome)
}

struct Generator<'a> {
    plan: &'a Plan,
    requests: &'a mut Requests,
    expected: &'a Expected,
    poll: Poll,
    wires: Vec<Wire>,
    reader: Reader,
    idle: Vec<usize>,
    /// Connections that are to ask again (closed pace).
    ready: Vec<usize>,
    /// Moments that have passed without a connection being free.
    due: VecDeque<Instant>,
    next_due: Instant,
    counting: bool,
    seen: u64,
    outcome: Outcome,
}

impl<'a> Generator<'a> {
    fn new(plan: &'a Plan, requests: &'a mut Requests, expected: &'a Expected) -> io::Result<Self> {
        let outcome = Outcome {
            answered: 0,
            seconds: 0.0,
            wrong: 0,
            first_wrong: None,
            late: 0,
            latency: Histogram::new(),
            bodies: Vec::new(),
        };
        Ok(Self {
            plan,
            requests,
            expected,
            poll: Poll::new()?,
            wires: Vec::with_capacity(plan.count),
            reader: Reader::default(),
            idle: Vec::new(),
            ready: Vec::new(),
            due: VecDeque::new(),
            next_due: Instant::now(),
            counting: false,
            seen: 0,
            outcome,
        })
    }

    fn connect_all(&mut self) -> io::Result<()> {
        for index in 0..self.plan.count {
            let wire = Wire::open(&self.plan.target, self.poll.registry(), Token(index))?;
            self.wires.push(wire);
            self.free(index)?;
        }
        Ok(())
    }

    /// A connection has nothing to do: gives it the next request, if there is one.
    fn free(&mut self, index: usize) -> io::Result<()> {
        match self.plan.pace {
            Pace::Closed => {
                self.ready.push(index);
                Ok(())
            }
            Pace::Open(_) => match self.due.pop_front() {
                Some(intended) => self.send(index, intended),
                None => {
                    self.idle.push(index);
                    Ok(())
                }
            },
        }
    }

    /// Asks on every connection that has had its answer. Only after all answers that were there have been
    /// read, as wrk does: whoever writes between reading wakes the server more often for less, and the floor,
    /// which is fastest, would lose most by it.
    fn send_ready(&mut self, now: Instant) -> io::Result<()> {
        while let Some(index) = self.ready.pop() {
            self.send(index, now)?;
        }
        Ok(())
    }

    /// Sends what has become due.
    fn send_due(&mut self, now: Instant) -> io::Result<()> {
        let Pace::Open(per_second) = self.plan.pace else { return Ok(()) };
        let interval = Duration::from_secs_f64(1.0 / per_second);
        while self.next_due <= now {
            self.due.push_back(self.next_due);
            self.next_due += interval;
        }
        while !self.due.is_empty() {
            let Some(index) = self.idle.pop() else { break };
            self.free(index)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, intended: Instant) -> io::Result<()> {
        let Some(wire) = self.wires.get_mut(index) else { return Ok(()) };
        let sent = wire.send(self.requests.next(), intended);
        // A connection that breaks while it is written to tells so when it is read.
        sent.or_else(|error| if is_about_one(&error) { Ok(()) } else { Err(error) })
    }

    fn serve(&mut self, event: &Event) -> io::Result<()> {
        let index = event.token().0;
        let Some(wire) = self.wires.get_mut(index) else { return Ok(()) };
        if event.is_writable() && wire.flush().is_err() {
            return self.broken(index, "a connection broke while a request was sent");
        }
        if !event.is_readable() {
            return Ok(());
        }
        loop {
            let Some(wire) = self.wires.get_mut(index) else { return Ok(()) };
            match wire.receive() {
                Ok(Received::Nothing) => return Ok(()),
                Ok(Received::Closed) => {
                    return self.broken(index, "the server closed a connection");
                }
                Err(_) => return self.broken(index, "a connection broke"),
                Ok(Received::Bytes) => {}
            }
            match self.reader.whole(wire.received()) {
                Ok(None) => {}
                Ok(Some(answer)) => return self.answered(index, &answer),
                Err(problem) => return self.broken(index, problem),
            }
        }
    }

    fn answered(&mut self, index: usize, answer: &answer::Answer) -> io::Result<()> {
        let now = Instant::now();
        let Some(wire) = self.wires.get_mut(index) else { return Ok(()) };
        let body = wire.received().get(answer.body.clone()).unwrap_or_default();
        let right =
            answer.status == self.expected.status && body.starts_with(&self.expected.begins);
        if right {
            self.seen += 1;
            let keep = self.plan.keep;
            if (self.seen - 1).is_multiple_of(keep.one_in) && self.outcome.bodies.len() < keep.most
            {
                self.outcome.bodies.push(body.to_vec());
            }
            if let (true, Some(asked)) = (self.counting, wire.asked) {
                self.outcome.answered += 1;
                self.outcome.latency.add(now.saturating_duration_since(asked));
            }
        } else {
            let text = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default());
            self.outcome.wrong += 1;
            let told = || format!("status {}: {text}", answer.status);
            self.outcome.first_wrong.get_or_insert_with(told);
        }
        wire.asked = None;
        if answer.closes || self.plan.connections == Connections::Anew {
            self.open_again(index)?;
        }
        self.free(index)
    }

    fn broken(&mut self, index: usize, problem: &str) -> io::Result<()> {
        let was_asked = self.wires.get_mut(index).is_some_and(|wire| wire.asked.take().is_some());
        if was_asked {
            self.outcome.wrong += 1;
            self.outcome.first_wrong.get_or_insert_with(|| problem.to_owned());
        }
        self.open_again(index)?;
        // One that was idle is in the list of those already.
        if was_asked { self.free(index) } else { Ok(()) }
    }

    fn open_again(&mut self, index: usize) -> io::Result<()> {
        let Some(wire) = self.wires.get_mut(index) else { return Ok(()) };
        wire.close(self.poll.registry());
        *wire = Wire::open(&self.plan.target, self.poll.registry(), Token(index))?;
        Ok(())
    }

    /// What is without an answer at the end counts as having taken until now.
    fn give_up(&mut self) {
        if let Pace::Closed = self.plan.pace {
            return;
        }
        let now = Instant::now();
        // What was sent in the last moments is not late; what has waited longer than that is.
        let unanswered = self.wires.iter().filter_map(|wire| wire.asked).chain(self.due.drain(..));
        for asked in unanswered.filter(|asked| now - *asked > Duration::from_millis(100)) {
            self.outcome.late += 1;
            self.outcome.latency.add(now - asked);
        }
    }
}

fn is_about_one(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
}
