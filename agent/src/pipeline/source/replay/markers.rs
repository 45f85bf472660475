//! Where one JPEG picture ends and the next begins, by walking the markers as they come.
//!
//! The two bytes of an end marker may stand inside a comment or a thumbnail, so a search for them would cut
//! pictures apart. [`Markers`] follows segment lengths and, within coefficients, the stuffing. It keeps no
//! bytes: the caller does, up to its own limit.

/// Where the walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Between pictures.
    #[default]
    Outside,
    /// Between pictures, after FF.
    OutsideFf,
    /// Before a marker.
    Header,
    /// After the FF of a marker.
    HeaderFf,
    /// Before a segment's length.
    Length { is_scan: bool },
    /// After its upper byte.
    LengthLow { is_scan: bool, high: u8 },
    /// So many bytes before a segment's end.
    Body { is_scan: bool, left: u16 },
    /// In a scan's coefficients.
    Scan,
    /// After an FF there.
    ScanFf,
}

/// What the bytes meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// They belong to no picture.
    Junk,
    /// A picture begins after them: its first two bytes, FF D8, are consumed. One that was under way
    /// is cut off.
    Begun,
    /// They belong to the picture.
    Part,
    /// They belong to the picture and end it.
    Whole,
    /// What was under way is no JPEG picture.
    Broken,
}

/// A walk over a stream of JPEG pictures.
#[derive(Debug, Clone, Default)]
pub(super) struct Markers(State);

impl Markers {
    /// Walks until something happens, at most to the end of `input`. Returns how many bytes that took, and
    /// what they meant.
    pub(super) fn walk(&mut self, input: &[u8]) -> (usize, Step) {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            let rest = input.get(at..).unwrap_or_default();
            // Where nothing can happen for a while, many bytes at once.
            let skipped = match self.0 {
                State::Outside | State::Header | State::Scan => until_ff(rest),
                State::Body { left, .. } => rest.len().min(usize::from(left)),
                _ => 0,
            };
            if skipped > 0 {
                at += skipped;
                self.skip(skipped);
                continue;
            }
            at += 1;
            let (state, step) = after(self.0, byte);
            self.0 = state;
            if let Some(step) = step {
                return (at, step);
            }
        }
        let is_outside = matches!(self.0, State::Outside | State::OutsideFf);
        (at, if is_outside { Step::Junk } else { Step::Part })
    }

    fn skip(&mut self, count: usize) {
        if let State::Body { is_scan, left } = self.0 {
            let left = left.saturating_sub(u16::try_from(count).unwrap_or(u16::MAX));
            self.0 = body(is_scan, left);
        }
    }
}

/// Whether `file` holds one whole JPEG picture from its first byte on; more may follow.
pub(super) fn is_whole(file: &[u8]) -> bool {
    let mut markers = Markers::default();
    if markers.walk(file) != (2, Step::Begun) {
        return false;
    }
    markers.walk(file.get(2..).unwrap_or_default()).1 == Step::Whole
}

fn until_ff(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == 0xFF).unwrap_or(bytes.len())
}

fn body(is_scan: bool, left: u16) -> State {
    match (left, is_scan) {
        (0, true) => State::Scan,
        (0, false) => State::Header,
        (left, is_scan) => State::Body { is_scan, left },
    }
}

/// The state after one byte, and what has happened.
fn after(state: State, byte: u8) -> (State, Option<Step>) {
    let state = match (state, byte) {
        (State::OutsideFf, 0xD8) => return (State::Header, Some(Step::Begun)),
        (State::Outside | State::OutsideFf, 0xFF) => State::OutsideFf,
        (State::Outside | State::OutsideFf, _) => State::Outside,
        (State::Header, 0xFF) => State::HeaderFf,
        // Decoders go on at the next marker too.
        (State::Header, _) | (State::HeaderFf, 0x00) => State::Header,
        (State::Scan, 0xFF) => State::ScanFf,
        // A stuffed FF, or a restart.
        (State::Scan, _) | (State::ScanFf, 0x00 | 0xD0..=0xD7) => State::Scan,
        (State::HeaderFf | State::ScanFf, 0xFF) => state,
        (State::HeaderFf | State::ScanFf, 0xD8) => return (State::Header, Some(Step::Begun)),
        (State::HeaderFf | State::ScanFf, 0xD9) => return (State::Outside, Some(Step::Whole)),
        (State::HeaderFf, 0x01 | 0xD0..=0xD7) => State::Header,
        (State::HeaderFf | State::ScanFf, marker) => State::Length { is_scan: marker == 0xDA },
        (State::Length { is_scan }, high) => State::LengthLow { is_scan, high },
        (State::LengthLow { is_scan, high }, low) => {
            // The length counts itself.
            match u16::from_be_bytes([high, low]).checked_sub(2) {
                Some(left) => body(is_scan, left),
                None => return (State::Outside, Some(Step::Broken)),
            }
        }
        (State::Body { is_scan, left }, _) => body(is_scan, left.saturating_sub(1)),
    };
    (state, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = &[
        0xFF, 0xD8, // start
        0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 0xFF, 0xD9, 0xFF, 0xD9, // a thumbnail in a segment
        0xFF, 0xFF, 0xC0, 0, 4, 1, 2, // filling before a marker
        0xFF, 0xDA, 0, 3, 9, 5, 0xFF, 0x00, 7, 0xFF, 0xD3,
        8, // a scan with a stuffed FF and a restart
        0xFF, 0xC4, 0, 2, 0xFF, 0xDA, 0, 2,
        4, // another table and scan, as in progressive files
        0xFF, 0xD9, // end
    ];

    /// The pictures in a stream that comes in pieces of that size, and how many were cut off or broken.
    fn pictures(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, usize) {
        let (mut markers, mut found, mut lost) = (Markers::default(), Vec::new(), 0);
        let mut current: Option<Vec<u8>> = None;
        for mut piece in stream.chunks(piece) {
            while !piece.is_empty() {
                let (taken, step) = markers.walk(piece);
                let (part, rest) = piece.split_at(taken);
                match step {
                    Step::Junk => assert!(current.is_none()),
                    Step::Begun => lost += usize::from(current.replace(vec![0xFF, 0xD8]).is_some()),
                    Step::Part => current.as_mut().unwrap().extend(part),
                    Step::Whole => {
                        current.as_mut().unwrap().extend(part);
                        found.push(current.take().unwrap());
                    }
                    Step::Broken => {
                        lost += 1;
                        current = None;
                    }
                }
                piece = rest;
            }
        }
        (found, lost + usize::from(current.is_some()))
    }

    #[test]
    fn pictures_are_found_whatever_stands_in_and_between_them() {
        let cut = &PICTURE[..PICTURE.len() - 3];
        let broken = &[0xFF, 0xD8, 0xFF, 0xE0, 0, 1];
        for (what, stream, wanted, lost) in [
            ("one", [PICTURE, &[], &[]].concat(), 1, 0),
            ("three", [PICTURE, PICTURE, PICTURE].concat(), 3, 0),
            ("padding between", [PICTURE, &[0, 0xFF, 0, 10, 0xFF, 0xFF], PICTURE].concat(), 2, 0),
            ("one that is cut off", [PICTURE, cut, PICTURE].concat(), 2, 1),
            ("the last is cut off", [PICTURE, PICTURE, cut].concat(), 2, 1),
            ("one with an impossible length", [PICTURE, broken, PICTURE].concat(), 2, 1),
            ("something else", [&b"RIFF"[..], &[0xFF; 9], &[0; 99]].concat(), 0, 0),
            ("nothing", vec![], 0, 0),
        ] {
            for piece in [1, 2, 3, 7, 1000] {
                let (found, found_lost) = pictures(&stream, piece);
                assert_eq!((found.len(), found_lost), (wanted, lost), "{what}, pieces of {piece}");
                assert!(
                    found.iter().all(|picture| picture == PICTURE),
                    "{what}, pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn a_file_is_whole_only_with_its_last_byte() {
        assert!(is_whole(PICTURE));
        assert!(is_whole(&[PICTURE, &[0; 5]].concat()));
        assert!(!is_whole(&[&[0], PICTURE].concat()));
        for length in 0..PICTURE.len() {
            assert!(!is_whole(&PICTURE[..length]), "{length}");
        }
    }
}
