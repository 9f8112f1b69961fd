//! What was given: one place per known parameter, and a memory of all names, because a name that
//! comes twice is a bad request whether we know it or not.

use std::borrow::Cow;
use std::collections::HashSet;

use jeton_engine::error::{Reason, Refusal};
use smallvec::SmallVec;

use crate::dialect::Parameter;

/// A parameter's value as the wire has it.
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Several texts, where a format can say so (a JSON array).
    Texts(Vec<Cow<'a, str>>),
    /// Not a text: as good as missing, but given.
    Unusable,
}

enum Place<'a> {
    Empty,
    Text(Cow<'a, str>),
    Unusable,
}

/// The parameters of one request.
pub(super) struct Given<'a> {
    parameters: &'a [Parameter],
    places: SmallVec<[Place<'a>; 8]>,
    /// Further values of repeatable parameters.
    further: Vec<(usize, Cow<'a, str>)>,
    /// Names that are not ours.
    others: Names<'a>,
    /// The first name that came twice.
    twice: Option<Box<str>>,
}

impl<'a> Given<'a> {
    pub(super) fn new(parameters: &'a [Parameter]) -> Self {
        let mut places = SmallVec::new();
        places.resize_with(parameters.len(), || Place::Empty);
        Self { parameters, places, further: Vec::new(), others: Names::default(), twice: None }
    }

    /// Takes a parameter in.
    pub(super) fn put(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        let known = self
            .parameters
            .iter()
            .position(|parameter| parameter.names.iter().any(|known| *known == name));
        let Some(at) = known else {
            if let Err(name) = self.others.insert(name) {
                self.note_twice(&name);
            }
            return;
        };
        let repeatable = self.parameters.get(at).is_some_and(|parameter| parameter.repeatable);
        let Some(place) = self.places.get_mut(at) else { return };
        match (place, value) {
            (place @ Place::Empty, Value::Text(text)) => *place = Place::Text(text),
            (place @ Place::Empty, Value::Texts(texts)) if repeatable => {
                let mut texts = texts.into_iter();
                *place = texts.next().map_or(Place::Unusable, Place::Text);
                self.further.extend(texts.map(|text| (at, text)));
            }
            (place @ Place::Empty, Value::Texts(_) | Value::Unusable) => *place = Place::Unusable,
            (_, Value::Text(text)) if repeatable => self.further.push((at, text)),
            _ => self.note_twice(&name),
        }
    }

    /// Notes that a name came twice, somewhere.
    pub(super) fn note_twice(&mut self, name: &str) {
        // What stands in the log has a bounded length, whatever was sent.
        let name: String = name.chars().take(64).collect();
        self.twice.get_or_insert_with(|| name.into_boxed_str());
    }

    /// Whether any name came twice.
    pub(super) fn refuse_twice(&mut self) -> Result<(), Refusal> {
        match self.twice.take() {
            None => Ok(()),
            Some(name) => Err(Refusal { parameter: Some(name), ..Reason::ParameterTwice.into() }),
        }
    }

    /// The parameter's first name on the wire.
    pub(super) fn name(&self, at: usize) -> Option<&'a str> {
        self.parameters.get(at).and_then(|parameter| parameter.names.first()).map(String::as_str)
    }

    /// The parameter's value; a missing, an empty and an unusable one are the same.
    pub(super) fn text(&self, at: usize) -> Option<&str> {
        match self.places.get(at) {
            Some(Place::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// All values of a repeatable parameter.
    pub(super) fn texts(&self, at: usize) -> impl Iterator<Item = &str> {
        let further = self.further.iter().filter(move |(of, text)| *of == at && !text.is_empty());
        self.text(at).into_iter().chain(further.map(|(_, text)| &**text))
    }

    /// Whether a value is longer than it may be.
    pub(super) fn is_too_long(&self, at: usize) -> bool {
        let bytes_max = self.parameters.get(at).map_or(0, |parameter| parameter.bytes_max);
        self.texts(at).any(|text| text.len() > bytes_max)
    }
}

/// A set of names: a short list while it is short, hashed when somebody sends many, so that nobody
/// can make us compare each with each.
#[derive(Default)]
pub(super) struct Names<'a> {
    few: SmallVec<[Cow<'a, str>; 2]>,
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    /// Adds a name; hands it back when it was there already.
    pub(super) fn insert(&mut self, name: Cow<'a, str>) -> Result<(), Cow<'a, str>> {
        if let Some(many) = &mut self.many {
            return many.replace(name).map_or(Ok(()), Err);
        }
        if self.few.contains(&name) {
            return Err(name);
        }
        self.few.push(name);
        if self.few.len() > Self::FEW {
            self.many = Some(self.few.drain(..).collect());
        }
        Ok(())
    }
}
