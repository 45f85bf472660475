//! Golden documents still parse, and what a device must not rely on is refused by name.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};
use wire::rollout::bucket;
use wire::{Digest, ReleaseDocument, RolloutDocument, Turn};

const RELEASE: &str = include_str!("../golden/release-1.json");
const ROLLOUT: &str = include_str!("../golden/rollout-1.json");

/// `text` with the value at `pointer` replaced.
fn with(text: &str, pointer: &str, value: Value) -> Vec<u8> {
    let mut document: Value = serde_json::from_str(text).unwrap();
    *document.pointer_mut(pointer).unwrap() = value;
    serde_json::to_vec(&document).unwrap()
}

/// The error with its cause.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[test]
fn a_release_of_schema_1_is_read() {
    let release = ReleaseDocument::parse(RELEASE.as_bytes()).unwrap();
    assert_eq!((release.counter, release.bytes(), release.terms.p95_ms), (7, 9_000_000, Some(40)));
    assert_eq!(
        release.files[0].target(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.blob"
    );
    assert!(release.fits(&["aarch64".to_owned(), "nvidia,tegra234".to_owned()]));
    assert!(!release.fits(&["aarch64".to_owned()]));
    // What is written is read again.
    let written = serde_json::to_vec(&release).unwrap();
    assert_eq!(ReleaseDocument::parse(&written).unwrap(), release);
}

#[test]
fn a_release_that_no_device_could_rely_on_is_refused_by_name() {
    for (pointer, value, says) in [
        ("/schema", json!("vedette/release/2"), "its schema is `vedette/release/2`"),
        ("/model", json!("../x"), "`../x` is not a name"),
        ("/version", json!("1 0"), "`1 0` is not a name"),
        ("/counter", json!(0), "counter 0"),
        ("/counter", json!(-1), "invalid value"),
        ("/counter", json!(1.5), "invalid type: floating point"),
        ("/min_counter", json!(8), "min_counter 8"),
        ("/minimum_agent", json!("new"), "`new` is no version"),
        ("/terms/soak_s", json!(901), "trial_s below soak_s"),
        ("/files/0/path", json!("../../etc/passwd"), "leaves the model folder"),
        ("/files/0/path", json!("/model.onnx"), "leaves the model folder"),
        ("/files/0/path", json!("a/b/c/d/e"), "leaves the model folder"),
        ("/files/0/path", json!("model.toml"), "is listed twice"),
        ("/files/0/path", json!("model.toml/x"), "is a file and a folder"),
        ("/files/0/path", json!("other.onnx"), "file `model.onnx` is missing"),
        ("/files/0/length", json!(8 << 20), "has 2 chunk hashes"),
        ("/files/0/length", json!(u64::MAX), "has 2 chunk hashes"),
        ("/files/0/sha256", json!("BA"), "`BA` is no SHA-256 digest"),
        ("/files/0/chunks", json!([]), "has 0 chunk hashes"),
    ] {
        let error = ReleaseDocument::parse(&with(RELEASE, pointer, value)).unwrap_err();
        let said = chain(&error);
        assert!(said.contains(says), "{pointer}: {said}");
    }
    let long = vec![b' '; usize::try_from(wire::release::DOCUMENT_BYTES_MAX).unwrap() + 1];
    assert!(ReleaseDocument::parse(&long).unwrap_err().to_string().contains("at most"));
}

#[test]
fn a_rollout_of_schema_1_is_read_and_gives_every_device_its_turn() {
    let rollout = RolloutDocument::parse(ROLLOUT.as_bytes()).unwrap();
    let at = |text: &str| text.parse().unwrap();
    let (start, second, third) =
        (at("2026-11-24T12:00:00Z"), at("2026-11-24T18:00:00Z"), at("2026-11-25T00:00:00Z"));
    let device = |low: u32, high: u32| {
        (0..)
            .map(|n| format!("d{n}"))
            .find(|name| (low..high).contains(&bucket(name, &rollout.release)))
    };
    let (canary, half, last) =
        (device(0, 100).unwrap(), device(100, 5000).unwrap(), device(5000, 10_000).unwrap());
    for (name, now, turn) in [
        (&canary, start, Turn::Now),
        (&half, start, Turn::NotBefore(second)),
        (&half, second, Turn::Now),
        (&last, second, Turn::NotBefore(third)),
        (&last, third, Turn::Now),
    ] {
        assert_eq!(rollout.turn(name, now), turn, "{name}");
    }
    let halted = RolloutDocument { halted: true, ..rollout.clone() };
    assert_eq!(halted.turn(&canary, third), Turn::Halted);
    let named = RolloutDocument { devices: Some(vec![last.clone()]), ..rollout.clone() };
    assert_eq!((named.turn(&last, start), named.turn(&canary, third)), (Turn::Now, Turn::Never));
}

#[test]
fn a_resumed_rollout_has_its_later_waves_wait_as_long_as_it_was_halted() {
    let rollout = RolloutDocument::parse(ROLLOUT.as_bytes()).unwrap();
    let at = |text: &str| -> jiff::Timestamp { text.parse().unwrap() };
    let waves = |rollout: &RolloutDocument| -> Vec<String> {
        rollout.waves.iter().map(|wave| wave.not_before.to_string()).collect()
    };
    let (first, second, third) =
        ("2026-11-24T12:00:00Z", "2026-11-24T18:00:00Z", "2026-11-25T00:00:00Z");
    let mut halted = rollout.clone();
    halted.halt(at("2026-11-24T13:00:00Z"));
    halted.halt(at("2026-11-26T13:00:00Z"));
    let bytes = serde_json::to_vec(&halted).unwrap();
    let mut resumed = RolloutDocument::parse(&bytes).unwrap();
    assert_eq!((&resumed, waves(&resumed)), (&halted, waves(&rollout)));
    let later = resumed.resume(at("2026-11-27T14:00:00Z")).unwrap();
    assert_eq!(later.map(|length| length.as_hours()), Some(73));
    assert_eq!(waves(&resumed), [first, "2026-11-27T19:00:00Z", "2026-11-28T01:00:00Z"]);
    assert_eq!(serde_json::to_value(&resumed).unwrap().get("halted_at"), None);

    // After the last wave, by a clock that went back, and of a document that does not say when: they stay.
    for (since, now) in [
        (Some("2026-11-25T13:00:00Z"), "2026-11-27T13:00:00Z"),
        (Some("2026-11-24T13:00:00Z"), "2026-11-24T11:00:00Z"),
        (None, "2026-11-27T13:00:00Z"),
    ] {
        let halted_at = since.map(at);
        let mut resumed = RolloutDocument { halted: true, halted_at, ..rollout.clone() };
        assert_eq!(resumed.resume(at(now)).unwrap(), None, "{since:?}");
        assert_eq!(
            (resumed.halted, waves(&resumed)),
            (false, [first, second, third].map(String::from).to_vec())
        );
    }
}

#[test]
fn buckets_are_even_and_another_release_has_other_canaries() {
    let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
    let names: Vec<String> = (0..10_000).map(|n| format!("device-{n}")).collect();
    let canaries = |release| names.iter().filter(move |name| bucket(name, release) < 1000);
    let (first, second) = (canaries(&one).count(), canaries(&two).count());
    assert!((850..1150).contains(&first) && (850..1150).contains(&second), "{first} {second}");
    let both = canaries(&one).filter(|name| bucket(name, &two) < 1000).count();
    assert!((50..150).contains(&both), "{both}");
}

#[test]
fn a_rollout_that_contradicts_itself_is_refused_by_name() {
    for (pointer, value, says) in [
        ("/schema", json!("vedette/release/1"), "its schema is"),
        ("/group", json!("a~b"), "is no name"),
        ("/waves/0/permyriad", json!(6000), "not ascending"),
        ("/waves/2/permyriad", json!(10_001), "not ascending"),
        ("/waves/2/not_before", json!("2026-11-24T17:00:00Z"), "not ascending"),
        ("/waves/2/not_before", json!("soon"), "it cannot be read"),
        ("/halted", json!("no"), "it cannot be read"),
    ] {
        let error = RolloutDocument::parse(&with(ROLLOUT, pointer, value)).unwrap_err();
        assert!(chain(&error).contains(says), "{pointer}: {error}");
    }
}
