//! Draws what was found into a picture: a frame around each object, with its label and score.

use wire::Detection;

use self::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};

mod font;

/// Colours by class, easy to tell apart and from each other's neighbours.
const COLOURS: [[u8; 3]; 8] = [
    [255, 210, 0],
    [0, 200, 255],
    [255, 90, 200],
    [90, 255, 90],
    [255, 130, 0],
    [170, 120, 255],
    [255, 60, 60],
    [240, 240, 240],
];

/// Text, on any of [`COLOURS`].
const INK: [u8; 3] = [0, 0, 0];

/// Picture heights at which lines and letters become one pixel thicker: a letter is then about a fortieth of
/// the picture high.
const ROWS_PER_DOT: usize = 360;

/// Longest text that is drawn beside a box.
const LABEL_CHARS_MAX: usize = 32;

/// Draws `detections` into `rgb`: 3 bytes a pixel, rows tightly packed. What lies outside the picture, or
/// beyond the end of `rgb`, is left out.
pub fn annotate(rgb: &mut [u8], width: u32, height: u32, detections: &[Detection]) {
    let (width, height) = (size(width), size(height));
    draw(&mut Rgb { rgb, width, height }, (1.0, 1.0), detections);
}

/// Draws `detections` on `surface`, which shows their picture scaled by so much across and down.
pub fn draw(surface: &mut dyn Surface, scale: (f32, f32), detections: &[Detection]) {
    let (width, height) = surface.extent();
    let dot = (height / ROWS_PER_DOT).max(1);
    let mut canvas = Canvas { surface, scale, width, height, dot };
    // The surest last, on top.
    for detection in detections.iter().rev() {
        canvas.detection(detection);
    }
}

/// Columns and rows, the ends not included.
#[derive(Debug, Clone, Copy)]
pub struct Rect {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Behind the last column.
    pub right: usize,
    /// Behind the last row.
    pub bottom: usize,
}

/// What can be drawn on.
pub trait Surface {
    /// Columns and rows.
    fn extent(&self) -> (usize, usize);

    /// Gives all of `rect` that is on it a colour: red, green, blue.
    fn fill(&mut self, rect: Rect, colour: [u8; 3]);
}

/// Packed red, green and blue.
struct Rgb<'a> {
    rgb: &'a mut [u8],
    width: usize,
    height: usize,
}

impl Surface for Rgb<'_> {
    fn extent(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn fill(&mut self, rect: Rect, colour: [u8; 3]) {
        let (from, to) = (3 * rect.left.min(self.width), 3 * rect.right.min(self.width));
        if self.width == 0 || from >= to {
            return;
        }
        let rows = self.rgb.chunks_exact_mut(3 * self.width).take(rect.bottom.min(self.height));
        for row in rows.skip(rect.top) {
            for pixel in row.get_mut(from..to).unwrap_or_default().as_chunks_mut::<3>().0 {
                *pixel = colour;
            }
        }
    }
}

struct Canvas<'a> {
    surface: &'a mut dyn Surface,
    scale: (f32, f32),
    width: usize,
    height: usize,
    /// Side of the square that stands for a pixel of a letter, and strength of a line.
    dot: usize,
}

impl Canvas<'_> {
    fn detection(&mut self, found: &Detection) {
        let (bounds, (across, down)) = (&found.bounds, self.scale);
        let rect = Rect {
            left: nearest(bounds.x_px * across),
            top: nearest(bounds.y_px * down),
            right: nearest((bounds.x_px + bounds.width_px) * across),
            bottom: nearest((bounds.y_px + bounds.height_px) * down),
        };
        let index = size(found.index) % COLOURS.len();
        let colour = COLOURS.get(index).copied().unwrap_or(INK);
        self.frame(rect, colour);
        let percent = f64::from(found.score) * 100.0;
        let text: String = format!("{} {percent:.0}%", found.label);
        self.label(rect, &text, colour);
    }

    /// A line just inside the edges of `rect`.
    fn frame(&mut self, rect: Rect, colour: [u8; 3]) {
        let Rect { left, top, right, bottom } = rect;
        let line = 2 * self.dot - 1;
        self.fill(Rect { bottom: bottom.min(top + line), ..rect }, colour);
        self.fill(Rect { top: top.max(bottom.saturating_sub(line)), ..rect }, colour);
        self.fill(Rect { right: right.min(left + line), ..rect }, colour);
        self.fill(Rect { left: left.max(right.saturating_sub(line)), ..rect }, colour);
    }

    /// A text above a box; below it where there is no room above, and inside where there is none at all.
    fn label(&mut self, of: Rect, text: &str, colour: [u8; 3]) {
        let (advance, dot) = ((GLYPH_WIDTH + 1) * self.dot, self.dot);
        let count = text.chars().take(LABEL_CHARS_MAX).count();
        let (wide, high) = (count * advance + dot, (GLYPH_HEIGHT + 2) * dot);
        let left = of.left.min(self.width.saturating_sub(wide));
        let below = if of.bottom + high <= self.height { of.bottom } else { of.top };
        let top = of.top.checked_sub(high).unwrap_or(below);
        self.fill(Rect { left, top, right: left + wide, bottom: top + high }, colour);
        for (number, letter) in text.chars().take(LABEL_CHARS_MAX).enumerate() {
            self.letter(letter, left + dot + number * advance, top + dot);
        }
    }

    fn letter(&mut self, letter: char, left: usize, top: usize) {
        let dot = self.dot;
        for (row, bits) in glyph(letter).iter().enumerate() {
            for column in 0..GLYPH_WIDTH {
                if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                    let (left, top) = (left + column * dot, top + row * dot);
                    self.fill(Rect { left, top, right: left + dot, bottom: top + dot }, INK);
                }
            }
        }
    }

    fn fill(&mut self, rect: Rect, colour: [u8; 3]) {
        self.surface.fill(rect, colour);
    }
}

#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn size(extent: u32) -> usize {
    extent as usize
}

/// The nearest pixel edge; 0 for what is left of the picture or no number.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to u32 saturates"
)]
fn nearest(at: f32) -> usize {
    size(at.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::PixelBox;

    fn found(x_px: f32, y_px: f32, width_px: f32, height_px: f32) -> Detection {
        let bounds = PixelBox { x_px, y_px, width_px, height_px };
        Detection { index: 2, label: "star".into(), score: 0.968, bounds, track: None }
    }

    #[test]
    fn a_box_is_drawn_around_its_object_and_its_label_above() {
        let mut rgb = vec![7; 3 * 100 * 60];
        annotate(&mut rgb, 100, 60, &[found(10.0, 20.0, 30.0, 25.0)]);
        let at = |x: usize, y: usize| [0, 1, 2].map(|channel| rgb[3 * (100 * y + x) + channel]);
        for (what, x, y, wanted) in [
            ("top edge", 25, 20, COLOURS[2]),
            ("bottom edge", 25, 44, COLOURS[2]),
            ("left edge", 10, 30, COLOURS[2]),
            ("right edge", 39, 30, COLOURS[2]),
            ("inside", 25, 30, [7; 3]),
            ("below", 25, 45, [7; 3]),
            ("label's ground", 10, 10, COLOURS[2]),
            ("above the label", 10, 9, [7; 3]),
        ] {
            assert_eq!(at(x, y), wanted, "{what}");
        }
        let text: Vec<String> = (11..19)
            .map(|y| (11..59).map(|x| if at(x, y) == INK { '#' } else { ' ' }).collect::<String>())
            .map(|line| line.trim_end().to_owned())
            .collect();
        assert_eq!(
            text,
            [
                "       #                       ###  ##### ##  #",
                "       #                      #   #     # ##  #",
                " #### ####   ###  # ##        #   #    #     #",
                "#      #        # ##           ####   #     #",
                " ###   #     #### #               #  #     #",
                "    #  #  # #   # #              #   #    #  ##",
                "####    ##   #### #            ##    #    #  ##",
                "",
            ]
        );
    }

    #[test]
    fn a_label_finds_room_below_or_inside_where_there_is_none_above() {
        for (what, y, high, label_top) in
            [("above", 10.0, 30.0, 0), ("below", 9.0, 31.0, 40), ("inside", 9.0, 42.0, 9)]
        {
            let mut rgb = vec![7; 3 * 100 * 60];
            annotate(&mut rgb, 100, 60, &[found(30.0, y, 20.0, high)]);
            // A letter's dots are ink; boxes have none.
            let ink = rgb.chunks(3 * 100).position(|row| row.chunks(3).any(|pixel| pixel == INK));
            assert_eq!(ink, Some(label_top + 1), "{what}");
        }
    }

    #[test]
    fn whatever_is_asked_for_nothing_outside_the_picture_is_touched() {
        let huge = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -5.0, 0.0, 3.5, 1e9, f32::MAX];
        for (width, height) in [(0, 0), (1, 1), (5, 3), (40, 30)] {
            let full = 3 * size(width) * size(height);
            for length in [0, full / 2, full] {
                let mut rgb = vec![0; length];
                for (x, y) in huge.iter().flat_map(|x| huge.map(|y| (*x, y))) {
                    annotate(&mut rgb, width, height, &[found(x, y, y, x), found(y, 2.0, 1.0, x)]);
                }
            }
        }
    }

    #[test]
    fn every_letter_that_labels_use_has_a_glyph_of_its_own() {
        let known: Vec<char> =
            ('A'..='Z').chain('a'..='z').chain('0'..='9').chain("%-. ".chars()).collect();
        for (index, letter) in known.iter().enumerate() {
            assert!(known[..index].iter().all(|other| glyph(*other) != glyph(*letter)), "{letter}");
            assert_ne!(glyph(*letter), glyph('\u{e4}'), "{letter}");
        }
    }
}
