//! One sample as a driver's buffer has it. Pure.

/// How a value lies in a sample: `le:s12/16>>4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    big_endian: bool,
    signed: bool,
    bits: u32,
    bytes: usize,
    shift: u32,
}

impl Type {
    /// Reads what `scan_elements/in_…_type` says. Values that are repeated within a sample are not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (order, rest) = text.split_once(':')?;
        let (value, shift) = rest.split_once(">>").unwrap_or((rest, "0"));
        let (value, storage) = value.split_once('/')?;
        let (sign, bits) = value.split_at_checked(1)?;
        let (bits, storage, shift): (u32, u32, u32) =
            (bits.parse().ok()?, storage.parse().ok()?, shift.parse().ok()?);
        let fits =
            [8, 16, 32, 64].contains(&storage) && bits > 0 && bits.checked_add(shift)? <= storage;
        let known = ["le", "be"].contains(&order) && ["s", "u"].contains(&sign) && fits;
        known.then_some(Self {
            big_endian: order == "be",
            signed: sign == "s",
            bits,
            bytes: usize::try_from(storage / 8).ok()?,
            shift,
        })
    }

    /// Its bytes.
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }

    /// The value in `bytes`, which are as many.
    #[expect(clippy::as_conversions, reason = "a sensor's value has fewer than 53 bits")]
    pub(super) fn value(self, bytes: &[u8]) -> f64 {
        let fold = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        let all = match self.big_endian {
            true => bytes.iter().fold(0, fold),
            false => bytes.iter().rev().fold(0, fold),
        };
        let unused = u64::BITS - self.bits;
        let value = (all >> self.shift) << unused;
        match self.signed {
            true => (value.cast_signed() >> unused) as f64,
            false => (value >> unused) as f64,
        }
    }
}

/// Where each value of a sample begins, in the order of their types, and the bytes of a sample: each value lies on a
/// multiple of its own size, and so does the whole of the largest.
pub(super) fn layout(types: &[Type]) -> (Vec<usize>, usize) {
    let (mut places, mut end, mut largest) = (Vec::new(), 0_usize, 1);
    for one in types {
        let begin = end.next_multiple_of(one.bytes);
        places.push(begin);
        end = begin + one.bytes;
        largest = largest.max(one.bytes);
    }
    (places, end.next_multiple_of(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_as_their_type_says() {
        for (text, bytes, wanted) in [
            ("le:s16/16>>0", &[0xFE, 0xFF][..], -2.0),
            ("be:s16/16", &[0x01, 0x02], 258.0),
            ("le:s12/16>>4", &[0xF0, 0x7F], 2047.0),
            ("le:s12/16>>4", &[0x0F, 0x80], -2048.0),
            ("be:u24/32>>8", &[0x00, 0x01, 0x00, 0xFF], 256.0),
            ("le:s64/64>>0", &[0xFF; 8], -1.0),
            ("le:u8/8>>0", &[0xC8], 200.0),
        ] {
            let one = Type::parse(text).unwrap();
            assert_eq!((one.bytes(), one.value(bytes)), (bytes.len(), wanted), "{text}");
        }
        for text in [
            "",
            "le",
            "le:s16",
            "le:s16/12",
            "xe:s16/16",
            "le:q16/16",
            "le:s16/16X3",
            "le:s16/16>>1",
            "le:é/16",
        ] {
            assert_eq!(Type::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_value_lies_on_a_multiple_of_its_size() {
        let types =
            |texts: &[&str]| texts.iter().map(|t| Type::parse(t).unwrap()).collect::<Vec<_>>();
        for (texts, places, bytes) in [
            (&["le:s16/16"; 3][..], vec![0, 2, 4], 6),
            (&["le:s16/16", "le:s16/16", "le:s16/16", "le:s64/64"], vec![0, 2, 4, 8], 16),
            (&["le:u8/8", "le:s32/32"], vec![0, 4], 8),
        ] {
            assert_eq!(layout(&types(texts)), (places, bytes), "{texts:?}");
        }
    }
}
