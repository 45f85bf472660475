//! The server when the machine gives it no more.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Desk;

/// Files that the server may have open: a handful of clients.
const FILES: u32 = 24;
/// Most processor time of one that waits for a second, in hundredths: one that spins takes a core.
const IDLE_MAX: u64 = 15;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(desk: &Desk) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {FILES}; exec \"$@\"; exit 1"), "sh"])
            .args([env!("CARGO_BIN_EXE_vedette-fleet"), "serve", "repo", "--listen", "127.0.0.1:0"])
            .current_dir(desk.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").unwrap().1.to_owned();
        Self { child, address }
    }

    fn ticks(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

fn ask(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /metadata/1.root.json HTTP/1.1\r\nhost: fleet\r\n\r\n").unwrap();
    stream
}

/// The code of the answer on `stream`.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head[9..]).into_owned()
}

#[test]
fn a_server_without_room_for_another_file_says_so_and_waits() {
    let desk = Desk::new();
    desk.must("init repo --keys keys --unencrypted");
    let server = Server::start(&desk);
    let mut clients = Vec::new();
    loop {
        let mut client = ask(&server.address);
        let code = answer(&mut client);
        clients.push(client);
        if code != "200" {
            assert_eq!(code, "503", "of client {}", clients.len());
            break;
        }
    }
    let mut waiting = ask(&server.address);
    let before = server.ticks();
    // What it does meanwhile is what is measured.
    std::thread::sleep(Duration::from_secs(1));
    let taken = server.ticks() - before;
    assert!(taken <= IDLE_MAX, "{taken} hundredths of a second of processor time for nothing");
    drop(clients);
    // Whoever comes while it lets go of them may still hear that there is no room.
    while answer(&mut waiting) != "200" {
        waiting = ask(&server.address);
    }
}
