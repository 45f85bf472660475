//! Is there room for a release, an outbox and a log?

use std::path::Path;

use super::{Finding, Patient, UNTIL_CONFIGURED};

const CHECK: &str = "disk space";
/// Least room: an outbox of its default size, and a release of a usual model beside the one that runs.
const FREE_MIB_MIN: u64 = 256;
/// Least files: a release has some twenty, and so has an engine's cache.
const FILES_MIN: u64 = 1000;

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return vec![Finding::skipped(CHECK, UNTIL_CONFIGURED)];
    };
    // Where it is not there yet, the file system that it would be made in.
    let dir = config.state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(dir) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            // Some file systems have no fixed number of files, and say 0.
            let files = if disk.f_files == 0 { u64::MAX } else { disk.f_favail };
            vec![judge(dir, free, files)]
        }
        Err(error) => {
            let said = format!("`{}` cannot be asked: {error}", dir.display());
            vec![Finding::wrong(CHECK, said, [format!("df -h {}", dir.display())])]
        }
    }
}

fn judge(dir: &Path, free_mib: u64, files: u64) -> Finding {
    let path = dir.display();
    if free_mib >= FREE_MIB_MIN && files >= FILES_MIN {
        return Finding::well(CHECK, format!("{free_mib} MiB free for `{path}`"));
    }
    let said = if free_mib < FREE_MIB_MIN {
        format!("{free_mib} MiB free for `{path}`, {FREE_MIB_MIN} are needed for a release")
    } else {
        format!("{files} files more can be made in `{path}`, {FILES_MIN} may be needed")
    };
    let largest = format!("sudo du -xh --max-depth=2 {path} | sort -h | tail");
    Finding::wrong(CHECK, said, [largest, "sudo journalctl --vacuum-size=100M".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn too_little_room_and_too_few_files_are_both_wrong() {
        for (free, files, verdict) in [
            (256, 1000, Verdict::Well),
            (255, 1000, Verdict::Wrong),
            (256, 999, Verdict::Wrong),
            (1 << 20, u64::MAX, Verdict::Well),
        ] {
            assert_eq!(judge(Path::new("/"), free, files).verdict, verdict, "{free} {files}");
        }
    }
}
