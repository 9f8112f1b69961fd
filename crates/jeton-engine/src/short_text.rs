//! Text that is nearly always short, in sixteen bytes: of identifiers that every client holds one of, each
//! byte counts a hundred thousand times.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Text that never changes: up to 14 bytes are in its place, and whatever is longer is shared by its copies.
#[derive(Clone)]
pub(crate) struct ShortText(Place);

#[derive(Clone)]
enum Place {
    Here { length: u8, bytes: [u8; ShortText::HERE_MAX] },
    // Two pointers, for one to text is two words itself.
    Elsewhere(Arc<Box<str>>),
}

impl ShortText {
    const HERE_MAX: usize = 14;

    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; Self::HERE_MAX];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(here), Ok(length)) => {
                here.copy_from_slice(text.as_bytes());
                Self(Place::Here { length, bytes })
            }
            _ => Self(Place::Elsewhere(Arc::new(text.into()))),
        }
    }
}

impl Deref for ShortText {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // It was text when it was put there; to look once more costs less than it saves.
            Place::Here { length, bytes } => bytes
                .get(..usize::from(*length))
                .and_then(|bytes| str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            Place::Elsewhere(text) => text,
        }
    }
}

impl From<ShortText> for String {
    fn from(text: ShortText) -> Self {
        (*text).to_owned()
    }
}

impl PartialEq for ShortText {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ShortText {}

impl PartialOrd for ShortText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortText {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for ShortText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As `str` does, for which names are borrowed.
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn it_is_the_text_it_was_made_of_however_long() {
        for text in
            ["", "a", "ä", "s3cr3t01", "fourteen-bytes", "fifteen-bytes-0", "änderungen-14b"]
        {
            assert_eq!(&*ShortText::new(text), text);
            assert_eq!(String::from(ShortText::new(text)), text);
        }
        assert!(matches!(ShortText::new("fourteen-bytes").0, Place::Here { .. }));
        assert!(matches!(ShortText::new("fifteen-bytes-0").0, Place::Elsewhere(_)));
        assert_eq!(size_of::<ShortText>(), 16);
    }

    #[test]
    fn it_compares_and_hashes_as_text_does() {
        let hasher = foldhash::fast::FixedState::default();
        let texts = ["b", "aa", "a", "fifteen-bytes-0", "fifteen-bytes-1", "c"];
        for one in texts {
            assert_eq!(hasher.hash_one(ShortText::new(one)), hasher.hash_one(one));
            for other in texts {
                assert_eq!(ShortText::new(one).cmp(&ShortText::new(other)), one.cmp(other));
                assert_eq!(ShortText::new(one) == ShortText::new(other), one == other);
            }
        }
    }
}
