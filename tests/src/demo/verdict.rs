//! Whether the demonstration succeeded: decided here, from numbers alone.

use wire::StatusWord;

use super::card::Card;
use super::{Score, Tally, shown};

/// One thing that must be so, and whether it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Whether it is so.
    pub good: bool,
    /// What was looked at, with the numbers.
    pub text: String,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.good { '✓' } else { '✗' }, self.text)
    }
}

/// Everything that the verdict depends on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What was heard of each pipeline.
    pub tallies: Vec<Tally>,
    /// How many frames the daemon says it inferred, by pipeline; `None` where it did not say.
    pub inferred: Vec<Option<u64>>,
    /// What the model's card promises.
    pub card: Card,
    /// The words of the device's status, as heard.
    pub statuses: Vec<StatusWord>,
    /// How the daemon ended after it was told to stop, in words; the exit code where it had one.
    pub ended: (Option<i32>, String),
    /// The annotated picture, or why there is none.
    pub picture: Result<String, String>,
    /// Messages that were none of those that `wire` knows.
    pub strange: Vec<String>,
}

/// Everything that must be so, in the order of the story.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![inferred(facts), accurate(facts)];
    checks.extend(facts.tallies.iter().zip(&facts.inferred).map(|(t, said)| heard(t, *said)));
    checks.push(Check {
        good: facts.strange.is_empty(),
        text: match facts.strange.first() {
            None => "every message is one that the wire format knows".to_owned(),
            Some(first) => format!("{} messages are strange, first: {first}", facts.strange.len()),
        },
    });
    let is_story = facts.statuses.first() == Some(&StatusWord::Online)
        && facts.statuses.last() == Some(&StatusWord::Offline);
    checks.push(Check {
        good: is_story,
        text: format!("the device said `online` first and `offline` last: {:?}", facts.statuses),
    });
    let (code, words) = &facts.ended;
    checks.push(Check { good: *code == Some(0), text: words.clone() });
    let (good, text) = match &facts.picture {
        Ok(path) => (true, format!("annotated picture: {path}")),
        Err(why) => (false, format!("no annotated picture: {why}")),
    };
    checks.push(Check { good, text });
    checks
}

fn inferred(facts: &Facts) -> Check {
    let counts: Vec<String> =
        facts.tallies.iter().map(|tally| format!("{} {}", tally.name, tally.heard)).collect();
    Check {
        good: !facts.tallies.is_empty() && facts.tallies.iter().all(|tally| tally.heard > 0),
        text: format!("frames were inferred in every pipeline: {}", counts.join(", ")),
    }
}

fn accurate(facts: &Facts) -> Check {
    let all = facts.tallies.iter().fold(Score::default(), |sum, tally| sum.plus(tally.score));
    let Card { name, version, accuracy } = &facts.card;
    let reached = |found: Option<f64>, promised: f64| found.is_some_and(|found| found >= promised);
    Check {
        good: reached(all.precision(), accuracy.precision)
            && reached(all.recall(), accuracy.recall),
        text: format!(
            "{name} {version} keeps its card's promise: precision {} (≥ {:.3}), recall {} (≥ {:.3}), {} things, overlap ≥ {}",
            shown(all.precision()),
            accuracy.precision,
            shown(all.recall()),
            accuracy.recall,
            all.there,
            accuracy.iou
        ),
    }
}

fn heard(tally: &Tally, said: Option<u64>) -> Check {
    let Tally { name, heard, missing, again, .. } = tally;
    let said_text = said.map_or_else(|| "an unknown number".to_owned(), |said| said.to_string());
    let repeated = if *again > 0 { format!(", {again} repeated") } else { String::new() };
    Check {
        good: *missing == 0 && said == Some(*heard),
        text: format!(
            "{name}: heard {heard} of {said_text} observations, {missing} missing{repeated}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::card::Accuracy;
    use super::*;

    fn good() -> Facts {
        let score = Score { hits: 80, found: 100, there: 90 };
        let tallies = ["door", "yard"].map(|name| {
            let mut tally = Tally::new(name, "s");
            (tally.heard, tally.score) = (20, score);
            tally
        });
        Facts {
            tallies: tallies.into(),
            inferred: vec![Some(20), Some(20)],
            card: Card {
                name: "shapes".to_owned(),
                version: "1.0.0".to_owned(),
                accuracy: Accuracy { precision: 0.8, recall: 0.88, iou: 0.5 },
            },
            statuses: vec![StatusWord::Online, StatusWord::Offline],
            ended: (Some(0), "it ended".to_owned()),
            picture: Ok("a.png".to_owned()),
            strange: Vec::new(),
        }
    }

    /// What it is called, and what it does to what is good.
    type Change = (&'static str, fn(&mut Facts));

    /// How many checks fail after `change` of what is good.
    fn failures(change: impl Fn(&mut Facts)) -> usize {
        let mut facts = good();
        change(&mut facts);
        judge(&facts).iter().filter(|check| !check.good).count()
    }

    #[test]
    fn what_must_be_so_fails_the_demonstration_where_it_is_not() {
        assert_eq!(failures(|_| {}), 0);
        let changes: [Change; 11] = [
            ("a silent pipeline", |facts| facts.tallies[1].heard = 0),
            ("a low precision", |facts| facts.card.accuracy.precision = 0.81),
            ("a low recall", |facts| facts.card.accuracy.recall = 0.9),
            ("a gap", |facts| facts.tallies[0].missing = 1),
            ("one that was inferred and not heard", |facts| facts.inferred[0] = Some(21)),
            ("no word of the daemon", |facts| facts.inferred[0] = None),
            ("a strange message", |facts| facts.strange.push("?".to_owned())),
            ("no goodbye", |facts| facts.statuses.truncate(1)),
            ("an exit code", |facts| facts.ended.0 = Some(1)),
            ("a signal", |facts| facts.ended.0 = None),
            ("no picture", |facts| facts.picture = Err("why".to_owned())),
        ];
        for (what, change) in changes {
            assert!(failures(change) > 0, "{what} is not noticed");
        }
    }

    #[test]
    fn a_message_that_was_heard_twice_is_told_and_forgiven() {
        let mut facts = good();
        facts.tallies[0].again = 2;
        let texts: Vec<String> = judge(&facts).iter().map(ToString::to_string).collect();
        assert!(texts.iter().all(|text| text.starts_with('✓')), "{texts:?}");
        assert!(texts.iter().any(|text| text.ends_with("2 repeated")), "{texts:?}");
    }
}
