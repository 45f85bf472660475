//! What tests of engines and models share: where the library is, and small graphs written on the spot.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test file uses a part of it"
)]
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "protobuf's integers are bit patterns"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test's files need no durability")]

pub mod onnx;

use std::path::PathBuf;

/// The plain ONNX Runtime library, which `scripts/test` fetches.
pub fn library() -> PathBuf {
    named("VEDETTE_TEST_ORT")
}

/// The GPU build of the library.
pub fn gpu_library() -> PathBuf {
    named("VEDETTE_TEST_ORT_GPU")
}

/// The value of `variable`, which `scripts/test` sets.
pub fn named(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable).unwrap_or_else(|| {
        panic!(
            "{variable} is not set: run the tests by `scripts/test`, which fetches what they need"
        )
    });
    let path = PathBuf::from(value);
    assert!(path.exists(), "{variable} names `{}`, which is not there", path.display());
    path
}
