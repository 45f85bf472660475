//! Cameras with a web server, and pictures on a topic.

use anyhow::{Result, ensure};
use tests::web::{Mood, Web};
use tests::{Bench, Daemon, Listener, PATIENCE, picture};

use crate::rig::Rig;

fn start(web: &Web, more: &str) -> Result<Rig> {
    Rig::start(
        Bench::new()?,
        &format!("kind = \"http\", url = \"{}\", rate_hz = 10{more}", web.url()),
    )
}

#[test]
fn a_stream_and_single_pictures_are_both_read_and_may_change_their_size() -> Result<()> {
    for (mood, other) in [
        (Mood::Stream(320, 240), Mood::Stream(200, 100)),
        (Mood::Picture(320, 240), Mood::Picture(200, 100)),
    ] {
        let web = Web::start(mood)?;
        let rig = start(&web, "")?;
        ensure!(rig.flows("gate")? == (320, 240), "{mood:?}");
        web.is(other);
        rig.flows("gate")?;
        ensure!(rig.flows("gate")? == (200, 100), "{other:?}");
        rig.end()?;
    }
    Ok(())
}

#[test]
fn a_stream_that_is_torn_flows_on_and_one_that_ends_or_stops_is_opened_again() -> Result<()> {
    let web = Web::start(Mood::Torn)?;
    let rig = start(&web, "")?;
    for (mood, said) in [
        (Mood::Cut, "the camera ended the stream"),
        (Mood::Silent, "no whole picture came for 2.5 s"),
        (Mood::Drip, "no whole picture came for 2.5 s"),
    ] {
        rig.flows("gate")?;
        web.is(mood);
        // A slow one is said as a silent one is.
        rig.says_times(said, if matches!(mood, Mood::Drip) { 2 } else { 1 })?;
        web.is(Mood::Stream(320, 240));
        rig.flows("gate")?;
    }
    ensure!(web.asked() >= 4, "{}", web.asked());
    rig.end()
}

#[test]
fn what_a_server_says_instead_of_pictures_is_said_with_what_to_do() -> Result<()> {
    let password = ", user = \"viewer\", password_file = \"password\"";
    for (mood, more, said) in [
        (Mood::Page, "", "`text/html` is no picture"),
        (Mood::Missing, "", "the camera has no such page (404)"),
        (Mood::Broken, "", "the camera answers 503"),
        (Mood::Private, "", "look at `user` and `password_file`"),
        (Mood::Digest, password, "the camera wants Digest authentication"),
    ] {
        let web = Web::start(mood)?;
        let bench = Bench::new()?;
        bench.folder.write("password", "secret\n")?;
        let source = format!("kind = \"http\", url = \"{}\"{more}", web.url());
        let rig = Rig::start(bench, &source)?;
        rig.says(said)?;
        web.is(Mood::Stream(320, 240));
        rig.flows("gate")?;
        rig.end()?;
    }
    let web = Web::start(Mood::Private)?;
    let bench = Bench::new()?;
    bench.folder.write("password", "secret\n")?;
    let source = format!("kind = \"http\", url = \"{}\"{password}", web.url());
    let rig = Rig::start(bench, &source)?;
    rig.flows("gate")?;
    rig.end()
}

#[test]
fn pictures_on_a_topic_are_frames_and_what_is_none_is_said() -> Result<()> {
    let bench = Bench::new()?;
    let says = Listener::start(bench.broker.port(), None)?;
    says.leave("yard/jpeg", picture::jpeg(64, 48, 3))?;
    let rig =
        Rig::start(bench, "kind = \"mqtt\", topic = \"yard/jpeg\", rate_hz = 10, start_s = 1")?;
    // The retained one is no frame: nobody publishes yet.
    rig.says("no picture came for 1 s: who publishes there")?;
    ensure!(rig.count("gate") == 0);
    for picture in [picture::jpeg(320, 240, 3), picture::png(100, 50, 200)] {
        let before = rig.count("gate");
        let deadline = std::time::Instant::now() + PATIENCE;
        while rig.count("gate") < before + 3 {
            ensure!(std::time::Instant::now() < deadline, "{}", rig.daemon.log());
            says.say("yard/jpeg", &picture)?;
            rig.flows("door")?;
        }
    }
    says.say("yard/jpeg", b"no picture")?;
    rig.says("what came is no picture that can be used: it is neither a JPEG nor a PNG picture")?;
    rig.end()
}

#[test]
fn pictures_on_a_topic_need_a_broker() -> Result<()> {
    let bench = Bench::new()?;
    let text =
        "[[pipeline]]\nname = \"a\"\nmodel = \"m\"\nsource = { kind = \"mqtt\", topic = \"t\" }\n";
    let mut daemon = Daemon::start(&bench.folder, text)?;
    let ended = daemon.wait_exit(PATIENCE)?;
    ensure!(ended.code == Some(78), "{ended:?}");
    ensure!(ended.log.contains("`pipeline.a.source`: needs a broker"), "{}", ended.log);
    Ok(())
}
