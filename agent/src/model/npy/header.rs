//! The text at the head of a `.npy` file: a Python dictionary, of which exactly NumPy's three keys are understood.

use std::fmt::Write;

use super::{MAX_RANK, Malformed, TYPES};
use crate::pipeline::tensor::Element;

pub(super) fn write(element: Element, shape: &[usize]) -> String {
    let name = TYPES.iter().find(|(_, known)| *known == element).map_or("?", |(name, _)| name);
    let mut extents = String::new();
    for (index, extent) in shape.iter().enumerate() {
        let before = if index == 0 { "" } else { ", " };
        write!(extents, "{before}{extent}").unwrap_or_default();
    }
    let after = if shape.len() == 1 { "," } else { "" };
    format!("{{'descr': '{name}', 'fortran_order': False, 'shape': ({extents}{after}), }}")
}

pub(super) fn parse(header: &[u8]) -> Result<(Element, Vec<usize>), Malformed> {
    let text = str::from_utf8(header).map_err(|_| Malformed::Header("is not text"))?;
    let (mut element, mut order, mut shape) = (None, None, None);
    let mut rest = Rest(text);
    rest.expect('{')?;
    while !rest.skip('}') {
        match rest.quoted()? {
            "descr" if element.is_none() => {
                rest.expect(':')?;
                let name = rest.quoted()?;
                let known = TYPES.iter().find(|(known, _)| *known == name);
                let known = known.ok_or_else(|| Malformed::Type(name.to_owned()))?;
                element = Some(known.1);
            }
            "fortran_order" if order.is_none() => {
                rest.expect(':')?;
                order = Some(rest.word()?);
            }
            "shape" if shape.is_none() => {
                rest.expect(':')?;
                shape = Some(rest.shape()?);
            }
            _ => return Err(UNEXPECTED),
        }
        if !rest.skip(',') {
            rest.expect('}')?;
            break;
        }
    }
    if !rest.0.trim().is_empty() {
        return Err(UNEXPECTED);
    }
    match (element, order, shape) {
        (Some(_), Some("True"), Some(_)) => {
            Err(Malformed::Header("says column-major, expected row-major"))
        }
        (Some(element), Some("False"), Some(shape)) => Ok((element, shape)),
        _ => Err(Malformed::Header("lacks descr, fortran_order or shape")),
    }
}

const UNEXPECTED: Malformed = Malformed::Header("is not as NumPy writes it");

/// The text that was not read yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, mark: char) -> bool {
        let found = self.0.trim_start().strip_prefix(mark);
        self.0 = found.unwrap_or(self.0);
        found.is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), Malformed> {
        self.skip(mark).then_some(()).ok_or(UNEXPECTED)
    }

    fn quoted(&mut self) -> Result<&'a str, Malformed> {
        self.expect('\'')?;
        let (text, rest) = self.0.split_once('\'').ok_or(UNEXPECTED)?;
        self.0 = rest;
        Ok(text)
    }

    fn word(&mut self) -> Result<&'a str, Malformed> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).ok_or(UNEXPECTED)?;
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        Ok(word)
    }

    fn shape(&mut self) -> Result<Vec<usize>, Malformed> {
        self.expect('(')?;
        let mut shape = Vec::new();
        while !self.skip(')') {
            if shape.len() == MAX_RANK {
                return Err(Malformed::Header("has too many dimensions"));
            }
            shape.push(self.word()?.parse().map_err(|_| UNEXPECTED)?);
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }
}
