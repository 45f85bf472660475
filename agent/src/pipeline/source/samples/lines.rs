//! Lines out of bytes, each of a bounded length.

/// Longest line: what a message of MQTT may have here, and so a packet of a thousand samples of three channels with
/// all their digits. What is longer is no sample, and must not take the memory of a small board.
pub(crate) const LINE_BYTES_MAX: usize = 256 << 10;

/// Puts lines together. A line ends with a line feed; a carriage return before it does not count.
#[derive(Debug)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// What follows until the next line's start belongs to a line that is not looked at.
    skipping: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It is longer than [`LINE_BYTES_MAX`].
    Long,
}

impl Lines {
    /// `joins`: the first bytes may be in the middle of a line, which is then not looked at.
    pub(crate) fn new(joins: bool) -> Self {
        Self { rest: Vec::new(), skipping: joins }
    }

    /// Gives each line that `bytes` end to `each`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.rest.is_empty() {
                give(line, &mut each);
            } else {
                self.rest.extend_from_slice(line);
                give(&self.rest, &mut each);
                self.rest.clear();
            }
        }
        if self.skipping {
            return;
        }
        if self.rest.len() + bytes.len() > LINE_BYTES_MAX {
            each(Line::Long);
            self.rest.clear();
            self.skipping = true;
            return;
        }
        self.rest.extend_from_slice(bytes);
    }

    /// Gives what is left as a line: the bytes have come to their end.
    pub(crate) fn end(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.rest.is_empty() {
            give(&self.rest, &mut each);
        }
        self.rest.clear();
        self.skipping = false;
    }
}

fn give(line: &[u8], each: &mut impl FnMut(Line<'_>)) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LINE_BYTES_MAX {
        each(Line::Long);
    } else if !line.trim_ascii().is_empty() {
        each(Line::Whole(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(joins: bool, parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::new(joins), Vec::new());
        let mut add = |line: Line<'_>| match line {
            Line::Whole(bytes) => found.push(String::from_utf8_lossy(bytes).into_owned()),
            Line::Long => found.push("(long)".to_owned()),
        };
        parts.iter().for_each(|part| lines.feed(part, &mut add));
        lines.end(&mut add);
        found
    }

    #[test]
    fn lines_are_put_together_however_their_bytes_come() {
        assert_eq!(lines(false, &[b"a,b\r\nc", b"d", b"\n\n  \ne\nf"]), ["a,b", "cd", "e", "f"]);
        assert_eq!(lines(true, &[b"half", b" a line\nwhole\n"]), ["whole"]);
        assert_eq!(lines(false, &[]), [""; 0]);
    }

    #[test]
    fn a_line_that_does_not_end_is_named_once_and_the_next_one_is_read() {
        let flood = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        let parts: [&[u8]; 5] = [&flood, &flood, &flood, &flood, b"\nnext\n"];
        assert_eq!(lines(false, &parts), ["(long)", "next"]);
        let mut one = vec![b'y'; LINE_BYTES_MAX + 1];
        one.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(false, &[&one]), ["(long)", "next"]);
    }
}
