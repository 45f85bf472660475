//! A tensor that is handed over whole: what a request brings, and what it is answered with.
//!
//! A lane's buffers are for one shape and are filled in place, as a camera wants it; a request has
//! any shape that the graph takes, any type, and comes once.

use bytes::Bytes;

use super::tensor::Element;

/// A tensor with its elements, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The elements' type.
    pub element: Element,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The elements: as many as the product of `shape`.
    pub data: Data,
}

/// The elements of a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Numbers and truth values as they lie in memory, little-endian.
    Bytes(Bytes),
    /// Texts, each of any bytes.
    Texts(Vec<Bytes>),
}

/// Elements of a shape; `None` where there are more than can be counted.
#[must_use]
pub fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, extent| product.checked_mul(*extent))
}

impl Value {
    /// Whether there are as many elements as the shape says.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Some(count) = count(&self.shape) else { return false };
        match &self.data {
            Data::Bytes(bytes) => {
                self.element != Element::String
                    && Some(bytes.len()) == count.checked_mul(self.element.size_bytes())
            }
            Data::Texts(texts) => self.element == Element::String && texts.len() == count,
        }
    }

    /// Bytes of all elements.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match &self.data {
            Data::Bytes(bytes) => bytes.len(),
            Data::Texts(texts) => texts.iter().map(Bytes::len).sum(),
        }
    }

    /// These values one after the other along their first extent. The caller has seen to it that
    /// they are of one type and of one shape behind the first extent.
    #[must_use]
    pub fn join(values: &[&Value]) -> Option<Value> {
        let first = values.first()?;
        let mut shape = first.shape.clone();
        *shape.first_mut()? =
            values.iter().map(|value| value.shape.first()).sum::<Option<usize>>()?;
        let data = match &first.data {
            Data::Texts(_) => Data::Texts(
                values
                    .iter()
                    .flat_map(|value| match &value.data {
                        Data::Texts(texts) => texts.as_slice(),
                        Data::Bytes(_) => &[],
                    })
                    .cloned()
                    .collect(),
            ),
            Data::Bytes(_) => {
                let bytes = |value: &&Value| match &value.data {
                    Data::Bytes(bytes) => bytes.clone(),
                    Data::Texts(_) => Bytes::new(),
                };
                let parts: Vec<Bytes> = values.iter().map(bytes).collect();
                Data::Bytes(parts.concat().into())
            }
        };
        Some(Value { element: first.element, shape, data })
    }

    /// The `extents` of the first extent's items one after the other, each as a value of its own.
    /// `None` where they are not as many as there are items.
    #[must_use]
    pub fn split(&self, extents: &[usize]) -> Option<Vec<Value>> {
        let items = *self.shape.first()?;
        if !self.is_whole() || extents.iter().sum::<usize>() != items {
            return None;
        }
        let each = count(self.shape.get(1..)?)?;
        let mut at = 0;
        let parts = extents.iter().map(|&extent| {
            let (from, to) = (at * each, (at + extent) * each);
            at += extent;
            let mut shape = self.shape.clone();
            if let Some(first) = shape.first_mut() {
                *first = extent;
            }
            let size = self.element.size_bytes();
            let data = match &self.data {
                Data::Bytes(bytes) => Data::Bytes(bytes.slice(from * size..to * size)),
                Data::Texts(texts) => Data::Texts(texts[from..to].to_vec()),
            };
            Value { element: self.element, shape, data }
        });
        Some(parts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[usize], bytes: &[u8]) -> Value {
        let data = Data::Bytes(Bytes::copy_from_slice(bytes));
        Value { element: Element::U8, shape: shape.to_vec(), data }
    }

    fn texts(shape: &[usize], texts: &[&'static str]) -> Value {
        let data = texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        Value { element: Element::String, shape: shape.to_vec(), data: Data::Texts(data) }
    }

    #[test]
    fn a_value_is_whole_when_it_has_an_element_for_each_place() {
        assert!(numbers(&[2, 3], &[0; 6]).is_whole());
        assert!(!numbers(&[2, 3], &[0; 5]).is_whole());
        assert!(numbers(&[], &[0]).is_whole());
        assert!(numbers(&[0, 3], &[]).is_whole());
        assert!(!numbers(&[usize::MAX, 2], &[0; 6]).is_whole());
        assert!(texts(&[2], &["a", ""]).is_whole());
        assert!(!texts(&[2], &["a"]).is_whole());
    }

    #[test]
    fn what_is_joined_can_be_split_again() {
        for values in [
            [numbers(&[1, 2], &[1, 2]), numbers(&[2, 2], &[3, 4, 5, 6])],
            [texts(&[1, 2], &["a", "b"]), texts(&[2, 2], &["c", "", "e", "f"])],
        ] {
            let joined = Value::join(&values.iter().collect::<Vec<_>>()).unwrap();
            assert_eq!((joined.shape.as_slice(), joined.is_whole()), (&[3, 2][..], true));
            assert_eq!(joined.split(&[1, 2]).unwrap(), values);
            assert_eq!(joined.split(&[1, 1]), None);
        }
        assert_eq!(numbers(&[], &[1]).split(&[1]), None);
    }
}
