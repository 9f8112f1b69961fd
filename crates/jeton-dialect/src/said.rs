//! How the raw types are read from TOML: every value keeps its place, every mistake is noted and
//! reading goes on, unknown keys are mistakes.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Finder, suggestion};

/// A value, and where in the file it was said.
#[derive(Clone, Debug)]
pub(crate) struct Said<T> {
    /// What was said.
    pub(crate) value: T,
    /// Where, in bytes.
    pub(crate) span: Range<usize>,
}

impl<T> Deref for Said<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: JsonSchema> JsonSchema for Said<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A type that can be read from a TOML value.
pub(crate) trait Raw: Sized {
    /// What is expected, for messages: "a string", "a table".
    const EXPECTED: &'static str;

    /// Reads the value; notes problems. `None` when there is nothing to go on with.
    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self>;
}

/// Reads a value and keeps its place.
pub(crate) fn read_said<T: Raw>(
    value: &Spanned<DeValue<'_>>,
    finder: &mut Finder<'_>,
) -> Option<Said<T>> {
    T::read(value, finder).map(|read| Said { value: read, span: value.span() })
}

/// Notes that a value is of the wrong type.
pub(crate) fn wrong_type(value: &Spanned<DeValue<'_>>, expected: &str, finder: &mut Finder<'_>) {
    let got = value.get_ref().type_str();
    finder.at(&value.span(), format!("this is a TOML {got}"), format!("write {expected} here"));
}

/// Notes a key that nobody knows.
pub(crate) fn unknown_key(key: &Spanned<Cow<'_, str>>, known: &[&str], finder: &mut Finder<'_>) {
    let name = key.get_ref();
    let remedy = suggestion(name, known.iter().copied());
    finder.at(&key.span(), format!("unknown key `{name}`"), remedy);
}

/// The members of a table value.
pub(crate) fn table<'v, 'i>(value: &'v Spanned<DeValue<'i>>) -> Option<&'v DeTable<'i>> {
    value.get_ref().as_table()
}

impl Raw for String {
    const EXPECTED: &'static str = "a string";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            wrong_type(value, Self::EXPECTED, finder);
        }
        text.map(str::to_owned)
    }
}

impl Raw for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        let said = value.get_ref().as_bool();
        if said.is_none() {
            wrong_type(value, Self::EXPECTED, finder);
        }
        said
    }
}

impl Raw for u32 {
    const EXPECTED: &'static str = "a whole number, not negative";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        let number = value.get_ref().as_integer();
        let said = number.and_then(|n| Self::from_str_radix(n.as_str(), n.radix()).ok());
        if said.is_none() {
            wrong_type(value, Self::EXPECTED, finder);
        }
        said
    }
}

impl<T: Raw> Raw for Vec<Said<T>> {
    const EXPECTED: &'static str = "an array";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        let Some(items) = value.get_ref().as_array() else {
            wrong_type(value, Self::EXPECTED, finder);
            return None;
        };
        Some(items.iter().filter_map(|item| read_said(item, finder)).collect())
    }
}

/// A table whose keys are the author's own, in the order they were said.
#[derive(Clone, Debug)]
pub(crate) struct Members<T>(pub(crate) Vec<(Said<String>, Said<T>)>);

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: JsonSchema> JsonSchema for Members<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Members_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let member = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": member })
    }
}

impl<T: Raw> Raw for Members<T> {
    const EXPECTED: &'static str = "a table";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        let Some(members) = table(value) else {
            wrong_type(value, Self::EXPECTED, finder);
            return None;
        };
        let read = members.iter().filter_map(|(key, value)| {
            let name = Said { value: key.get_ref().clone().into_owned(), span: key.span() };
            read_said(value, finder).map(|value| (name, value))
        });
        Some(Self(read.collect()))
    }
}

/// One text, or several.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany(pub(crate) Vec<Said<String>>);

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ]
        })
    }
}

impl Raw for OneOrMany {
    const EXPECTED: &'static str = "a string or an array of strings";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => read_said(value, finder).map(|text| Self(vec![text])),
            DeValue::Array(_) => Vec::read(value, finder).map(Self),
            _ => {
                wrong_type(value, Self::EXPECTED, finder);
                None
            }
        }
    }
}

/// JSON as TOML says it: members in the order of the file; texts may hold `{values}`.
#[derive(Clone, Debug)]
pub(crate) enum Json {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text, perhaps with `{values}` in it.
    Text(String),
    /// An array.
    Array(Vec<Said<Json>>),
    /// An object.
    Object(Members<Json>),
}

impl JsonSchema for Json {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

impl Raw for Json {
    const EXPECTED: &'static str = "a string, a number, true, false, an array or a table";

    fn read(value: &Spanned<DeValue<'_>>, finder: &mut Finder<'_>) -> Option<Self> {
        let read = match value.get_ref() {
            DeValue::String(text) => Some(Self::Text(text.clone().into_owned())),
            DeValue::Boolean(said) => Some(Self::Bool(*said)),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(Self::Integer)
            }
            DeValue::Float(number) => {
                let parsed = number.as_str().parse().ok().filter(|said: &f64| said.is_finite());
                parsed.map(Self::Float)
            }
            DeValue::Array(_) => return Vec::read(value, finder).map(Self::Array),
            DeValue::Table(_) => return Members::read(value, finder).map(Self::Object),
            DeValue::Datetime(_) => None,
        };
        if read.is_none() {
            let remedy =
                "dates, infinities and numbers beyond 64 bits are not JSON; write them as a string";
            finder.at(&value.span(), "this has no place in JSON", remedy);
        }
        read
    }
}

/// Defines a table of the dialect language once: the struct, its reader and its place in the JSON
/// Schema. Every key is optional here; what is required is said by the checks, which see the whole.
macro_rules! raw {
    ($($(#[$documentation:meta])* struct $name:ident {
        $($(#[$field_documentation:meta])* $field:ident: $type:ty,)+
    })+) => {$(
        $(#[$documentation])*
        #[derive(Clone, Debug, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_documentation])* pub(crate) $field: Option<$crate::said::Said<$type>>,)+
            /// Keys whose value could not be read: they are neither there nor missing.
            #[schemars(skip)]
            pub(crate) spoiled: Vec<&'static str>,
        }

        impl $crate::said::Raw for $name {
            const EXPECTED: &'static str = "a table";

            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                finder: &mut $crate::problem::Finder<'_>,
            ) -> Option<Self> {
                let Some(members) = $crate::said::table(value) else {
                    $crate::said::wrong_type(value, Self::EXPECTED, finder);
                    return None;
                };
                let mut read = Self::default();
                for (key, value) in members.iter() {
                    match &**key.get_ref() {
                        $(stringify!($field) => {
                            read.$field = $crate::said::read_said(value, finder);
                            if read.$field.is_none() {
                                read.spoiled.push(stringify!($field));
                            }
                        })+
                        _ => {
                            let known = [$(stringify!($field)),+];
                            // What was misspelled is neither there nor missing.
                            read.spoiled.extend($crate::problem::nearest(key.get_ref(), known));
                            $crate::said::unknown_key(key, &known, finder);
                        }
                    }
                }
                Some(read)
            }
        }
    )+};
}
pub(crate) use raw;
