use tokio::io::AsyncWriteExt as _;

use super::*;

/// Longest wait for what has to come.
const SOON: Duration = Duration::from_secs(30);

/// Serves one client at a time while `clients` does what it does, then has to end.
async fn with_one_place<C: Future>(
    silence: Duration,
    clients: impl FnOnce(SocketAddr, Arc<tokio::sync::Notify>) -> C,
) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("metadata")).unwrap();
    let large = std::fs::File::create(folder.path().join("metadata/large")).unwrap();
    large.set_len(256 << 20).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = Arc::new(tokio::sync::Notify::new());
    let clients = clients(listener.local_addr().unwrap(), stop.clone());
    let bounds = Bounds { connections: 1, silence, drain: Duration::ZERO };
    let served = serve(folder.path().to_owned(), &listener, bounds, stop.notified());
    let both = async { tokio::join!(served, clients) };
    tokio::time::timeout(SOON, both).await.unwrap().0.unwrap();
}

/// A connection on which the first bytes of `path` came.
async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: fleet\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_place() {
    with_one_place(Duration::from_secs(1), async |address, stop| {
        let idle = ask(address, "/metadata/large").await;
        drop(ask(address, "/metadata/large").await);
        drop(idle);
        stop.notify_one();
    })
    .await;
}

#[tokio::test]
async fn the_server_ends_while_every_place_is_taken() {
    with_one_place(SILENCE, async |address, stop| {
        let idle = ask(address, "/metadata/large").await;
        stop.notify_one();
        // It is kept until the server ended.
        idle
    })
    .await;
}

#[test]
fn a_model_may_be_called_as_a_key_ends() {
    for (name, key) in [
        ("targets.key", true),
        ("root-1.key.old-3", true),
        ("targets.key.new", true),
        (".targets.key.new.new", true),
        ("aa.release~pose.keypoints~1.json", false),
        ("aa.release~pose.key.old-1~1.json", false),
        ("aa.blob", false),
    ] {
        assert_eq!(is_key(name), key, "{name}");
    }
}

#[test]
fn a_range_is_taken_ignored_or_refused() {
    for (text, wanted) in [
        ("bytes=0-", Some(Some((0, 10)))),
        ("bytes=3-", Some(Some((3, 10)))),
        ("bytes=3-5", Some(Some((3, 6)))),
        ("bytes=3-99", Some(Some((3, 10)))),
        ("bytes=-4", Some(Some((6, 10)))),
        ("bytes=10-", Some(None)),
        ("bytes=5-3", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-", None),
        ("bytes=a-", None),
    ] {
        assert_eq!(part(text, 10), wanted, "{text}");
    }
}

#[test]
fn only_plain_names_in_the_two_folders_are_files() {
    let root = Path::new("r");
    for (path, there) in [
        ("/metadata/timestamp.json", true),
        ("/targets/aa.release~m~1.json", true),
        ("/metadata/", false),
        ("/metadata/../keys/root-1.key", false),
        ("/metadata/.lock", false),
        ("/keys/root-1.key", false),
        ("/metadata/%2e%2e/x", false),
        ("metadata/x", false),
    ] {
        assert_eq!(file(root, path).is_some(), there, "{path}");
    }
}
