//! `vedette-fleet rollout`, `halt`, `resume`, `status`: which devices take which release, and when.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use wire::rollout::{DOCUMENT_BYTES_MAX, GROUP_DEFAULT, ROLE, SCHEMA, WHOLE};
use wire::topic::{BadName, is_name};
use wire::{Digest, ReleaseDocument, RolloutDocument, Wave};

use crate::keys::KeyRing;
use crate::publish::last;
use crate::repository::{Changed, LIFETIMES_H, Repository, near};
use crate::{KeyArgs, files, say};

/// Have devices take a release, in waves or by name
#[derive(Debug, Args)]
pub(crate) struct Rollout {
    /// The repository
    repository: PathBuf,
    /// The model
    model: String,
    /// The release's version
    version: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// The group of devices
    #[arg(long, value_name = "NAME", default_value = GROUP_DEFAULT)]
    group: String,
    /// Shares of the devices in percent, ascending; earlier ones included
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = ["100".to_owned()], conflicts_with = "devices")]
    waves: Vec<String>,
    /// Time between two waves, such as 6h, 30m or 45s
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = duration)]
    every: SignedDuration,
    /// Only these devices, at once
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = name)]
    devices: Option<Vec<String>>,
}

/// Nobody begins any more; devices that have not committed leave it
#[derive(Debug, Args)]
pub(crate) struct Halt {
    /// The repository
    repository: PathBuf,
    /// The model
    model: String,
    #[command(flatten)]
    keys: KeyArgs,
    /// The group of devices
    #[arg(long, value_name = "NAME", default_value = GROUP_DEFAULT)]
    group: String,
}

/// Show releases, rollouts, and how long each role's signatures last
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The repository
    repository: PathBuf,
    /// Only this model
    model: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Reads `6h`, `30m`, `45s`.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("`{text}` is no time: 6h, 30m or 45s");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    match unit {
        "h" => Ok(SignedDuration::from_hours(number.into())),
        "m" => Ok(SignedDuration::from_mins(number.into())),
        "s" => Ok(SignedDuration::from_secs(number.into())),
        _ => Err(wrong()),
    }
}

/// Reads a name as devices have one: another one would never be theirs.
fn name(text: &str) -> Result<String, String> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(BadName(text.to_owned()).to_string()) }
}

/// Reads a share in percent, with up to two decimals, as ten-thousandths.
fn permyriad(text: &str) -> Result<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = !whole.is_empty()
        && part.len() <= 2
        && [whole, part].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let share = if digits { format!("{whole}{part:0<2}").parse().ok() } else { None };
    match share.filter(|share: &u32| (1..=WHOLE).contains(share)) {
        Some(share) => Ok(share),
        None => bail!("`{text}` is no share: from 0.01 to 100 percent"),
    }
}

/// Now, in whole seconds.
fn now() -> Result<Timestamp> {
    Ok(Timestamp::from_second(Timestamp::now().as_second())?)
}

fn current(repository: &Repository, model: &str, group: &str) -> Result<Option<RolloutDocument>> {
    let name = RolloutDocument::target(model, group);
    let bytes = repository.document(&repository.rollout, &name, DOCUMENT_BYTES_MAX)?;
    bytes
        .map(|bytes| {
            RolloutDocument::parse(&bytes).with_context(|| format!("`{name}` is no rollout"))
        })
        .transpose()
}

fn write(repository: &mut Repository, keys: &KeyRing, rollout: &RolloutDocument) -> Result<()> {
    rollout.check().context("no device would take this rollout")?;
    keys.unlock(&[ROLE, "snapshot", "timestamp"])?;
    let bytes = serde_json::to_vec_pretty(rollout)?;
    let (name, digest) =
        (RolloutDocument::target(&rollout.model, &rollout.group), Digest::of(&bytes));
    files::replace(&repository.target_path(&name, &digest), &bytes, 0o644)?;
    Repository::list(&mut repository.rollout, &name, &digest, u64::try_from(bytes.len())?)?;
    repository.commit(keys, Changed { targets: false, rollout: true }, false)
}

impl Rollout {
    pub(crate) fn run(self) -> Result<()> {
        let ring = self.keys.ring();
        let mut repository = Repository::open(&self.repository, &ring)?;
        let releases = last(&repository, &self.model)?;
        let Some(release) = releases.iter().find(|release| release.version == self.version) else {
            let known: Vec<&str> = releases.iter().map(|one| one.version.as_str()).collect();
            bail!(
                "there is no release {} of {}: {}",
                self.version,
                self.model,
                if known.is_empty() {
                    "none is published".to_owned()
                } else {
                    format!("there is {}", known.join(", "))
                }
            );
        };
        let target = ReleaseDocument::target(&self.model, &self.version);
        let (digest, _) =
            Repository::find(&repository.targets, &target).context("it is not listed")?;
        let before = current(&repository, &self.model, &self.group)?;
        if let Some(before) = &before
            && before.counter > release.counter
        {
            bail!(
                "{} (counter {}) was rolled out already, {} has counter {}: devices do not go back; publish its \
                 files again under a new version",
                before.version,
                before.counter,
                self.version,
                release.counter
            );
        }
        let started = now()?;
        let mut waves = Vec::new();
        if self.devices.is_none() {
            let mut not_before = started;
            for share in &self.waves {
                waves.push(Wave { permyriad: permyriad(share)?, not_before });
                not_before = not_before.checked_add(self.every)?;
            }
        }
        let rollout = RolloutDocument {
            schema: SCHEMA.to_owned(),
            model: self.model.clone(),
            group: self.group.clone(),
            id: before.map_or(0, |before| before.id) + 1,
            version: self.version.clone(),
            counter: release.counter,
            release: digest,
            started,
            devices: self.devices.clone(),
            waves,
            halted: false,
            halted_at: None,
        };
        write(&mut repository, &ring, &rollout)?;
        say(&in_words(&rollout));
        Ok(())
    }
}

impl Halt {
    /// Halts the rollout, or lets it go on.
    pub(crate) fn run(self, halted: bool) -> Result<()> {
        let ring = self.keys.ring();
        let mut repository = Repository::open(&self.repository, &ring)?;
        let Some(mut rollout) = current(&repository, &self.model, &self.group)? else {
            bail!("there is no rollout of {} to group {}", self.model, self.group);
        };
        let mut later = None;
        if rollout.halted != halted {
            let now = now()?;
            if halted {
                rollout.halt(now);
            } else {
                later = rollout.resume(now)?;
            }
            write(&mut repository, &ring, &rollout)?;
        }
        say(&in_words(&rollout));
        if let Some(length) = later {
            say(&format!(
                "the waves that had not begun are later by {length:#}: it was halted for so long"
            ));
        }
        Ok(())
    }
}

fn in_words(rollout: &RolloutDocument) -> String {
    let RolloutDocument { model, group, version, .. } = rollout;
    let mut text = format!("{model} {version} to group {group}");
    if rollout.halted {
        text.push_str(": halted");
        if let Some(since) = rollout.halted_at {
            text.push_str(&format!(" since {since}"));
        }
    }
    if let Some(devices) = &rollout.devices {
        text.push_str(&format!("\n  now: {}", devices.join(", ")));
    }
    for wave in &rollout.waves {
        let (whole, part) = (wave.permyriad / 100, wave.permyriad % 100);
        let due = if wave.not_before <= Timestamp::now() { "since" } else { "from" };
        text.push_str(&format!("\n  {whole}.{part:02} % {due} {}", wave.not_before));
    }
    text
}

impl Status {
    pub(crate) fn run(self) -> Result<()> {
        let repository = Repository::look(&self.repository)?;
        let model = self.model.as_deref();
        let mut models: Vec<String> = Vec::new();
        for name in repository.targets.targets.keys() {
            if let Some(rest) = name.raw().strip_prefix("release~")
                && let Some((found, _)) = rest.split_once('~')
                && model.is_none_or(|model| model == found)
                && !models.iter().any(|known| known == found)
            {
                models.push(found.to_owned());
            }
        }
        models.sort();
        if let (Some(model), true) = (model, models.is_empty()) {
            bail!("there is no release of {model}");
        }
        let mut rollouts = Vec::new();
        for name in repository.rollout.targets.keys() {
            if let Some((model, group)) = parts(name.raw())
                && models.iter().any(|known| known == model)
            {
                rollouts.extend(current(&repository, model, group)?);
            }
        }
        let mut releases = Vec::new();
        for model in &models {
            releases.extend(last(&repository, model)?);
        }
        let expiries = [
            ("root", repository.root.expires),
            ("targets", repository.targets.expires),
            ("rollout", repository.rollout.expires),
            ("snapshot", repository.snapshot.expires),
            ("timestamp", repository.timestamp.expires),
        ];
        if self.json {
            let expires: serde_json::Map<String, serde_json::Value> = expiries
                .iter()
                .map(|(role, expires)| ((*role).to_owned(), expires.to_string().into()))
                .collect();
            let status = serde_json::json!({ "releases": releases, "rollouts": rollouts, "expires": expires });
            say(&status.to_string());
            return Ok(());
        }
        for release in &releases {
            say(&format!(
                "release  {} {}  counter {}, {} files, {} bytes",
                release.model,
                release.version,
                release.counter,
                release.files.len(),
                release.bytes()
            ));
        }
        for rollout in &rollouts {
            say(&format!("rollout  {}", in_words(rollout)));
        }
        for (role, expires) in expiries {
            let todo = match role {
                _ if !near(expires, role) => "",
                "root" => ": sign a new one with `vedette-fleet keys rotate root`",
                "targets" => {
                    ": publish, or run `vedette-fleet refresh --targets` with the offline key"
                }
                _ => ": run `vedette-fleet refresh`",
            };
            say(&format!("{role:9} expires {expires}{todo}"));
        }
        debug_assert_eq!(expiries.len(), LIFETIMES_H.len());
        Ok(())
    }
}

/// Model and group of a rollout's target.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("rollout~")?.strip_suffix(".json")?.split_once('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_times_are_read_or_refused() {
        for (text, wanted) in [
            ("1", Some(100)),
            ("0.01", Some(1)),
            ("12.5", Some(1250)),
            ("100", Some(10_000)),
            ("0", None),
            ("100.01", None),
            ("1.234", None),
            ("-1", None),
            ("ten", None),
            ("", None),
        ] {
            assert_eq!(permyriad(text).ok(), wanted, "{text}");
        }
        for (text, wanted) in [
            ("6h", Some(21_600)),
            ("30m", Some(1800)),
            ("45s", Some(45)),
            ("6", None),
            ("", None),
            ("6d", None),
            ("é", None),
        ] {
            assert_eq!(duration(text).ok().map(|time| time.as_secs()), wanted, "{text}");
        }
    }
}
