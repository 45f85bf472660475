//! What of this machine a built engine depends on, as far as files tell.

use std::fs;
use std::path::Path;

use super::cache::Facts;

/// Longest `/proc/self/maps` that is read: a process with every library loaded has some 200 KiB.
const MAPS_BYTES_MAX: usize = 8 << 20;

/// Fills in what the files below `root` (`/`, but for tests) say of GPU and board, and which versions of
/// NVIDIA's libraries `maps` (this process's `/proc/self/maps`) shows as loaded.
pub(super) fn look(root: &Path, maps: &str, facts: &mut Facts) {
    let maps = maps.get(..MAPS_BYTES_MAX).unwrap_or(maps);
    facts.tensorrt = loaded(maps, "libnvinfer.so.");
    facts.cuda = loaded(maps, "libcudart.so.");
    facts.gpu = gpu(root);
    facts.l4t = first_line(&root.join("etc/nv_tegra_release"));
}

/// The version after `name` in the file name of a loaded library.
fn loaded(maps: &str, name: &str) -> String {
    let versions = maps.lines().filter_map(|line| {
        let (_, version) = line.rsplit_once('/')?.1.split_once(name)?;
        let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
        Some(version.get(..end.unwrap_or(version.len())).unwrap_or_default().to_owned())
    });
    versions.max().unwrap_or_default()
}

/// The board's name, or those of the driver's GPUs.
fn gpu(root: &Path) -> String {
    let board = first_line(&root.join("proc/device-tree/model"));
    let mut found = vec![board.trim_end_matches('\0').to_owned()];
    for entry in fs::read_dir(root.join("proc/driver/nvidia/gpus")).into_iter().flatten().flatten()
    {
        let text = fs::read_to_string(entry.path().join("information")).unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
        found.extend(model.map(|model| model.trim().to_owned()));
    }
    found.retain(|name| !name.is_empty());
    found.sort();
    found.join(" + ")
}

fn first_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_gpu_and_board_are_read_from_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::io::Write::write_all(&mut fs::File::create(path).unwrap(), text.as_bytes())
                .unwrap();
        };
        write("proc/device-tree/model", "NVIDIA Jetson Orin Nano\0");
        write("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t RTX 4000\nIRQ: 1\n");
        write("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 1\nx\n");
        let maps = "7f-80 r--p 0 08:01 9 /usr/lib/libnvinfer.so.10.3.0\n\
                    7f-80 r--p 0 08:01 9 /usr/lib/libcudart.so.12.6.68 (deleted)\n\
                    7f-80 rw-p 0 00:00 0\n";
        let mut facts = Facts::default();
        look(root.path(), maps, &mut facts);
        assert_eq!(facts.tensorrt, "10.3.0");
        assert_eq!(facts.cuda, "12.6.68");
        assert_eq!(facts.gpu, "NVIDIA Jetson Orin Nano + RTX 4000");
        assert_eq!(facts.l4t, "# R36 (release), REVISION: 4.3, GCID: 1");
    }
}
