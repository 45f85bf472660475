//! When in the week something counts.

/// Days as they are written, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// A span of a day's time on some days of the week, UTC. One that ends before it begins goes over midnight and
/// belongs to the day on which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    days: [bool; 7],
    from: i64,
    to: i64,
}

impl Span {
    /// Reads `mon-fri 06:00-18:00`, `sat 22:00-02:00`, or a time alone, for every day. `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (days, time) = match text.trim().split_once(' ') {
            Some((days, time)) => (days_of(days)?, time.trim()),
            None => ([true; 7], text.trim()),
        };
        let (from, to) = time.split_once('-')?;
        let span = Self { days, from: minute(from)?, to: minute(to)? };
        (span.from != span.to && span.from < DAY).then_some(span)
    }

    /// Whether `now` is in it.
    #[must_use]
    pub fn holds(&self, now: jiff::Timestamp) -> bool {
        let minutes = now.as_second().div_euclid(60);
        // The first of January 1970 was a Thursday.
        let (day, minute) = ((minutes.div_euclid(DAY) + 3).rem_euclid(7), minutes.rem_euclid(DAY));
        let on = |day: i64| {
            usize::try_from(day.rem_euclid(7)).is_ok_and(|day| self.days.get(day) == Some(&true))
        };
        if self.from < self.to {
            return on(day) && (self.from..self.to).contains(&minute);
        }
        (on(day) && minute >= self.from) || (on(day - 1) && minute < self.to)
    }
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let index = |day: &str| DAYS.iter().position(|known| *known == day);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (index(first)?, index(last)?);
        loop {
            *days.get_mut(day)? = true;
            if day == last {
                break;
            }
            day = (day + 1) % DAYS.len();
        }
    }
    Some(days)
}

/// Minutes since midnight of `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hour, minute) = (two(hour)?, two(minute)?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_on_its_days_and_over_midnight() {
        for (span, time, holds) in [
            // The 25th of November 2026 is a Wednesday.
            ("mon-fri 06:00-18:00", "2026-11-25T06:00:00Z", true),
            ("mon-fri 06:00-18:00", "2026-11-25T18:00:00Z", false),
            ("mon-fri 06:00-18:00", "2026-11-28T12:00:00Z", false),
            ("06:00-18:00", "2026-11-28T12:00:00Z", true),
            ("wed 22:00-02:00", "2026-11-25T23:00:00Z", true),
            ("wed 22:00-02:00", "2026-11-26T01:59:59Z", true),
            ("wed 22:00-02:00", "2026-11-25T01:00:00Z", false),
            ("sat-mon,wed 00:00-24:00", "2026-11-29T00:00:00Z", true),
            ("sat-mon,wed 00:00-24:00", "2026-11-24T12:00:00Z", false),
        ] {
            let now: jiff::Timestamp = time.parse().unwrap();
            assert_eq!(Span::parse(span).unwrap().holds(now), holds, "{span} {time}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "mon",
            "06:00",
            "6:00-7:00",
            "06:00-06:00",
            "mon-xyz 06:00-07:00",
            "24:00-06:00",
            "06:60-07:00",
            "06:00-24:01",
            "mon 06:00 - 07:00",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
