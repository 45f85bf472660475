//! TLS, logins and WebSockets against real brokers: every refusal is provoked for real and says what to do.

use std::time::Duration;

use anyhow::Result;
use tests::bench::{self, BRIGHTNESS, RUNNING};
use tests::certificates::Authority;
use tests::{Broker, Daemon, Folder, Listener, Login, PATIENCE, onnx};

/// A configuration with `mqtt` as its `[mqtt]`, the small model, and one pipeline into the broker.
fn config(folder: &Folder, mqtt: &str) -> Result<String> {
    let model = bench::brightness(folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "sinks = [\"mqtt\"]");
    Ok(bench::head() + "[mqtt]\n" + mqtt + "\n" + &model + &door)
}

/// What the log says of a broker that lets us in.
const CONNECTED: &str = "connected to the broker";

fn url(scheme: &str, broker: &Broker) -> String {
    format!("\"{scheme}://127.0.0.1:{}\"", broker.port())
}

#[test]
fn every_refusal_says_what_to_do_and_the_next_broker_is_tried() -> Result<()> {
    let (ours, others) = (Authority::new("ours")?, Authority::new("theirs")?);
    // As after an authority was lost and made again.
    let again = Authority::new("ours")?;
    let here = "DNS:localhost,IP:127.0.0.1";
    let tls = |lines: &str| Broker::configured(None, false, lines);
    let good = ours.sign("good", here, 2)?.listener();
    let expired = tls(&ours.sign("expired", here, -1)?.listener())?;
    let misnamed = tls(&ours.sign("misnamed", "DNS:elsewhere.example", 2)?.listener())?;
    let unknown = tls(&others.sign("unknown", here, 2)?.listener())?;
    let remade = tls(&again.sign("remade", here, 2)?.listener())?;
    let ca = format!("cafile {}\nrequire_certificate true\n", ours.certificate().display());
    let asking = tls(&format!("{good}{ca}"))?;
    let plain = Broker::start()?;
    let login = |password: &str| Login { user: "dut".to_owned(), password: password.to_owned() };
    let locked = Broker::configured(Some(&login("other")), false, &good)?;
    let open = Broker::configured(Some(&login("secret")), false, &good)?;

    let folder = Folder::new()?;
    // Where systemd would put what LoadCredential= names.
    folder.write("credentials/mqtt-password", "secret\n")?;
    let brokers = [&expired, &misnamed, &unknown, &asking, &remade, &plain, &locked, &open];
    let urls: Vec<String> = brokers.iter().map(|broker| url("mqtts", broker)).collect();
    let mqtt = format!(
        "url = [{}]\nca_file = '{}'\nusername = \"dut\"\npassword_file = \"credential:mqtt-password\"",
        urls.join(", "),
        ours.certificate().display()
    );
    let launch = Daemon::prepare(&folder, &config(&folder, &mqtt)?)?;
    let mut daemon = launch.env("CREDENTIALS_DIRECTORY", folder.join("credentials")).start()?;
    for (broker, advice) in [
        (&expired, "has expired: renew it"),
        (&misnamed, "is for another name than `127.0.0.1`"),
        (&unknown, "nobody we believe signed"),
        (&asking, "wants to see a certificate"),
        (&remade, "nobody we believe signed"),
        (&plain, "is there TLS on that port?"),
        (&locked, "the broker refuses the login"),
        (&open, CONNECTED),
    ] {
        // The last of them: all before it were tried by then.
        daemon.wait_log(CONNECTED, PATIENCE)?;
        let log = daemon.log();
        let port = format!("127.0.0.1:{}", broker.port());
        let found = log.lines().any(|line| line.contains(advice) && line.contains(&port));
        assert!(found, "{advice}: {log}");
    }
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    Ok(())
}

#[test]
fn a_certificate_of_ours_opens_the_broker_also_through_a_websocket() -> Result<()> {
    let authority = Authority::new("ours")?;
    let server = authority.sign("server", "DNS:localhost,IP:127.0.0.1", 2)?.listener();
    let ca = format!("cafile {}\nrequire_certificate true\n", authority.certificate().display());
    let client = authority.sign("client", "DNS:dut", 2)?;
    let identity = format!(
        "ca_file = '{}'\ncert_file = '{}'\nkey_file = '{}'\n",
        authority.certificate().display(),
        client.certificate.display(),
        client.key.display()
    );
    for (scheme, lines, identity) in [
        ("mqtts", format!("{server}{ca}"), identity.as_str()),
        ("wss", format!("protocol websockets\n{server}"), &identity),
        ("ws", "protocol websockets\n".to_owned(), ""),
    ] {
        // Whoever listens comes by another door.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let lines = format!("{lines}listener {port} 127.0.0.1\n");
        let broker = Broker::configured(None, false, &lines)?;
        let listener = Listener::start(port, None)?;
        let folder = Folder::new()?;
        let mqtt = format!("url = {}\n{identity}", url(scheme, &broker));
        let mut daemon = Daemon::start(&folder, &config(&folder, &mqtt)?)?;
        daemon.wait_log(RUNNING, PATIENCE)?;
        let topics = bench::topics()?;
        listener.wait_count(&topics.observation("door"), 3, PATIENCE)?;
        let ended = daemon.stop()?;
        assert_eq!(ended.code, Some(0), "{scheme}: {}", ended.log);
        listener.wait_status(&topics, wire::StatusWord::Offline, Duration::from_secs(10))?;
    }
    Ok(())
}
