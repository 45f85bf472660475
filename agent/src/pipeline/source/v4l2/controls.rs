//! A camera's controls, by the names that `v4l2-ctl -L` and `vedette cameras` print.

use super::CameraError;
use crate::config::Section;
use crate::config::section::unknown;
use crate::config::tree::Value;
use crate::hw::v4l2::{ControlInfo, Device, Values};

/// Most controls of a camera that are set.
const CONTROLS_MAX: usize = 64;

/// A control and what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    name: String,
    value: Wanted,
}

/// A number, or a menu's entry by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Number(i32),
    Entry(String),
}

/// Reads the table `controls`. Entries of menus come first: automatic exposure is to be switched off before exposure is
/// set, and a table has no order.
pub(super) fn read(section: &Section<'_>) -> Vec<Setting> {
    let table = section.table("controls").map(Vec::as_slice).unwrap_or_default();
    if table.len() > CONTROLS_MAX {
        section.mistake("controls", format!("are more than {CONTROLS_MAX}"));
    }
    let setting = |(name, node): &(String, crate::config::tree::Node)| {
        let value = match &node.value {
            Value::Integer(number) => i32::try_from(*number).ok().map(Wanted::Number),
            Value::Flag(flag) => Some(Wanted::Number(i32::from(*flag))),
            Value::Text(entry) => Some(Wanted::Entry(entry.clone())),
            _ => None,
        };
        if value.is_none() {
            let expected = "expected an integer, true, false, or an entry of its menu";
            section.note(
                node.at.clone(),
                name,
                format!("cannot be the value of a control: {expected}"),
            );
        }
        value.map(|value| Setting { name: name.clone(), value })
    };
    let mut settings: Vec<Setting> = table.iter().filter_map(setting).collect();
    settings.sort_by_key(|setting| matches!(setting.value, Wanted::Number(_)));
    settings
}

/// Sets them.
pub(super) fn apply(device: &Device, settings: &[Setting]) -> Result<(), CameraError> {
    for setting in settings {
        // Asked again each time: what may be set depends on what was set before.
        let controls = device.controls()?;
        let (control, value) = resolve(&controls, setting).map_err(CameraError::Wanted)?;
        if control.inactive {
            tracing::warn!(
                control = control.name,
                "another control decides it: what is set may not hold"
            );
        }
        device.set_control(control, value)?;
    }
    Ok(())
}

/// Which control, and the number that its driver takes.
fn resolve<'a>(
    controls: &'a [ControlInfo],
    setting: &Setting,
) -> Result<(&'a ControlInfo, i32), String> {
    let name = &setting.name;
    let Some(control) = controls.iter().find(|control| control.name == *name) else {
        let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
        return Err(format!("it has no such control: {}", unknown(name, &names)));
    };
    let value = match (&setting.value, &control.values) {
        (Wanted::Number(number), Values::Integer(from, to, _)) if (from..=to).contains(&number) => {
            *number
        }
        (Wanted::Number(number), Values::Integer(from, to, step)) => {
            return Err(format!(
                "its control `{name}` goes from {from} to {to} by {step}: {number} does not"
            ));
        }
        (Wanted::Number(number @ 0..=1), Values::Flag) => *number,
        (Wanted::Number(number), Values::Menu(entries))
            if entries.iter().any(|(n, _)| n == number) =>
        {
            *number
        }
        (Wanted::Entry(entry), Values::Menu(entries)) => {
            match entries.iter().find(|(_, n)| n == entry) {
                Some((number, _)) => *number,
                None => {
                    let names: Vec<&str> = entries.iter().map(|(_, name)| name.as_str()).collect();
                    return Err(format!("its control `{name}`: {}", unknown(entry, &names)));
                }
            }
        }
        (_, Values::Flag) => return Err(format!("its control `{name}` is true or false")),
        (_, Values::Menu(entries)) => {
            let names: Vec<&str> = entries.iter().map(|(_, name)| name.as_str()).collect();
            return Err(format!("its control `{name}` is one of {}", names.join(", ")));
        }
        (Wanted::Entry(_), Values::Integer(..)) => {
            return Err(format!("its control `{name}` is a number"));
        }
    };
    Ok((control, value))
}
