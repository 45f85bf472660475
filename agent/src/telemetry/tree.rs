//! Files below a root: this device's own (`/`), a copied tree's, or a capture's.
//!
//! What is read here are files of the kernel: small, made at the moment of the read, and sometimes answered with an
//! error for ever. A read is therefore bounded, done once, and never waits: `EAGAIN` is an answer like any other,
//! which is why none of these files may be given to an asynchronous reactor.
//!
//! **Invariant:** a symbolic link is followed as if the root were `/`: nothing outside is read. It holds because
//! links are followed here, name by name, and the kernel is only given names without any
//! (`a_link_is_followed_below_the_root_and_never_out_of_it`).

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::capture::Archive;

/// Most bytes of one attribute: the kernel's own limit is a page.
pub const ATTRIBUTE_BYTES: usize = 4096;
/// Most bytes of a longer file, such as `/proc/vmstat` of a machine with many nodes.
pub const FILE_BYTES_MAX: usize = 64 << 10;
/// Most names of a directory: a board has some dozens of a class.
const NAMES_MAX: usize = 4096;
/// Most links on the way to a file, as in the kernel.
const LINKS_MAX: usize = 40;

/// Why a tree cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The directory or file cannot be opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no capture.
    #[error("`{}` is no capture of a board", path.display())]
    Capture {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why there is no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// There is no such file, or no longer.
    Absent,
    /// It is there, and does not answer.
    Refused(Errno),
}

/// See the module.
#[derive(Debug)]
pub struct Tree {
    root: Root,
}

#[derive(Debug)]
enum Root {
    Directory { fd: OwnedFd, live: bool },
    Archive(Archive),
}

impl Tree {
    /// The tree below the directory `path`, or in the capture `path`.
    ///
    /// # Errors
    /// [`TreeError`]: it is neither.
    pub fn open(path: &Path) -> Result<Self, TreeError> {
        let open = |source: std::io::Error| TreeError::Open { path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(open)?;
        if !metadata.is_dir() {
            let file = File::open(path).map_err(open)?;
            let archive = Archive::read(file)
                .map_err(|source| TreeError::Capture { path: path.to_owned(), source })?;
            return Ok(Self { root: Root::Archive(archive) });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| open(errno.into()))?;
        let live = std::fs::canonicalize(path).is_ok_and(|path| path == Path::new("/"));
        Ok(Self { root: Root::Directory { fd, live } })
    }

    /// Whether this is the running system, of which other readers than this one can be asked too.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.root, Root::Directory { live: true, .. })
    }

    /// Where `path` really is: without links, relative to the root. `None` where there is no such thing.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut todo: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut done, mut links): (Vec<String>, usize) = (Vec::new(), 0);
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => {}
                // Above the root is the root.
                ".." => drop(done.pop()),
                _ => {
                    done.push(part);
                    let Some(target) = self.link(&done.join("/"))? else { continue };
                    links += 1;
                    if links > LINKS_MAX {
                        return None;
                    }
                    if target.starts_with('/') {
                        done.clear()
                    } else {
                        drop(done.pop())
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
        Some(done.join("/"))
    }

    /// The names in the directory `place`, numbers in the order of numbers. Empty where it cannot be listed.
    #[must_use]
    pub fn names(&self, place: &str) -> Vec<String> {
        let mut names = match &self.root {
            Root::Archive(archive) => archive.names(place),
            Root::Directory { fd, .. } => list(fd, place).unwrap_or_default(),
        };
        names.sort_by_key(|name| natural(name));
        names
    }

    /// Reads the file at `place`, at most `max` bytes, into `buffer`. An attribute is one read of the kernel's;
    /// what is longer than that is read on.
    ///
    /// # Errors
    /// [`Unread`]; `buffer` is empty then.
    pub fn read(&self, place: &str, max: usize, buffer: &mut Vec<u8>) -> Result<(), Unread> {
        buffer.clear();
        match &self.root {
            Root::Archive(archive) => {
                let bytes = archive.file(place)?;
                buffer.extend_from_slice(&bytes[..bytes.len().min(max)]);
                Ok(())
            }
            Root::Directory { fd, .. } => read_below(fd, place, max, buffer).inspect_err(|_| {
                buffer.clear();
            }),
        }
    }

    /// Target of the link at `place`, whose directory has no links in its name; `Some(None)` where it is no
    /// link, `None` where it is not there.
    fn link(&self, place: &str) -> Option<Option<String>> {
        match &self.root {
            Root::Archive(archive) => archive.has(place).then_some(None),
            Root::Directory { fd, .. } => match rustix::fs::readlinkat(fd, place, Vec::new()) {
                Ok(target) => Some(Some(target.into_string().ok()?)),
                Err(Errno::INVAL) => Some(None),
                Err(_) => None,
            },
        }
    }
}

fn list(root: &OwnedFd, place: &str) -> Result<Vec<String>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = if place.is_empty() { "." } else { place };
    let directory = rustix::fs::openat(root, place, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory)?.take(NAMES_MAX) {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn read_below(root: &OwnedFd, place: &str, max: usize, buffer: &mut Vec<u8>) -> Result<(), Unread> {
    // NONBLOCK: somebody's FIFO in a copied tree must not hold us.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        rustix::fs::openat(root, place, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => Unread::Absent,
            errno => Unread::Refused(errno),
        })?;
    let mut file = File::from(file);
    loop {
        let at = buffer.len();
        let step = (max - at).min(ATTRIBUTE_BYTES);
        if step == 0 {
            return Ok(());
        }
        buffer.resize(at + step, 0);
        let count = file
            .read(&mut buffer[at..])
            .map_err(|error| Unread::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        buffer.truncate(at + count);
        // One read is a whole attribute.
        if count == 0 || max <= ATTRIBUTE_BYTES {
            return Ok(());
        }
    }
}

/// `name` cut into words and numbers, so that `hwmon10` comes after `hwmon9`.
fn natural(name: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(word);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(digits);
        if !text.is_empty() {
            parts.push((u64::MAX, text.to_owned()));
        }
        if !number.is_empty() {
            parts.push((number.parse().unwrap_or(u64::MAX - 1), String::new()));
        }
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(tree: &Tree, path: &str) -> Option<String> {
        let mut buffer = Vec::new();
        tree.read(&tree.resolve(path)?, ATTRIBUTE_BYTES, &mut buffer).ok()?;
        String::from_utf8(buffer).ok()
    }

    #[test]
    fn a_link_is_followed_below_the_root_and_never_out_of_it() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        std::fs::create_dir_all(root.join("sys/devices/gpu")).unwrap();
        let put = |path: &str, text: &str| {
            crate::disk::replace(&outside.path().join(path), text.as_bytes()).unwrap();
        };
        put("secret", "outside");
        put("root/secret", "inside");
        put("root/sys/devices/gpu/load", "7");
        for (link, target) in [
            ("root/gpu", "sys/devices/gpu"),
            ("root/absolute", "/sys/devices/gpu"),
            ("root/sys/up", "../../../../secret"),
            ("root/out", outside.path().join("secret").to_str().unwrap()),
            ("root/ring", "ring"),
        ] {
            symlink(target, outside.path().join(link)).unwrap();
        }
        let tree = Tree::open(&root).unwrap();
        for (path, found) in [
            ("/gpu/load", Some("7")),
            ("absolute/load", Some("7")),
            ("/sys/up", Some("inside")),
            ("/../../secret", Some("inside")),
            ("/out", None),
            ("/ring", None),
            ("/nothing", None),
        ] {
            assert_eq!(text(&tree, path).as_deref(), found, "{path}");
        }
        // A link that was put in the way after the place was resolved is not followed either.
        assert_eq!(tree.read("out", 10, &mut Vec::new()), Err(Unread::Refused(Errno::LOOP)));
        assert_eq!(tree.read("nothing", 10, &mut Vec::new()), Err(Unread::Absent));
    }

    #[test]
    fn names_are_in_the_order_of_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["hwmon10", "hwmon9", "hwmon0", "b", "a2b", "a10b"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let tree = Tree::open(dir.path()).unwrap();
        assert_eq!(tree.names(""), ["a2b", "a10b", "b", "hwmon0", "hwmon9", "hwmon10"]);
        assert_eq!(tree.names("nowhere"), [""; 0]);
    }
}
