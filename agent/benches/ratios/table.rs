//! What was measured, as a table for people and as JSON for programs.

/// What a value should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// One line.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// The value, round by round.
    pub(crate) rounds: Vec<f64>,
    /// What it should be.
    pub(crate) goal: Goal,
    /// What it was measured against, in absolute numbers.
    pub(crate) peer: String,
}

impl Row {
    fn value(&self) -> f64 {
        median(&self.rounds)
    }

    fn met(&self) -> bool {
        match self.goal {
            Goal::AtMost(goal) => self.value() <= goal,
            Goal::AtLeast(goal) => self.value() >= goal,
        }
    }

    fn low(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn high(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// Where so large a part of `numbers` is below, between neighbours in proportion.
#[expect(clippy::as_conversions, reason = "positions in a list")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
#[expect(clippy::cast_precision_loss, reason = "as above")]
pub(crate) fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = part * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// Markdown, which reads well on a terminal too.
pub(crate) fn text(rows: &[Row]) -> String {
    let head = ["", "value", "goal", "met", "rounds", "measured"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        let goal = match row.goal {
            Goal::AtMost(goal) => format!("≤ {goal}"),
            Goal::AtLeast(goal) => format!("≥ {goal}"),
        };
        let rounds = match row.rounds.len() {
            0 | 1 => String::new(),
            _ => format!("{}–{}", short(row.low()), short(row.high())),
        };
        let met = if row.met() { "yes" } else { "**no**" };
        [row.name.clone(), short(row.value()), goal, met.to_owned(), rounds, row.peer.clone()]
    }));
    let width = |column: usize| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let rule = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2)));
    let rule = format!("|{}", rule.collect::<String>());
    let mut text = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |"));
        text.push(format!("|{}", cells.collect::<String>()));
        if number == 0 {
            text.push(rule.clone());
        }
    }
    text.join("\n")
}

/// The same for programs.
pub(crate) fn json(rows: &[Row]) -> String {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let (bound, goal) = match row.goal {
                Goal::AtMost(goal) => ("at_most", goal),
                Goal::AtLeast(goal) => ("at_least", goal),
            };
            serde_json::json!({
                "name": row.name, "value": row.value(), "goal": { bound: goal }, "met": row.met(),
                "lowest_round": row.low(), "highest_round": row.high(),
                "rounds": row.rounds.len(), "peer": row.peer,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}

/// Enough digits to compare with a goal.
fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.1 => format!("{number:.4}"),
        size if size < 10.0 => format!("{number:.3}"),
        _ => format!("{number:.1}"),
    }
}
