//! A camera's web server: Motion-JPEG or a picture, well or in one of the ways in which cameras are not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::picture;

/// Ten pictures a second.
const EVERY: Duration = Duration::from_millis(100);
/// How a slow one drips.
const DRIP: Duration = Duration::from_millis(50);
/// Credentials `viewer:secret` in base 64.
const LOGIN: &str = "authorization: basic dmlld2vyonnly3jlda==";

/// How the camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// A stream of pictures of this size.
    Stream(u16, u16),
    /// A picture of this size for each request.
    Picture(u16, u16),
    /// A stream in which every second picture is cut off.
    Torn,
    /// A stream that ends in the middle of a picture, with its connection.
    Cut,
    /// A stream whose pictures come byte by byte.
    Drip,
    /// A stream that stops without an end.
    Silent,
    /// A page for people.
    Page,
    /// A stream for who has a password.
    Private,
    /// The same, for who can compute a digest.
    Digest,
    /// Nothing is there.
    Missing,
    /// An error.
    Broken,
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    gone: AtomicBool,
    asked: AtomicU32,
}

/// See the module. Ends with its connections on drop.
#[derive(Debug)]
pub struct Web {
    port: u16,
    shared: Arc<Shared>,
}

impl Web {
    /// Starts one.
    ///
    /// # Errors
    /// The system has no port.
    pub fn start(mood: Mood) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            gone: AtomicBool::new(false),
            asked: AtomicU32::new(0),
        });
        let server = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if server.gone.load(Ordering::SeqCst) {
                    break;
                }
                let server = server.clone();
                // A client that hangs up ends its thread.
                std::thread::spawn(move || drop(serve(client, &server)));
            }
        });
        Ok(Self { port, shared })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/camera", self.port)
    }

    /// How it is from now on, also in the midst of a stream.
    pub fn is(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for clients.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (mut lines, mut line, mut login) =
        (BufReader::new(client.try_clone()?), String::new(), false);
    while lines.read_line(&mut line)? > 2 {
        login |= line.trim().eq_ignore_ascii_case(LOGIN);
        line.clear();
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let mood = shared.mood();
    let refusal = match mood {
        Mood::Private if login => None,
        Mood::Private => Some("401 No\r\nWWW-Authenticate: Basic realm=\"camera\""),
        Mood::Digest => Some("401 No\r\nWWW-Authenticate: Digest realm=\"camera\", nonce=\"1\""),
        Mood::Missing => Some("404 Not here"),
        Mood::Broken => Some("503 Later"),
        _ => None,
    };
    let close = "Connection: close\r\n";
    if let Some(refusal) = refusal {
        return write!(client, "HTTP/1.1 {refusal}\r\n{close}Content-Length: 0\r\n\r\n");
    }
    if mood == Mood::Page {
        return write!(
            client,
            "HTTP/1.1 200 OK\r\n{close}Content-Type: text/html\r\n\r\n<p>camera</p>"
        );
    }
    if let Mood::Picture(width, height) = mood {
        let picture = picture::jpeg(width, height, 3);
        let length = picture.len();
        write!(
            client,
            "HTTP/1.1 200 OK\r\n{close}Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        )?;
        return client.write_all(&picture);
    }
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    )?;
    stream(&mut client, shared)
}

fn stream(client: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    for number in 0_u32.. {
        if shared.gone.load(Ordering::SeqCst) {
            break;
        }
        let mood = shared.mood();
        let (width, height) = match mood {
            Mood::Stream(width, height) => (width, height),
            _ => (320, 240),
        };
        let picture = picture::jpeg(width, height, 3);
        let half = picture.get(..picture.len() / 2).unwrap_or_default();
        let length = picture.len();
        write!(client, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n")?;
        match mood {
            Mood::Torn if number % 2 == 1 => client.write_all(half)?,
            Mood::Cut => return client.write_all(half),
            Mood::Drip => {
                for byte in &picture {
                    if shared.mood() != Mood::Drip {
                        return Ok(());
                    }
                    client.write_all(&[*byte])?;
                    std::thread::sleep(DRIP);
                }
            }
            Mood::Silent => {
                while shared.mood() == Mood::Silent && !shared.gone.load(Ordering::SeqCst) {
                    std::thread::sleep(DRIP);
                }
                return Ok(());
            }
            _ => client.write_all(&picture)?,
        }
        client.write_all(b"\r\n")?;
        std::thread::sleep(EVERY);
    }
    Ok(())
}
