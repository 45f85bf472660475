//! Elements of tensors in JSON: lists, nested or not, to bytes and back.
//!
//! JSON has no number that is none: what is not finite in an answer is `null`; a client that needs
//! it asks for binary.

use std::fmt;

use bytes::Bytes;
use half::{bf16, f16};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};

use crate::pipeline::tensor::Element;
use crate::pipeline::value::{Data, Value};

/// What stood in a list, in order, whatever its nesting. Eight bytes an element, since its type is
/// not yet known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Listed {
    /// Nothing.
    #[default]
    Nothing,
    /// Integers.
    Integers(Vec<i64>),
    /// Integers, of which one is larger than the others can be.
    Large(Vec<u64>),
    /// Numbers.
    Numbers(Vec<f64>),
    /// Truth values.
    Truths(Vec<bool>),
    /// Texts.
    Texts(Vec<Bytes>),
}

impl Listed {
    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Integers(list) => list.len(),
            Self::Large(list) => list.len(),
            Self::Numbers(list) => list.len(),
            Self::Truths(list) => list.len(),
            Self::Texts(list) => list.len(),
        }
    }

    fn integer(&mut self, number: i64) -> Result<(), &'static str> {
        match self {
            Self::Nothing => *self = Self::Integers(vec![number]),
            Self::Integers(list) => list.push(number),
            Self::Large(list) => match u64::try_from(number) {
                Ok(number) => list.push(number),
                Err(_) => return Err("integers that no type holds together"),
            },
            Self::Numbers(list) => list.push(to_f64(number)),
            _ => return Err(MIXED),
        }
        Ok(())
    }

    fn large(&mut self, number: u64) -> Result<(), &'static str> {
        if let Self::Integers(list) = self {
            let all: Result<Vec<u64>, _> = list.iter().map(|&one| u64::try_from(one)).collect();
            *self = Self::Large(all.map_err(|_| "integers that no type holds together")?);
        }
        match self {
            Self::Nothing => *self = Self::Large(vec![number]),
            Self::Large(list) => list.push(number),
            Self::Numbers(list) => list.push(large_to_f64(number)),
            _ => return Err(MIXED),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), &'static str> {
        match self {
            Self::Integers(list) => {
                *self = Self::Numbers(list.iter().map(|&one| to_f64(one)).collect());
            }
            Self::Large(list) => {
                *self = Self::Numbers(list.iter().map(|&one| large_to_f64(one)).collect());
            }
            _ => {}
        }
        match self {
            Self::Nothing => *self = Self::Numbers(vec![number]),
            Self::Numbers(list) => list.push(number),
            _ => return Err(MIXED),
        }
        Ok(())
    }

    fn truth(&mut self, truth: bool) -> Result<(), &'static str> {
        match self {
            Self::Nothing => *self = Self::Truths(vec![truth]),
            Self::Truths(list) => list.push(truth),
            _ => return Err(MIXED),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), &'static str> {
        let text = Bytes::copy_from_slice(text.as_bytes());
        match self {
            Self::Nothing => *self = Self::Texts(vec![text]),
            Self::Texts(list) => list.push(text),
            _ => return Err(MIXED),
        }
        Ok(())
    }
}

const MIXED: &str = "elements of different types";

#[expect(clippy::as_conversions, reason = "an integer in a list of numbers is one of them")]
#[expect(clippy::cast_precision_loss, reason = "as JSON itself has it")]
fn to_f64(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::as_conversions, reason = "an integer in a list of numbers is one of them")]
#[expect(clippy::cast_precision_loss, reason = "as JSON itself has it")]
fn large_to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::as_conversions, reason = "rounds to the nearest")]
#[expect(clippy::cast_possible_truncation, reason = "the caller looks whether it is still finite")]
fn to_f32(number: f64) -> f32 {
    number as f32
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut listed = Self::Nothing;
        deserializer.deserialize_seq(Onto(&mut listed))?;
        Ok(listed)
    }
}

/// Puts what it reads behind what is there.
struct Onto<'a>(&'a mut Listed);

impl<'de> DeserializeSeed<'de> for Onto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Onto<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers, truth values or texts, nested or not")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Onto(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.0.integer(number).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        let small = i64::try_from(number).map(|number| self.0.integer(number));
        small.unwrap_or_else(|_| self.0.large(number)).map_err(E::custom)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.0.number(number).map_err(E::custom)
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        self.0.truth(truth).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.text(text).map_err(E::custom)
    }
}

/// `listed` as elements of a tensor.
///
/// # Errors
/// What is in it, and what was expected.
pub(super) fn data(listed: Listed, element: Element) -> Result<Data, String> {
    use Element as E;
    let bytes = match element {
        E::String => {
            return match listed {
                Listed::Texts(texts) => Ok(Data::Texts(texts)),
                Listed::Nothing => Ok(Data::Texts(Vec::new())),
                _ => Err("expected texts".to_owned()),
            };
        }
        E::Bool => truths(listed)?,
        E::U8 => integers(&listed, |n: u8| [n])?,
        E::I8 => integers(&listed, i8::to_le_bytes)?,
        E::U16 => integers(&listed, u16::to_le_bytes)?,
        E::I16 => integers(&listed, i16::to_le_bytes)?,
        E::U32 => integers(&listed, u32::to_le_bytes)?,
        E::I32 => integers(&listed, i32::to_le_bytes)?,
        E::U64 => integers(&listed, u64::to_le_bytes)?,
        E::I64 => integers(&listed, i64::to_le_bytes)?,
        E::F16 => numbers(
            &listed,
            |n| Some(f16::from_f64(n)).filter(|n| n.is_finite()),
            f16::to_le_bytes,
        )?,
        E::Bf16 => numbers(
            &listed,
            |n| Some(bf16::from_f64(n)).filter(|n| n.is_finite()),
            bf16::to_le_bytes,
        )?,
        E::F32 => {
            numbers(&listed, |n| Some(to_f32(n)).filter(|n| n.is_finite()), f32::to_le_bytes)?
        }
        E::F64 => numbers(&listed, Some, f64::to_le_bytes)?,
    };
    Ok(Data::Bytes(bytes.into()))
}

fn truths(listed: Listed) -> Result<Vec<u8>, String> {
    match listed {
        Listed::Nothing => Ok(Vec::new()),
        Listed::Truths(truths) => Ok(truths.into_iter().map(u8::from).collect()),
        Listed::Integers(list) => list
            .into_iter()
            .map(|one| u8::try_from(one).ok().filter(|one| *one <= 1))
            .collect::<Option<_>>()
            .ok_or_else(|| "expected true and false, or 1 and 0".to_owned()),
        _ => Err("expected true and false".to_owned()),
    }
}

fn integers<T, const N: usize>(
    listed: &Listed,
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>, String>
where
    T: TryFrom<i64> + TryFrom<u64>,
{
    let mut bytes = Vec::with_capacity(listed.len() * N);
    match listed {
        Listed::Nothing => {}
        Listed::Integers(list) => {
            for one in list {
                let fits = T::try_from(*one).map_err(|_| format!("{one} is out of its range"))?;
                bytes.extend(to_bytes(fits));
            }
        }
        Listed::Large(list) => {
            for one in list {
                let fits = T::try_from(*one).map_err(|_| format!("{one} is out of its range"))?;
                bytes.extend(to_bytes(fits));
            }
        }
        _ => return Err("expected integers".to_owned()),
    }
    Ok(bytes)
}

fn numbers<T, const N: usize>(
    listed: &Listed,
    from: impl Fn(f64) -> Option<T>,
    to_bytes: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(listed.len() * N);
    let mut push = |number: f64| {
        let fits = from(number).ok_or_else(|| format!("{number} is out of its range"))?;
        bytes.extend(to_bytes(fits));
        Ok::<(), String>(())
    };
    match listed {
        Listed::Nothing => {}
        Listed::Integers(list) => list.iter().try_for_each(|&one| push(to_f64(one)))?,
        Listed::Large(list) => list.iter().try_for_each(|&one| push(large_to_f64(one)))?,
        Listed::Numbers(list) => list.iter().try_for_each(|&one| push(one))?,
        _ => return Err("expected numbers".to_owned()),
    }
    Ok(bytes)
}

/// The elements of a value as one list.
#[derive(Debug)]
pub(super) struct List<'a>(pub(super) &'a Value);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use Element as E;
        let bytes = match &self.0.data {
            Data::Texts(texts) => {
                let mut list = serializer.serialize_seq(Some(texts.len()))?;
                for text in texts {
                    let text = std::str::from_utf8(text).map_err(|_| {
                        S::Error::custom("a text that is no UTF-8: ask for binary data")
                    })?;
                    list.serialize_element(text)?;
                }
                return list.end();
            }
            Data::Bytes(bytes) => bytes,
        };
        match self.0.element {
            E::Bool => list(serializer, bytes, |[byte]: [u8; 1]| byte != 0),
            E::U8 => list(serializer, bytes, u8::from_le_bytes),
            E::I8 => list(serializer, bytes, i8::from_le_bytes),
            E::U16 => list(serializer, bytes, u16::from_le_bytes),
            E::I16 => list(serializer, bytes, i16::from_le_bytes),
            E::U32 => list(serializer, bytes, u32::from_le_bytes),
            E::I32 => list(serializer, bytes, i32::from_le_bytes),
            E::U64 => list(serializer, bytes, u64::from_le_bytes),
            E::I64 => list(serializer, bytes, i64::from_le_bytes),
            E::F16 => list(serializer, bytes, |two| f16::from_le_bytes(two).to_f32()),
            E::Bf16 => list(serializer, bytes, |two| bf16::from_le_bytes(two).to_f32()),
            E::F32 => list(serializer, bytes, f32::from_le_bytes),
            E::F64 => list(serializer, bytes, f64::from_le_bytes),
            E::String => list(serializer, &[], |[byte]: [u8; 1]| byte),
        }
    }
}

fn list<S: Serializer, T: Serialize, const N: usize>(
    serializer: S,
    bytes: &[u8],
    from: impl Fn([u8; N]) -> T,
) -> Result<S::Ok, S::Error> {
    let (chunks, _) = bytes.as_chunks::<N>();
    let mut list = serializer.serialize_seq(Some(chunks.len()))?;
    for chunk in chunks {
        list.serialize_element(&from(*chunk))?;
    }
    list.end()
}

/// Lists of elements in the API's document: nested or not.
#[cfg(test)]
mod schema {
    use super::{List, Listed};

    fn elements() -> schemars::Schema {
        let item = ["number", "boolean", "string", "array", "null"];
        schemars::json_schema!({ "type": "array", "items": { "type": item } })
    }

    impl schemars::JsonSchema for Listed {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Elements".into()
        }

        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            elements()
        }
    }

    impl schemars::JsonSchema for List<'_> {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "ElementsAnswered".into()
        }

        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            elements()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `json` becomes as elements of `element`, written as JSON again.
    fn check(element: Element, json: &str) -> Result<String, String> {
        let listed: Listed = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let (count, data) = (listed.len(), data(listed, element)?);
        let value = Value { element, shape: vec![count], data };
        assert!(value.is_whole(), "{element:?} {json}");
        serde_json::to_string(&List(&value)).map_err(|error| error.to_string())
    }

    #[test]
    fn elements_of_every_type_come_back_as_they_went() {
        use Element as E;
        for (element, json) in [
            (E::Bool, "[true,false]"),
            (E::U8, "[0,255]"),
            (E::I8, "[-128,127]"),
            (E::U16, "[0,65535]"),
            (E::I16, "[-32768,32767]"),
            (E::U32, "[0,4294967295]"),
            (E::I32, "[-2147483648,2147483647]"),
            (E::U64, "[0,18446744073709551615]"),
            (E::I64, "[-9223372036854775808,9223372036854775807]"),
            (E::F16, "[0.5,-65504.0]"),
            (E::Bf16, "[0.5,-2.0]"),
            (E::F32, "[0.1,3.4028235e+38]"),
            (E::F64, "[0.1,1.7976931348623157e+308]"),
            (E::String, "[\"\",\"ä\\u0000b\"]"),
        ] {
            assert_eq!(check(element, json).as_deref(), Ok(json), "{element:?}");
        }
    }

    #[test]
    fn nesting_does_not_matter_and_integers_are_numbers_too() {
        assert_eq!(check(Element::F32, "[[1,[2]],[[2.5]]]").as_deref(), Ok("[1.0,2.0,2.5]"));
        assert_eq!(check(Element::Bool, "[1,0]").as_deref(), Ok("[true,false]"));
        assert_eq!(check(Element::I64, "[]").as_deref(), Ok("[]"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_was_expected() {
        use Element as E;
        for (element, json, part) in [
            (E::U8, "[256]", "256 is out of its range"),
            (E::U8, "[-1]", "-1 is out of its range"),
            (E::I32, "[1.5]", "expected integers"),
            (E::I64, "[18446744073709551615]", "18446744073709551615 is out of its range"),
            (E::F16, "[70000]", "70000 is out of its range"),
            (E::F32, "[1e300]", "is out of its range"),
            (E::F32, "[\"a\"]", "expected numbers"),
            (E::F32, "[NaN]", "expected value"),
            (E::F32, "[null]", "expected a list of numbers"),
            (E::F32, "[1,\"a\"]", "elements of different types"),
            (E::F32, "{}", "expected a list of numbers"),
            (E::Bool, "[2]", "expected true and false, or 1 and 0"),
            (E::String, "[1]", "expected texts"),
        ] {
            let error = check(element, json).unwrap_err();
            assert!(error.contains(part), "{element:?} {json}: {error}");
        }
    }

    #[test]
    fn what_is_no_number_is_null_in_an_answer() {
        let bytes: Vec<u8> =
            [f32::NAN, f32::INFINITY, 1.0].iter().flat_map(|n| n.to_le_bytes()).collect();
        let data = Data::Bytes(bytes.into());
        let value = Value { element: Element::F32, shape: vec![3], data };
        assert_eq!(serde_json::to_string(&List(&value)).unwrap(), "[null,null,1.0]");
    }
}
