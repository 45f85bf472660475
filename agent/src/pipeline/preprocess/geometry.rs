//! Where a picture lies in a tensor, and which of its samples each tensor pixel lies between.
//!
//! Sizes and offsets of a letterbox are those of Ultralytics' `letterbox(auto=False)`: the smaller of both
//! ratios, extents rounded half to even, the odd pixel of padding right and below. A crop takes the larger
//! ratio and begins at half the overhang, rounded down. Sampling positions are those of OpenCV's
//! `INTER_LINEAR`: pixel centres, clamped at the edges.

use super::{Fit, PictureSpec, Placement};

/// One axis of the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// Extent of the whole scaled picture.
    pub(super) scaled: u32,
    /// Pixels of it cut off at the near end.
    pub(super) skip: u32,
    /// Tensor index of its first visible pixel.
    pub(super) first: usize,
    /// How many of its pixels are visible.
    pub(super) count: usize,
}

/// Between which two samples a tensor pixel lies: `near * (1 - weight) + far * weight`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tap {
    pub(super) near: u32,
    pub(super) far: u32,
    pub(super) weight: f64,
}

/// Both axes, across and down, for a picture of this size.
pub(super) fn axes(spec: &PictureSpec, width: u32, height: u32) -> [Axis; 2] {
    let across = f64::from(spec.width) / f64::from(width);
    let down = f64::from(spec.height) / f64::from(height);
    let ratios = match spec.fit {
        Fit::Stretch => [across, down],
        Fit::Letterbox => [across.min(down); 2],
        Fit::Crop => [across.max(down); 2],
    };
    [axis(width, spec.width, ratios[0], spec.fit), axis(height, spec.height, ratios[1], spec.fit)]
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "extents are at most SIDE_MAX squared, 2^28"
)]
fn axis(picture: u32, tensor: u32, ratio: f64, fit: Fit) -> Axis {
    let rounded = (f64::from(picture) * ratio).round_ties_even() as u32;
    let scaled = match fit {
        Fit::Stretch => tensor,
        Fit::Letterbox => rounded.clamp(1, tensor),
        Fit::Crop => rounded.max(tensor),
    };
    let skip = scaled.saturating_sub(tensor) / 2;
    let first = tensor.saturating_sub(scaled) / 2;
    Axis { scaled, skip, first: first as usize, count: scaled.min(tensor) as usize }
}

impl Axis {
    /// The taps of every visible pixel, where the picture's `extent` was decoded as `samples` samples, each
    /// `denominator` of its pixels wide (the last may reach over the edge).
    pub(super) fn taps(
        self,
        extent: u32,
        denominator: u32,
        samples: u32,
    ) -> impl Iterator<Item = Tap> {
        let step = f64::from(extent) / f64::from(self.scaled) / f64::from(denominator);
        (self.skip..self.scaled).take(self.count).map(move |pixel| {
            let centre = (f64::from(pixel) + 0.5) * step - 0.5;
            between(centre, samples)
        })
    }

    /// Tensor index of the picture's own edge; negative where it is cut off.
    fn offset(self) -> f64 {
        let first = u32::try_from(self.first).unwrap_or(u32::MAX);
        f64::from(first) - f64::from(self.skip)
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the position is checked to lie between 0 and the last sample"
)]
fn between(centre: f64, samples: u32) -> Tap {
    let last = samples.saturating_sub(1);
    if centre <= 0.0 {
        return Tap { near: 0, far: 0, weight: 0.0 };
    }
    if centre >= f64::from(last) {
        return Tap { near: last, far: last, weight: 0.0 };
    }
    let near = centre as u32;
    Tap { near, far: near + 1, weight: centre - f64::from(near) }
}

/// How to go from picture to tensor coordinates and back.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "picture coordinates need no more precision than f32 has"
)]
pub(super) fn placement(axes: &[Axis; 2], width: u32, height: u32) -> Placement {
    let [x, y] = axes;
    Placement {
        picture_width: width as f32,
        picture_height: height as f32,
        scale_x: (f64::from(x.scaled) / f64::from(width)) as f32,
        scale_y: (f64::from(y.scaled) / f64::from(height)) as f32,
        offset_x: x.offset() as f32,
        offset_y: y.offset() as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::preprocess::{Channels, Layout};
    use crate::pipeline::tensor::Element;

    fn spec(fit: Fit, width: u32, height: u32) -> PictureSpec {
        PictureSpec {
            width,
            height,
            layout: Layout::Nchw,
            channels: Channels::Rgb,
            fit,
            pad: 114,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            element: Element::F32,
        }
    }

    #[test]
    fn sizes_and_offsets_are_the_well_known_ones() {
        use Fit::{Crop, Letterbox, Stretch};
        // Letterbox rows: what Ultralytics' letterbox(auto=False) gives.
        let cases = [
            // fit, tensor, picture → scaled, skip, first of x; of y
            (Letterbox, (640, 640), (1920, 1080), (640, 0, 0), (360, 0, 140)),
            (Letterbox, (640, 640), (1080, 1920), (360, 0, 140), (640, 0, 0)),
            (Letterbox, (640, 640), (1919, 1081), (640, 0, 0), (361, 0, 139)),
            (Letterbox, (640, 480), (500, 375), (640, 0, 0), (480, 0, 0)),
            (Letterbox, (224, 224), (1920, 1080), (224, 0, 0), (126, 0, 49)),
            (Letterbox, (8, 8), (16_000, 1), (8, 0, 0), (1, 0, 3)),
            (Letterbox, (5, 5), (1, 1), (5, 0, 0), (5, 0, 0)),
            (Stretch, (640, 360), (99, 77), (640, 0, 0), (360, 0, 0)),
            (Crop, (224, 224), (1920, 1080), (398, 87, 0), (224, 0, 0)),
            (Crop, (224, 224), (3, 5), (224, 0, 0), (373, 74, 0)),
        ];
        for (fit, tensor, picture, x, y) in cases {
            let axes = axes(&spec(fit, tensor.0, tensor.1), picture.0, picture.1);
            let got = axes.map(|axis| (axis.scaled, axis.skip, axis.first));
            assert_eq!(got, [x, y], "{fit:?} {picture:?} -> {tensor:?}");
        }
    }

    #[test]
    fn a_pictures_corners_and_middle_land_where_the_placement_says() {
        for (fit, corner, middle) in [
            (Fit::Letterbox, (0.0, 140.0), (320.0, 320.0)),
            (Fit::Stretch, (0.0, 0.0), (320.0, 320.0)),
            (Fit::Crop, (-249.0, 0.0), (320.0, 320.0)),
        ] {
            let axes = axes(&spec(fit, 640, 640), 1920, 1080);
            let p = placement(&axes, 1920, 1080);
            let land = |x: f32, y: f32| (x * p.scale_x + p.offset_x, y * p.scale_y + p.offset_y);
            assert_eq!(land(0.0, 0.0), corner, "{fit:?}");
            let (x, y) = land(960.0, 540.0);
            assert!((x - middle.0).abs() < 0.6 && (y - middle.1).abs() < 0.6, "{fit:?} {x} {y}");
        }
    }

    #[test]
    fn positions_are_pixel_centres_clamped_at_the_edges() {
        let axis = Axis { scaled: 4, skip: 0, first: 0, count: 4 };
        let third: Vec<_> = axis.taps(12, 1, 12).map(|tap| (tap.near, tap.weight)).collect();
        assert_eq!(third, [(1, 0.0), (4, 0.0), (7, 0.0), (10, 0.0)]);
        let twice: Vec<_> = axis.taps(2, 1, 2).map(|tap| (tap.near, tap.far, tap.weight)).collect();
        assert_eq!(twice, [(0, 0, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0)]);
        // Thirteen pixels decoded at a half are seven samples, the last reaching over the edge.
        let half: Vec<_> = axis.taps(13, 2, 7).map(|tap| tap.near).collect();
        assert_eq!(half, [0, 1, 3, 5]);
    }
}
