use super::*;

/// A desk for `rates`, and a way to post a frame `seq` captured `at_ms`.
fn desk(rates: &[Option<f64>]) -> (Desk, impl Fn(&Desk, usize, u64, u64)) {
    let start = Instant::now();
    (Desk::new(rates), move |desk: &Desk, index, seq, at_ms| {
        let captured = start + Duration::from_millis(at_ms);
        let mut frame = Frame { seq, captured, ..Frame::default() };
        assert!(desk.post(index, &mut frame));
    })
}

/// What is taken: its mailbox, its number, and how many it replaced.
fn take(desk: &Desk) -> (usize, u64, u64) {
    let mut picked = [Picked::default()];
    assert_eq!(desk.take(&mut picked, Batch::ALONE), Taken::Frames(1));
    (picked[0].index, picked[0].frame.seq, picked[0].replaced)
}

#[test]
fn the_newest_frame_wins() {
    let (desk, post) = desk(&[Some(30.0)]);
    for seq in 0..3 {
        post(&desk, 0, seq, seq);
    }
    assert_eq!(take(&desk), (0, 2, 2));
}

#[test]
fn the_frame_whose_successor_is_due_first_is_taken_first() {
    for (slow_at_ms, fast_at_ms, first) in [(0, 0, 1), (0, 500, 1), (0, 990, 0)] {
        let (desk, post) = desk(&[Some(1.0), Some(30.0)]);
        post(&desk, 0, 0, slow_at_ms);
        post(&desk, 1, 0, fast_at_ms);
        assert_eq!(take(&desk), (first, 0, 0), "{fast_at_ms}");
    }
}

#[test]
fn a_frame_waits_from_the_first_that_nobody_took() {
    let (desk, post) = desk(&[Some(30.0), Some(30.0)]);
    let later = || Instant::now() + Duration::from_secs(60);
    assert_eq!(desk.waits(later()), Duration::ZERO);
    post(&desk, 0, 0, 0);
    post(&desk, 0, 1, 33);
    assert!(desk.waits(later()) >= Duration::from_secs(60));
    desk.excuse(true);
    assert_eq!(desk.waits(later()), Duration::ZERO);
    desk.excuse(false);
    assert!(desk.waits(later()) >= Duration::from_secs(60));
    take(&desk);
    assert_eq!(desk.waits(later()), Duration::ZERO);
}

/// Posts so many frames as fast as they are taken: each of them comes, in order.
fn all_arrive(desk: &Desk, count: u64) {
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut frame = Frame::default();
            for seq in 0..count {
                frame.seq = seq;
                assert!(desk.post(0, &mut frame));
            }
            desk.end(0);
        });
        let (mut picked, mut seen) = ([Picked::default()], Vec::new());
        while let Taken::Frames(_) = desk.take(&mut picked, Batch::ALONE) {
            seen.push(picked[0].frame.seq);
        }
        seen
    });
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
}

#[test]
fn a_source_without_a_rate_loses_no_frame() {
    let desk = Desk::new(&[None]);
    all_arrive(&desk, 1000);
}

#[test]
fn frames_that_come_in_a_packet_wait_for_each_other_but_not_for_ever() {
    let mut desk = Desk::new(&[Some(8.0)]);
    desk.set_lenient(0, Duration::from_secs(60));
    all_arrive(&desk, 100);
    let (mut desk, post) = desk_of_one();
    desk.set_lenient(0, Duration::from_millis(1));
    (0..3).for_each(|seq| post(&desk, 0, seq, seq));
    assert_eq!(take(&desk), (0, 2, 2));
}

fn desk_of_one() -> (Desk, impl Fn(&Desk, usize, u64, u64)) {
    desk(&[Some(30.0)])
}

#[test]
fn a_closed_desk_gives_what_it_holds_and_takes_nothing() {
    let (desk, post) = desk(&[Some(30.0), None]);
    post(&desk, 0, 7, 0);
    desk.close();
    let mut frame = Frame::default();
    assert!(!desk.post(1, &mut frame));
    assert_eq!(take(&desk), (0, 7, 0));
    assert_eq!(desk.take(&mut [Picked::default()], Batch::ALONE), Taken::Closed);
}

#[test]
fn a_poke_is_heard_before_the_next_frame() {
    let (desk, post) = desk(&[Some(30.0)]);
    post(&desk, 0, 0, 0);
    desk.poke();
    assert_eq!(desk.take(&mut [Picked::default()], Batch::ALONE), Taken::Poked);
    assert_eq!(take(&desk), (0, 0, 0));
}

/// What is taken where up to `max` go together: the mailboxes.
fn together(desk: &Desk, max: usize, delay: Duration) -> Vec<usize> {
    let mut picked: Vec<Picked> = (0..max).map(|_| Picked::default()).collect();
    match desk.take(&mut picked, Batch { max, delay }) {
        Taken::Frames(count) => picked[..count].iter().map(|one| one.index).collect(),
        other => panic!("{other:?}"),
    }
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn those_that_are_here_go_together_the_most_urgent_first_and_no_more_than_fit() {
    let (desk, post) = desk(&[Some(30.0); 4]);
    for (index, at_ms) in [(0, 30), (1, 20), (2, 10), (3, 0)] {
        post(&desk, index, 0, at_ms);
    }
    assert_eq!(together(&desk, 3, LONG), [3, 2, 1]);
    // The others had their turn just now: nothing is to be expected of them within a millisecond.
    assert_eq!(together(&desk, 3, Duration::from_millis(1)), [0]);
}

#[test]
fn who_never_gave_a_frame_or_has_ended_is_not_waited_for() {
    let (desk, post) = desk(&[Some(30.0), Some(30.0), Some(30.0)]);
    post(&desk, 0, 0, 0);
    assert_eq!(together(&desk, 3, LONG), [0]);
    (0..2).for_each(|index| post(&desk, index, 1, 0));
    assert_eq!(together(&desk, 2, LONG), [0, 1]);
    desk.end(1);
    post(&desk, 0, 2, 0);
    assert_eq!(together(&desk, 3, LONG), [0]);
}

#[test]
fn a_frame_is_expected_from_a_little_before_it_is_due_until_a_period_after() {
    let now = Instant::now();
    let ms = |count: u64| now + Duration::from_millis(count);
    let mut mailbox = Desk::new(&[Some(10.0)]).state.into_inner().unwrap().boxes.remove(0);
    assert!(!mailbox.is_expected(now, ms(1000)), "it never gave one");
    mailbox.put(&mut Frame::default(), now);
    assert!(!mailbox.is_expected(now, ms(1000)), "it is here");
    (mailbox.fresh, mailbox.since) = (false, None);
    for (at, until, expected) in
        [(0, 80, false), (0, 90, true), (95, 105, true), (199, 210, true), (200, 210, false)]
    {
        assert_eq!(mailbox.is_expected(ms(at), ms(until)), expected, "{at} {until}");
    }
}

#[test]
fn a_frame_waits_for_one_that_is_expected_and_goes_with_it() {
    let (desk, post) = desk(&[Some(0.01), Some(0.01)]);
    (0..2).for_each(|index| post(&desk, index, 0, 0));
    assert_eq!(together(&desk, 2, LONG), [0, 1]);
    post(&desk, 0, 1, 500);
    let waits = desk.lock().waits(Batch { max: 2, delay: LONG }, Instant::now);
    assert!(waits.is_some(), "it does not wait");
    let taken = std::thread::scope(|scope| {
        let taken = scope.spawn(|| together(&desk, 2, LONG));
        post(&desk, 1, 1, 500);
        taken.join().unwrap()
    });
    assert_eq!(taken, [0, 1]);
}

#[test]
fn no_frame_waits_until_its_own_successor_replaces_it() {
    let (desk, post) = desk(&[Some(100.0), Some(2.0)]);
    (0..2).for_each(|index| post(&desk, index, 0, 0));
    assert_eq!(together(&desk, 2, LONG), [0, 1]);
    // The other is due in half a second, within the delay, and this one's next in 10 ms.
    post(&desk, 0, 1, 10);
    let batch = Batch { max: 2, delay: Duration::from_secs(1) };
    assert_eq!(desk.lock().waits(batch, Instant::now), None);
}

#[test]
fn whoever_does_not_come_is_waited_for_no_longer_than_the_delay() {
    let (desk, post) = desk(&[Some(40.0), Some(40.0)]);
    (0..2).for_each(|index| post(&desk, index, 0, 0));
    assert_eq!(together(&desk, 2, LONG), [0, 1]);
    // By its rate the first is expected within the delay.
    let began = Instant::now();
    post(&desk, 1, 1, 0);
    assert_eq!(together(&desk, 2, Duration::from_millis(30)), [1]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_desk_that_is_closed_or_poked_waits_for_nobody() {
    let (desk, post) = desk(&[Some(0.01), Some(0.01)]);
    (0..2).for_each(|index| post(&desk, index, 0, 0));
    assert_eq!(together(&desk, 2, LONG), [0, 1]);
    post(&desk, 0, 1, 0);
    desk.poke();
    let batch = Batch { max: 2, delay: LONG };
    let mut picked = [Picked::default(), Picked::default()];
    assert_eq!(desk.take(&mut picked, batch), Taken::Poked);
    desk.close();
    assert_eq!(together(&desk, 2, LONG), [0]);
}

#[test]
fn where_not_all_can_be_served_each_has_its_turn() {
    // Four cameras in step, and an engine that takes some frames only at every second of theirs.
    for max in [1, 2, 3] {
        let (desk, post) = desk(&[Some(30.0); 4]);
        let mut served = [0_u32; 4];
        for round in 0..120_u64 {
            (0..4).for_each(|index| post(&desk, index, round, 33 * round));
            if round % 2 == 1 {
                let taken = together(&desk, max, Duration::ZERO);
                taken.into_iter().for_each(|index| served[index] += 1);
            }
        }
        let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
        assert!(most - least <= 1 && *least > 0, "{max}: {served:?}");
    }
}
