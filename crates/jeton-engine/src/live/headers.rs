//! The JOSE headers of the tokens that a key signs, encoded: all tokens of one shape have the same.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::terms::HeaderValue;

/// Encoded headers of one key. A realm has few shapes: one of its own, and one for some dialects.
#[derive(Default)]
pub(crate) struct Headers(ArcSwap<Vec<Encoded>>);

#[derive(Clone)]
struct Encoded {
    members: Vec<(String, HeaderValue)>,
    text: Arc<str>,
}

impl Headers {
    /// More than a realm has; whatever comes after them is encoded each time.
    const KEPT_MAX: usize = 16;

    /// The header with these members, which `encode` makes where it was not needed before.
    pub(crate) fn get(
        &self,
        members: &[(String, HeaderValue)],
        encode: impl FnOnce() -> String,
    ) -> Arc<str> {
        let kept = self.0.load();
        if let Some(known) = kept.iter().find(|known| known.members == members) {
            return Arc::clone(&known.text);
        }
        let text: Arc<str> = encode().into();
        if kept.len() < Self::KEPT_MAX {
            let new = Encoded { members: members.to_vec(), text: Arc::clone(&text) };
            // What another request adds at this moment may be lost, and is then added later.
            self.0.store(Arc::new(kept.iter().cloned().chain([new]).collect()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(token_type: &str) -> Vec<(String, HeaderValue)> {
        vec![("typ".to_owned(), HeaderValue::Constant(token_type.into()))]
    }

    #[test]
    fn a_header_is_encoded_once_for_each_shape() {
        let headers = Headers::default();
        let get = |token_type: &str, text: &str| {
            headers.get(&members(token_type), || text.to_owned()).to_string()
        };
        assert_eq!(get("JWT", "first"), "first");
        assert_eq!(get("at+jwt", "second"), "second");
        assert_eq!(get("JWT", "never made"), "first");
        assert_eq!(get("at+jwt", "never made"), "second");
    }

    #[test]
    fn more_shapes_than_are_kept_are_encoded_all_the_same() {
        let headers = Headers::default();
        for shape in 0..100 {
            let shape = shape.to_string();
            assert_eq!(&*headers.get(&members(&shape), || shape.clone()), shape);
        }
        assert_eq!(headers.0.load().len(), Headers::KEPT_MAX);
    }
}
