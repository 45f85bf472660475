//! Can the state directory be used, and by one daemon only?

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Account, Finding, Patient, UNTIL_CONFIGURED};
use crate::disk;

const CHECK: &str = "state directory";
/// Largest list of locks that is read.
const LOCKS_BYTES_MAX: u64 = 1 << 20;
/// What is written to see whether it can be: a block, so that a full disk shows.
const TRIED: [u8; 4096] = [0; 4096];

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return vec![Finding::skipped(CHECK, UNTIL_CONFIGURED)];
    };
    let dir = config.state_dir.as_path();
    let facts = Facts {
        owner: std::fs::metadata(dir).map(|meta| (meta.uid(), meta.gid(), meta.mode())),
        written: try_to_write(dir),
        holder: holder(&dir.join("lock")),
    };
    vec![judge(dir, &patient.account, &facts)]
}

/// What is known of the directory.
#[derive(Debug)]
struct Facts {
    /// Owner, group and mode.
    owner: io::Result<(u32, u32, u32)>,
    /// What became of a file that was written into it, and removed.
    written: io::Result<()>,
    /// Who holds it, and by which command.
    holder: Option<(u32, String)>,
}

fn judge(dir: &Path, account: &Account, facts: &Facts) -> Finding {
    let path = dir.display();
    let wrong = |said: String, todo: &[String]| Finding::wrong(CHECK, said, todo.to_vec());
    let (owner, group, mode) = match &facts.owner {
        Ok(owner) => *owner,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let todo = [format!("sudo install -d -m 750 -o {0} -g {0} {path}", account.name)];
            return wrong(format!("`{path}` is not there"), &todo);
        }
        Err(error) => return wrong(format!("`{path}`: {error}"), &[format!("ls -ld {path}")]),
    };
    if let Err(error) = &facts.written {
        let todo = match error.kind() {
            ErrorKind::ReadOnlyFilesystem => vec![
                format!("findmnt --target {path}"),
                "sudo dmesg | tail -50     # a failing card is mounted read-only".to_owned(),
                format!("sudo mount -o remount,rw \"$(findmnt -no TARGET --target {path})\""),
            ],
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => vec![
                format!("sudo du -xh --max-depth=2 {path} | sort -h | tail"),
                "sudo journalctl --vacuum-size=100M".to_owned(),
            ],
            ErrorKind::PermissionDenied => vec!["sudo vedette doctor".to_owned()],
            _ => vec![format!("ls -ld {path}")],
        };
        return wrong(format!("nothing can be written into `{path}`: {error}"), &todo);
    }
    if !account.may_use(owner, group, mode) {
        let said = format!("`{path}` is not the service's: its user is {}", account.name);
        return wrong(said, &[format!("sudo chown -R {0}:{0} {path}", account.name)]);
    }
    match &facts.holder {
        Some((pid, command)) => {
            Finding::well(CHECK, format!("`{path}`, in use by process {pid} ({command})"))
        }
        None => Finding::well(CHECK, format!("`{path}`, in use by nobody")),
    }
}

/// Writes a file of one block into `dir` and removes it.
fn try_to_write(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(&TRIED).and_then(|()| file.sync_all());
    std::fs::remove_file(&path)?;
    written
}

/// Who holds the lock at `path`.
pub(super) fn holder(path: &Path) -> Option<(u32, String)> {
    let inode = File::open(path).and_then(|file| file.metadata()).ok()?.ino();
    let locks = disk::read_bounded(Path::new("/proc/locks"), LOCKS_BYTES_MAX).ok()?;
    let pid = locked_by(&String::from_utf8_lossy(&locks), inode)?;
    let line = disk::read_bounded(Path::new(&format!("/proc/{pid}/cmdline")), 1 << 16).ok()?;
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    Some((pid, words.join(" ").trim().to_owned()))
}

/// The process that holds the file of this inode, as `/proc/locks` has it.
fn locked_by(locks: &str, inode: u64) -> Option<u32> {
    // 1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let pid = words.nth(4)?;
        let file = words.next()?;
        let matches = file.rsplit(':').next()?.parse() == Ok(inode);
        if line.contains("FLOCK") && matches { pid.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn facts(written: io::Result<()>) -> Facts {
        Facts { owner: Ok((0, 0, 0o750)), written, holder: None }
    }

    #[test]
    fn each_way_to_lose_the_directory_has_its_command() {
        let account = Account { name: "vedette".to_owned(), ..Account::default() };
        let other = Account { uid: 998, ..account.clone() };
        let missing = Facts {
            owner: Err(ErrorKind::NotFound.into()),
            ..facts(Err(ErrorKind::NotFound.into()))
        };
        for (facts, account, todo) in [
            (missing, &account, "install -d"),
            (facts(Err(ErrorKind::ReadOnlyFilesystem.into())), &account, "remount,rw"),
            (facts(Err(ErrorKind::StorageFull.into())), &account, "vacuum"),
            (facts(Ok(())), &other, "chown"),
        ] {
            let finding = judge(Path::new("/var/lib/vedette"), account, &facts);
            assert_eq!(finding.verdict, Verdict::Wrong, "{finding:?}");
            assert!(finding.todo.iter().any(|line| line.contains(todo)), "{todo}: {finding:?}");
        }
        let good = judge(Path::new("/x"), &account, &facts(Ok(())));
        assert_eq!(good.verdict, Verdict::Well, "{good:?}");
    }

    #[test]
    fn the_holder_of_a_lock_is_found_by_the_files_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 77 fe:00:5678 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 99 fe:00:5678 0 EOF\n";
        assert_eq!(locked_by(locks, 5678), Some(1234));
        assert_eq!(locked_by(locks, 5679), None);
    }
}
