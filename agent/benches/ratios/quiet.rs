//! Which rounds count: those during which the machine did little else.
//!
//! What others take of the processors is measured beside each round and decides alone; what the round itself
//! measured has no say. Where there are too few such rounds the quietest are taken, and the table says so.

use std::time::{Duration, Instant};

/// Others' share of the processors up to which a round is quiet.
const QUIET: f64 = 0.05;

/// Hundredths of a second: what `/proc` counts in on every Linux.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How many rounds to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Ends after so many quiet ones,
    pub(crate) enough: usize,
    /// and after so many in any case.
    pub(crate) most: usize,
}

/// The rounds that count.
pub(crate) struct Rounds<R> {
    pub(crate) all: Vec<R>,
    /// How they were chosen, for people.
    pub(crate) how: String,
}

impl<R> Rounds<R> {
    /// One number of each.
    pub(crate) fn each(&self, of: impl Fn(&R) -> f64) -> Vec<f64> {
        self.all.iter().map(of).collect()
    }
}

/// Makes rounds; `own` are the processes whose work is part of them, beside this one.
pub(crate) fn rounds<R>(plan: Plan, own: &[u32], mut round: impl FnMut() -> R) -> Rounds<R> {
    let mut made: Vec<(f64, R)> = Vec::new();
    let quiet = |made: &[(f64, R)]| made.iter().filter(|(share, _)| *share <= QUIET).count();
    while made.len() < plan.most && quiet(&made) < plan.enough {
        let (began, before) = (Instant::now(), others(own));
        let result = round();
        let spent = others(own).saturating_sub(before);
        let processors =
            f64::from(u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap());
        made.push((spent.as_secs_f64() / began.elapsed().as_secs_f64() / processors, result));
    }
    let count = made.len();
    made.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let found = quiet(&made);
    let keep = if found >= plan.enough { found } else { plan.enough.min(count) };
    made.truncate(keep);
    let loudest = made.last().map_or(0.0, |(share, _)| 100.0 * share.max(0.0));
    let how = if found >= plan.enough {
        format!("{keep} quiet rounds of {count}")
    } else {
        format!("quietest {keep} rounds of {count}: others took up to {loudest:.0} %")
    };
    Rounds { all: made.into_iter().map(|(_, result)| result).collect(), how }
}

/// Processor time of everybody else, since the start.
fn others(own: &[u32]) -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let all = stat.lines().next().unwrap().split_whitespace().skip(1);
    let all: Vec<u32> = all.map(|ticks| ticks.parse().unwrap()).collect();
    // user, nice, system, (idle, iowait), irq, softirq, steal; guests are in user.
    let busy: u32 = all.iter().take(3).chain(all.iter().skip(5).take(3)).sum();
    let mine: u32 = own.iter().chain(&[std::process::id()]).map(|&pid| ticks(pid)).sum();
    TICK * busy.saturating_sub(mine)
}

/// User and system time of a process, with that of its threads and of its children that ended, in [`TICK`]s.
pub(crate) fn ticks(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Its name may contain anything, up to the last bracket.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(4).map(|ticks| ticks.parse::<u32>().unwrap()).sum()
}
