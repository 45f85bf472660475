use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::sync::oneshot::Receiver;

use super::*;
use crate::api::models::tests::known;
use crate::pipeline::tensor::Element;
use crate::pipeline::value::Data;

fn queue(settings: WorkSettings) -> Queue {
    Queue::new(&WorkSettings { batch_max: 8, ..settings })
}

/// A request of so many items, and who waits for it.
fn job(items: usize, asked: Instant) -> (Job, Receiver<Done>) {
    let (reply, replied) = oneshot::channel();
    let input = Value {
        element: Element::U8,
        shape: vec![items, 1],
        data: Data::Bytes(Bytes::from(vec![0; items])),
    };
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    (Job { inputs: vec![input], outputs: vec![0], _room: room, reply, asked }, replied)
}

fn open(model: &Known) -> Arc<dyn Engine> {
    let spec = &model.version.config.models[model.version.model].engine;
    spec.open(&model.folder.files(None)).unwrap()
}

/// Has the session of `model` opened by its first request, which goes away.
fn opened(queue: &mut Queue, model: &Arc<Known>, now: Instant) {
    let (first, replied) = job(1, now);
    queue.push(model, first).unwrap();
    assert!(matches!(queue.pick(now), Picked::Open(_)));
    assert_eq!(queue.standing(&model.key, now), Standing::Opening);
    assert!(queue.opened(&model.key, Ok(open(model)), now).is_empty());
    drop(replied);
    assert!(matches!(queue.pick(now), Picked::Wait(None)), "who left is not run");
}

/// A run of one item that was as short as it may be.
const SHORT_RUN: Run = Run { input_bytes: 1, took: SHORT, well: true };

fn run(picked: Picked) -> (String, usize) {
    match picked {
        Picked::Run { model, jobs, .. } => (model.name.clone(), jobs.len()),
        Picked::Open(model) => panic!("{} is opened", model.name),
        Picked::Wait(time) => panic!("it waits {time:?}"),
    }
}

#[test]
fn lines_are_served_in_turn_and_requests_of_one_go_together() {
    let (now, mut queue) = (Instant::now(), queue(WorkSettings::default()));
    let (one, other) = (known("one", "1"), known("other", "1"));
    opened(&mut queue, &one, now);
    opened(&mut queue, &other, now);
    let mut waiting = Vec::new();
    // Three fit into a run of eight items, the fourth does not.
    for (model, items) in [(&one, 3), (&one, 3), (&one, 2), (&one, 1), (&other, 1)] {
        let (job, replied) = job(items, now);
        queue.push(model, job).unwrap();
        waiting.push(replied);
    }
    let served = [0, 1, 2].map(|_| run(queue.pick(now)));
    let expected = [("one", 3), ("other", 1), ("one", 1)];
    assert_eq!(served, expected.map(|(name, jobs)| (name.to_owned(), jobs)));
    assert!(matches!(queue.pick(now), Picked::Wait(None)));
}

#[test]
fn a_request_waits_for_others_only_so_long() {
    let delay = Duration::from_millis(5);
    let (now, settings) =
        (Instant::now(), WorkSettings { batch_delay: delay, ..Default::default() });
    let (mut queue, model) = (queue(settings), known("one", "1"));
    opened(&mut queue, &model, now);
    let (first, _first) = job(1, now);
    queue.push(&model, first).unwrap();
    let later = now + Duration::from_millis(2);
    assert!(matches!(queue.pick(later), Picked::Wait(Some(left)) if left == delay - (later - now)));
    let (second, _second) = job(1, later);
    queue.push(&model, second).unwrap();
    assert_eq!(run(queue.pick(now + delay)).1, 2);
    // Who fills a run waits for nobody.
    let (large, _large) = job(8, now);
    queue.push(&model, large).unwrap();
    assert_eq!(run(queue.pick(now)).1, 1);
}

#[test]
fn over_the_bound_who_comes_is_refused_unless_somebody_has_left() {
    let settings = WorkSettings { queue: 2, ..Default::default() };
    let (now, mut queue, model) = (Instant::now(), queue(settings), known("one", "1"));
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (job, replied) = job(1, now);
        queue.push(&model, job).unwrap();
        waiting.push(replied);
    }
    let refused = queue.push(&model, job(1, now).0).unwrap_err();
    assert_eq!(refused, Refusal::busy("2 requests wait already (`api.queue`)"));
    waiting.pop();
    let (job, _replied) = job(1, now);
    queue.push(&model, job).unwrap();
    assert_eq!((queue.waiting(), queue.empty().len(), queue.waiting()), (2, 2, 0));
}

#[test]
fn a_model_that_cannot_be_opened_is_tried_again_after_a_while() {
    let (now, mut queue, model) =
        (Instant::now(), queue(WorkSettings::default()), known("one", "1"));
    assert!(queue.wants_open(&model, now));
    assert!(!queue.wants_open(&model, now), "somebody opens it already");
    let (waits, _replied) = job(1, now);
    queue.push(&model, waits).unwrap();
    let refused = queue.opened(&model.key, Err("no memory".to_owned()), now);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].1, cannot_open("no memory"));
    assert_eq!(queue.standing(&model.key, now), Standing::Failed("no memory".to_owned()));
    let soon = queue.push(&model, job(1, now + Duration::from_secs(9)).0).unwrap_err();
    assert_eq!(soon, cannot_open("no memory"));
    let after = queue.standing(&model.key, now + AGAIN);
    assert_eq!(after, Standing::Closed, "who asks whether it can be asked is told so");
    let (again, _replied) = job(1, now + AGAIN);
    queue.push(&model, again).unwrap();
    assert!(matches!(queue.pick(now + AGAIN), Picked::Open(_)));
    assert_eq!(queue.rests_for(now + IDLE * 2), IDLE, "who opens it is not to be looked after");
    let late = now + AGAIN + OPENS_QUICKLY + Duration::from_millis(1);
    let opening = queue.push(&model, job(1, late).0).unwrap_err();
    assert_eq!(opening, Refusal::unavailable("the model is still being opened", 5));
}

#[test]
fn the_room_of_a_request_is_taken_until_it_is_let_go_of_whether_its_client_is_there_or_not() {
    let (now, mut queue, model) =
        (Instant::now(), queue(WorkSettings::default()), known("one", "1"));
    opened(&mut queue, &model, now);
    let room = Arc::new(Semaphore::new(1));
    let (mut waits, replied) = job(1, now);
    waits._room = room.clone().try_acquire_owned().unwrap();
    queue.push(&model, waits).unwrap();
    drop(replied);
    assert_eq!(room.available_permits(), 0);
    assert!(matches!(queue.pick(now), Picked::Wait(None)));
    assert_eq!(room.available_permits(), 1);
}

#[test]
fn what_nobody_asks_for_is_closed_and_let_go_of() {
    let (now, mut queue) = (Instant::now(), queue(WorkSettings::default()));
    let (idle, busy, failed) = (known("idle", "1"), known("busy", "1"), known("failed", "1"));
    opened(&mut queue, &idle, now);
    opened(&mut queue, &busy, now);
    queue.wants_open(&failed, now);
    queue.opened(&failed.key, Err("no memory".to_owned()), now);
    let (job, _replied) = job(1, now);
    queue.push(&busy, job).unwrap();
    run(queue.pick(now));
    assert!(queue.idle(now + IDLE - Duration::from_secs(1)).is_empty());
    assert_eq!(queue.idle(now + IDLE).len(), 1, "one has an engine, one is running");
    assert_eq!([&idle, &busy, &failed].map(Arc::strong_count), [1, 2, 1]);
    queue.ran(&busy.key, SHORT_RUN, now + IDLE);
    assert!(queue.idle(now + IDLE).is_empty());
    assert_eq!(queue.idle(now + IDLE * 2).len(), 1);
    assert_eq!((Arc::strong_count(&busy), queue.standing(&busy.key, now)), (1, Standing::Closed));
}

#[test]
fn a_model_that_is_unloaded_is_opened_by_the_next_request() {
    let (now, mut queue, model) =
        (Instant::now(), queue(WorkSettings::default()), known("one", "1"));
    opened(&mut queue, &model, now);
    assert!(queue.close(&model.key).is_some() && queue.close(&model.key).is_none());
    let (job, _replied) = job(1, now);
    queue.push(&model, job).unwrap();
    assert!(matches!(queue.pick(now), Picked::Open(_)));
    assert!(queue.close(&model.key).is_none(), "whoever opens it is not disturbed");
    assert_eq!(queue.standing(&model.key, now), Standing::Opening);
}

#[test]
fn who_asks_in_a_row_is_waited_for_awake_and_who_takes_its_time_is_not() {
    let (now, mut queue) = (Instant::now(), queue(WorkSettings::default()));
    let model = known("one", "1");
    opened(&mut queue, &model, now);
    let mut soon = |after: Duration| {
        queue.ran(&model.key, SHORT_RUN, now);
        queue.caller = Some(Caller(1));
        let alone = queue.alone(&model.key, Some(Caller(1)), 1, now + after);
        alone.expect("it is done at once").soon
    };
    assert!(soon(SOON));
    assert!(!soon(SOON + Duration::from_nanos(1)));
    assert!(soon(Duration::ZERO));
}

#[test]
fn a_short_run_is_done_at_once_for_who_asks_alone_and_for_nobody_else() {
    let (now, mut queue) = (Instant::now(), queue(WorkSettings::default()));
    let (model, other) = (known("one", "1"), known("other", "1"));
    opened(&mut queue, &model, now);
    opened(&mut queue, &other, now);
    let (one, another) = (Some(Caller(1)), Some(Caller(2)));
    let ask = |queue: &mut Queue, caller| queue.alone(&model.key, caller, 1, now).is_some();
    let run_was = |queue: &mut Queue, was: Run| {
        let (job, _replied) = job(1, now);
        queue.push(&model, job).unwrap();
        run(queue.pick(now));
        queue.ran(&model.key, was, now);
    };
    assert!(!ask(&mut queue, one));
    assert!(!ask(&mut queue, one), "nobody knows how long it takes");
    run_was(&mut queue, SHORT_RUN);
    assert!(ask(&mut queue, one));
    assert!(!ask(&mut queue, one), "it runs");
    queue.ran(&model.key, SHORT_RUN, now);
    assert!(queue.alone(&model.key, one, 2, now).is_none(), "nobody knows how long more takes");
    assert!(!ask(&mut queue, another), "there are two");
    assert!(!ask(&mut queue, one), "there are two");
    assert!(!ask(&mut queue, None));
    assert!(!ask(&mut queue, None), "nobody knows who asks");
    assert!(!ask(&mut queue, one));
    let (waiting, replied) = job(1, now);
    queue.push(&other, waiting).unwrap();
    assert!(!ask(&mut queue, one), "somebody waits");
    run(queue.pick(now));
    assert!(!ask(&mut queue, one), "another one runs");
    queue.ran(&other.key, SHORT_RUN, now);
    drop(replied);
    for unlike in [
        Run { took: SHORT + Duration::from_nanos(1), ..SHORT_RUN },
        Run { input_bytes: 0, ..SHORT_RUN },
        Run { well: false, ..SHORT_RUN },
    ] {
        run_was(&mut queue, SHORT_RUN);
        assert!(ask(&mut queue, one));
        queue.ran(&model.key, unlike, now);
        assert!(!ask(&mut queue, one), "{unlike:?}");
    }
    run_was(&mut queue, SHORT_RUN);
    drop(queue.close(&model.key));
    assert!(!ask(&mut queue, one), "it is closed");
    assert!(queue.wants_open(&model, now));
    assert!(queue.opened(&model.key, Ok(open(&model)), now).is_empty());
    assert!(!ask(&mut queue, one), "it is another session");
}

#[test]
fn a_runner_looks_again_when_the_first_line_may_be_idle() {
    let (now, mut queue) = (Instant::now(), queue(WorkSettings::default()));
    assert_eq!(queue.rests_for(now), IDLE);
    let (one, other) = (known("one", "1"), known("other", "1"));
    opened(&mut queue, &one, now);
    opened(&mut queue, &other, now + IDLE / 4);
    assert_eq!(queue.rests_for(now + IDLE / 2), IDLE / 2);
    assert!(queue.idle(now + queue.rests_for(now)).len() == 1);
    assert_eq!(queue.rests_for(now + IDLE), IDLE / 4);
}
