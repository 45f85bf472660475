//! Is the clock right? Certificates and releases are judged by it.

use jiff::Timestamp;

use super::{Finding, Patient};
use crate::{hw, update};

const CHECK: &str = "clock";

pub(super) fn check(_: &Patient) -> Vec<Finding> {
    vec![judge(Timestamp::now(), update::written(), hw::clock::is_synchronised())]
}

fn judge(now: Timestamp, written: Timestamp, synchronised: Option<bool>) -> Finding {
    let todo = ["sudo timedatectl set-ntp true", "timedatectl timesync-status"];
    let said = now.strftime("%Y-%m-%d %H:%M:%S UTC");
    if now < written {
        return Finding::wrong(CHECK, format!("{said}: it was later when vedette was made"), todo);
    }
    match synchronised {
        Some(true) => Finding::well(CHECK, format!("{said}, synchronised")),
        None => Finding::well(
            CHECK,
            format!("{said}; the kernel does not say whether it follows another"),
        ),
        Some(false) => {
            let said = format!("{said}, and it follows no other clock: it may be wrong");
            Finding::wrong(CHECK, said, todo)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_clock_in_the_past_is_wrong_and_so_is_one_that_follows_none() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let written = at("2026-11-01T00:00:00Z");
        for (now, synchronised, verdict) in [
            ("1970-01-01T00:00:09Z", Some(true), Verdict::Wrong),
            ("2026-12-01T00:00:00Z", Some(true), Verdict::Well),
            ("2026-12-01T00:00:00Z", Some(false), Verdict::Wrong),
            ("2026-12-01T00:00:00Z", None, Verdict::Well),
        ] {
            let finding = judge(at(now), written, synchronised);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
        }
    }
}
