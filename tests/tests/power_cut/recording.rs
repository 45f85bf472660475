//! What a process does to the files below one directory, in order, as strace saw it.
//!
//! Only what went well is kept, at the moment it came back. What this cannot replay (a mapping that is written, a
//! copy inside the kernel) is an error, so that nothing is left out in silence.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use tests::places;

/// Longest single write that is recorded whole: a chunk of a release and more.
const WRITE_BYTES_MAX: &str = "33554432";

/// Every call that could change a file or make a change durable.
const CALLS: &str = "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,\
fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fsync,\
fdatasync,sync,syncfs,sync_file_range,copy_file_range,sendfile,mmap,io_uring_setup";

/// One change; paths are relative to the directory that was watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A directory is made.
    Directory(PathBuf),
    /// A file is there from now on, if it was not before.
    File(PathBuf),
    /// A file has this length.
    Resize(PathBuf, u64),
    /// Bytes are written.
    Write(PathBuf, u64, Vec<u8>),
    /// A second name of a file.
    Link(PathBuf, PathBuf),
    /// A symbolic link and what it says.
    Symlink(PathBuf, PathBuf),
    /// Another name.
    Rename(PathBuf, PathBuf),
    /// A name is gone.
    Remove(PathBuf),
    /// A file's content, or a directory's names, are durable.
    Sync(PathBuf),
}

/// A recording under way: what strace says comes through a named pipe, whose end is strace's.
pub(crate) struct Recorder {
    pipe: PathBuf,
    reader: std::thread::JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Recorder {
    /// Begins to read from a new pipe `pipe`.
    pub(crate) fn new(pipe: &Path) -> Result<Self> {
        let made = Command::new("mkfifo").arg(pipe).status().context("mkfifo")?;
        ensure!(made.success(), "mkfifo");
        let from = pipe.to_owned();
        let reader = std::thread::spawn(move || std::fs::read(from));
        Ok(Self { pipe: pipe.to_owned(), reader })
    }

    /// The program to start, and its arguments before those of `program`: the process that is started becomes
    /// `program` itself, with the recorder behind it.
    pub(crate) fn before(&self, program: &Path) -> Result<(PathBuf, Vec<String>)> {
        let calls = format!("trace={CALLS}");
        let pipe = self.pipe.display().to_string();
        let (strace, program) = (places::program("strace")?, program.display().to_string());
        let args = [
            "-D",
            "-f",
            "-q",
            "-y",
            "-xx",
            "--seccomp-bpf",
            "-s",
            WRITE_BYTES_MAX,
            "-e",
            &calls,
            "-o",
            &pipe,
            &program,
        ];
        Ok((strace, args.map(str::to_owned).to_vec()))
    }

    /// What was done below `watched`, by processes that were started in `inside`, once all of them have ended.
    pub(crate) fn end(self, inside: &Path, watched: &Path) -> Result<Vec<Step>> {
        let text = self.reader.join().ok().context("the reader panicked")??;
        std::fs::remove_file(&self.pipe)?;
        let mut reading = Reading {
            inside,
            watched,
            offsets: HashMap::new(),
            begun: HashMap::new(),
            steps: Vec::new(),
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            reading.line(std::str::from_utf8(line)?)?;
        }
        Ok(reading.steps)
    }
}

struct Reading<'a> {
    inside: &'a Path,
    watched: &'a Path,
    /// Where the next plain write goes, by descriptor and path.
    offsets: HashMap<(String, PathBuf), u64>,
    /// Calls that have not come back yet, by thread.
    begun: HashMap<String, String>,
    steps: Vec<Step>,
}

/// A call: its arguments as they were written, and what came back.
struct Call<'a> {
    args: Vec<&'a str>,
    result: &'a str,
}

impl Reading<'_> {
    fn line(&mut self, line: &str) -> Result<()> {
        let (thread, said) = line.split_once(' ').context("a line without a thread")?;
        let said = said.trim_start();
        if said.starts_with("+++") || said.starts_with("---") {
            return Ok(());
        }
        if let Some(begin) = said.strip_suffix(" <unfinished ...>") {
            self.begun.insert(thread.to_owned(), begin.to_owned());
            return Ok(());
        }
        let joined;
        let said = match said.strip_prefix("<... ") {
            Some(rest) => {
                let begin = self.begun.remove(thread).context("an end without a begin")?;
                let end = rest.split_once(" resumed>").context("an end of nothing")?.1;
                joined = begin + end;
                joined.as_str()
            }
            None => said,
        };
        let Some((name, rest)) = said.split_once('(') else { return Ok(()) };
        let Some((args, result)) = rest.rsplit_once(") = ").or_else(|| {
            let at = rest.rfind(" = ")?;
            Some((rest[..at].trim_end().strip_suffix(')')?, &rest[at + 3..]))
        }) else {
            // A call that a signal ended for good.
            return Ok(());
        };
        if result.starts_with(['-', '?']) {
            return Ok(());
        }
        let call = Call { args: args.split(", ").collect(), result };
        self.call(name, &call).with_context(|| {
            let short: String = line.chars().take(300).collect();
            format!("strace says `{short}`")
        })
    }

    fn call(&mut self, name: &str, call: &Call<'_>) -> Result<()> {
        match name {
            "open" | "openat" | "creat" => self.open(name, call),
            "write" | "pwrite64" => self.write(name, call),
            "lseek" => {
                if let Some(path) = self.of(call.args[0])? {
                    let at = call.result.parse().context("no offset")?;
                    self.offsets.insert((number(call.args[0]), path), at);
                }
                Ok(())
            }
            "ftruncate" => self.on(call.args[0], |path| {
                Ok(Step::Resize(path, call.args[1].parse().context("no length")?))
            }),
            // It asks for writing, and does not wait for the disk: nothing is durable by it.
            "sync_file_range" => Ok(()),
            "fsync" | "fdatasync" => self.on(call.args[0], |path| Ok(Step::Sync(path))),
            "mkdir" => self.at(None, call.args[0], Step::Directory),
            "mkdirat" => self.at(Some(call.args[0]), call.args[1], Step::Directory),
            "unlink" | "rmdir" => self.at(None, call.args[0], Step::Remove),
            "unlinkat" => self.at(Some(call.args[0]), call.args[1], Step::Remove),
            "rename" => self.two(None, call.args[0], None, call.args[1], Step::Rename),
            "renameat" | "renameat2" => {
                let [from_dir, from, to_dir, to] = [0, 1, 2, 3].map(|at| call.args[at]);
                self.two(Some(from_dir), from, Some(to_dir), to, Step::Rename)
            }
            "link" => self.two(None, call.args[0], None, call.args[1], Step::Link),
            "linkat" => {
                let [from_dir, from, to_dir, to] = [0, 1, 2, 3].map(|at| call.args[at]);
                self.two(Some(from_dir), from, Some(to_dir), to, Step::Link)
            }
            "symlink" => {
                let target = PathBuf::from(text(call.args[0])?);
                self.at(None, call.args[1], |path| Step::Symlink(path, target))
            }
            "symlinkat" => {
                let target = PathBuf::from(text(call.args[0])?);
                self.at(Some(call.args[1]), call.args[2], |path| Step::Symlink(path, target))
            }
            "mmap" => {
                let written = call.args.get(2).is_some_and(|how| how.contains("PROT_WRITE"))
                    && call.args.get(3).is_some_and(|how| how.contains("MAP_SHARED"));
                let file = call.args.get(4).map(|file| self.of(file)).transpose()?.flatten();
                ensure!(!written || file.is_none(), "a mapping is not replayed");
                Ok(())
            }
            "io_uring_setup" | "sync" => bail!("is not replayed"),
            _ => {
                for arg in &call.args {
                    ensure!(!arg.contains('<') || self.of(arg)?.is_none(), "is not replayed");
                }
                Ok(())
            }
        }
    }

    fn open(&mut self, name: &str, call: &Call<'_>) -> Result<()> {
        let (path, flags) = match name {
            "openat" => (self.path(Some(call.args[0]), call.args[1])?, call.args[2]),
            "creat" => (self.path(None, call.args[0])?, "O_CREAT|O_TRUNC"),
            _ => (self.path(None, call.args[0])?, call.args[1]),
        };
        let Some(path) = path else { return Ok(()) };
        ensure!(!flags.contains("O_APPEND"), "appending is not replayed");
        self.offsets.insert((number(call.result), path.clone()), 0);
        if flags.contains("O_CREAT") {
            self.steps.push(Step::File(path.clone()));
        }
        if flags.contains("O_TRUNC") {
            self.steps.push(Step::Resize(path, 0));
        }
        Ok(())
    }

    fn write(&mut self, name: &str, call: &Call<'_>) -> Result<()> {
        let Some(path) = self.of(call.args[0])? else { return Ok(()) };
        let count: usize = call.result.parse().context("no count")?;
        let mut bytes = string(call.args[1])?;
        ensure!(bytes.len() >= count, "strace cut a write off");
        bytes.truncate(count);
        let at = if name == "pwrite64" {
            call.args[3].parse().context("no offset")?
        } else {
            let offset = self.offsets.get_mut(&(number(call.args[0]), path.clone()));
            let offset = offset.context("a file that nobody opened")?;
            let at = *offset;
            *offset += u64::try_from(count)?;
            at
        };
        self.steps.push(Step::Write(path, at, bytes));
        Ok(())
    }

    /// A step on the file of a descriptor.
    fn on(&mut self, file: &str, step: impl FnOnce(PathBuf) -> Result<Step>) -> Result<()> {
        if let Some(path) = self.of(file)? {
            self.steps.push(step(path)?);
        }
        Ok(())
    }

    fn at(
        &mut self,
        dir: Option<&str>,
        name: &str,
        step: impl FnOnce(PathBuf) -> Step,
    ) -> Result<()> {
        if let Some(path) = self.path(dir, name)? {
            self.steps.push(step(path));
        }
        Ok(())
    }

    fn two(
        &mut self,
        from_dir: Option<&str>,
        from: &str,
        to_dir: Option<&str>,
        to: &str,
        step: impl FnOnce(PathBuf, PathBuf) -> Step,
    ) -> Result<()> {
        match (self.path(from_dir, from)?, self.path(to_dir, to)?) {
            (Some(from), Some(to)) => self.steps.push(step(from, to)),
            (None, None) => {}
            _ => bail!("a name goes in or out of the directory"),
        }
        Ok(())
    }

    /// The file of a descriptor, where it is watched and still has a name.
    fn of(&self, file: &str) -> Result<Option<PathBuf>> {
        let Some((_, path)) = file.split_once('<') else { return Ok(None) };
        if path.ends_with("(deleted)") {
            return Ok(None);
        }
        // Sockets, pipes and the like have no absolute path.
        let path = String::from_utf8(unhex(path.trim_end_matches('>'))?)?;
        Ok(self.watched(Path::new(&path)))
    }

    /// Where a name is, from the directory of a descriptor or from where the process was started.
    fn path(&self, dir: Option<&str>, name: &str) -> Result<Option<PathBuf>> {
        let name = text(name)?;
        let base = match dir.and_then(|dir| dir.split_once('<')) {
            Some((_, path)) => {
                PathBuf::from(String::from_utf8(unhex(path.trim_end_matches('>'))?)?)
            }
            None => self.inside.to_owned(),
        };
        Ok(self.watched(&base.join(name)))
    }

    fn watched(&self, path: &Path) -> Option<PathBuf> {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => drop(plain.pop()),
                part => plain.push(part),
            }
        }
        let path = plain.strip_prefix(self.watched).ok()?;
        (!is_outbox(path)).then(|| path.to_owned())
    }
}

/// Whether `path`, in a state directory, is the outbox's: a store of its own kind, which no release depends on, and
/// whose cuts are those of `messages.rs`.
pub(crate) fn is_outbox(path: &Path) -> bool {
    let top = path.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    top.is_some_and(|name| name.starts_with("outbox"))
}

/// The number before a descriptor's path.
fn number(file: &str) -> String {
    file.split('<').next().unwrap_or_default().to_owned()
}

fn text(quoted: &str) -> Result<String> {
    Ok(String::from_utf8(string(quoted)?)?)
}

/// The bytes of a string that is all `\xNN`.
fn string(quoted: &str) -> Result<Vec<u8>> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    unhex(inner.with_context(|| "a string that was cut off".to_owned())?)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.starts_with("\\x") {
        return Ok(text.as_bytes().to_vec());
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes().chunks(4).map(|four| match four {
        [b'\\', b'x', high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>().context("a string that is not all hexadecimal")
}
