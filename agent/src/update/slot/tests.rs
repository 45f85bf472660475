//! Records through deployments, good and bad, and what an order comes to.

use wire::Digest;

use super::*;

fn release(counter: u64, min_counter: u64) -> Installed {
    let release = ReleaseRef {
        version: format!("{counter}.0.0"),
        counter,
        release: Digest::of(&counter.to_be_bytes()),
    };
    Installed { release, min_counter }
}

/// `record` after each of `events`.
fn walked(mut record: SlotRecord, events: &[Happened]) -> SlotRecord {
    for event in events {
        record = record.walk(event.clone()).unwrap().0;
    }
    record
}

fn installed(counter: u64, min_counter: u64) -> Vec<Happened> {
    let plain = [
        Event::Fetched,
        Event::Staged,
        Event::Rehearsed,
        Event::Passed,
        Event::Committed,
        Event::Survived,
    ];
    std::iter::once(Happened::Offered(release(counter, min_counter)))
        .chain(plain.map(Happened::Plain))
        .collect()
}

fn good(record: &SlotRecord) -> Option<u64> {
    record.good.as_ref().map(|good| good.release.counter)
}

#[test]
fn a_release_is_good_from_the_write_that_commits_it_and_the_one_before_is_kept() {
    let first = walked(SlotRecord::new("s"), &installed(1, 0));
    assert_eq!((good(&first), first.way_back(), first.floor), (Some(1), Some(0), 1));
    let trialing = walked(first.clone(), &installed(2, 0)[..4]);
    assert_eq!((trialing.phase, good(&trialing)), (Phase::Trialing, Some(1)));
    let committing = walked(first, &installed(2, 0)[..5]);
    assert_eq!((committing.phase, good(&committing)), (Phase::Committing, Some(2)));
    assert_eq!(committing.way_back(), Some(1));
}

#[test]
fn a_release_that_fails_in_probation_is_refused_and_the_one_before_returns() {
    let first = walked(SlotRecord::new("s"), &installed(1, 0));
    let probation = walked(first, &installed(2, 0)[..6]);
    let back = walked(probation, &[Happened::Failed("too slow".to_owned())]);
    assert_eq!((back.phase, good(&back)), (Phase::RollingBack, Some(1)));
    // The action may be done twice, and the record does not go back twice.
    let again = walked(back, &[Happened::Restarted, Happened::Plain(Event::RolledBack)]);
    let refused = again.refused.clone().unwrap();
    assert_eq!((refused.release.counter, refused.phase), (2, Phase::Probation));
    let idle = walked(again, &[Happened::Restarted, Happened::Plain(Event::Refused)]);
    assert_eq!((idle.phase, good(&idle), idle.floor), (Phase::Idle, Some(1), 2));
    assert_eq!(idle.refused.unwrap().reason, "too slow");
}

#[test]
fn three_deaths_end_it_and_two_do_not() {
    let staged = walked(SlotRecord::new("s"), &installed(1, 0)[..3]);
    assert_eq!(staged.offered.as_ref().unwrap().tries_left, 2);
    let twice = walked(staged, &[Happened::Restarted, Happened::Restarted]);
    assert_eq!((twice.phase, twice.offered.as_ref().unwrap().tries_left), (Phase::Rehearsing, 0));
    let lucky = walked(twice.clone(), &[Happened::Plain(Event::Rehearsed)]);
    assert_eq!(lucky.phase, Phase::Trialing);
    let dead = walked(twice, &[Happened::Restarted]);
    assert_eq!((dead.phase, good(&dead)), (Phase::RollingBack, None));
}

#[test]
fn a_death_while_it_is_committed_costs_a_try() {
    let committing = walked(SlotRecord::new("s"), &installed(1, 0)[..5]);
    let twice = walked(committing, &[Happened::Restarted, Happened::Restarted]);
    assert_eq!((twice.phase, twice.offered.as_ref().unwrap().tries_left), (Phase::Committing, 0));
    let dead = walked(twice, &[Happened::Restarted]);
    assert_eq!((dead.phase, good(&dead)), (Phase::RollingBack, None));
}

#[test]
fn an_order_goes_back_or_leaves_what_is_under_way() {
    let fresh = walked(SlotRecord::new("s"), &installed(1, 0)[..1]);
    let second = walked(walked(SlotRecord::new("s"), &installed(1, 0)), &installed(2, 0));
    let third = walked(second.clone(), &installed(3, 0)[..2]);
    let nothing = Err(Some("there is nothing before it"));
    let no_such = Err(Some("there is 1.0.0"));
    for (record, to, wanted) in [
        (&SlotRecord::new("s"), None, nothing),
        (&fresh, None, Ok(Order::Leave)),
        (&fresh, Some("1.0.0"), nothing),
        (&second, None, Ok(Order::GoBack)),
        (&second, Some("2.0.0"), no_such),
        (&third, None, Ok(Order::GoBack)),
        (&third, Some("1.0.0"), Ok(Order::GoBack)),
        (&third, Some("2.0.0"), Ok(Order::Leave)),
        (&third, Some("3.0.0"), no_such),
    ] {
        let order = record.order(to);
        let said = order.map_err(|why| {
            [nothing, no_such]
                .into_iter()
                .find_map(|one| one.err().flatten().filter(|part| why.ends_with(part)))
        });
        assert_eq!(said, wanted, "{:?} to {to:?}", record.phase);
    }
}

#[test]
fn nothing_below_the_signed_minimum_is_returned_to() {
    let first = walked(SlotRecord::new("s"), &installed(1, 0));
    let second = walked(first, &installed(5, 3));
    assert_eq!(second.way_back(), None);
    let back = walked(second, &[Happened::Ordered, Happened::Plain(Event::RolledBack)]);
    assert_eq!(good(&back), Some(5));
    assert!(back.refused.unwrap().reason.ends_with("nothing may be returned to"));
}

#[test]
fn going_round_in_circles_ends() {
    let mut record = walked(SlotRecord::new("s"), &installed(1, 0)[..4]);
    for _ in 0..2 * STEPS_MAX {
        // A clean stop gives the try back.
        if let Some(offered) = &mut record.offered {
            offered.tries_left = TRIES;
        }
        let Ok((next, _)) = record.walk(Happened::Restarted) else { panic!("{record:?}") };
        record = next;
    }
    assert!(matches!(record.phase, Phase::Refusing), "{record:?}");
}
