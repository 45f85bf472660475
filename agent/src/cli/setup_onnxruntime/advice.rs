//! What to install on which JetPack.
//!
//! From what NVIDIA publishes; none of it was tried on a board (README.md, "Where it has been run"). Names of wheels
//! say for which Python they are; the daemon needs the library in them, not Python.

use super::found::Found;
use super::wheel;

/// A JetPack, by the beginning of the version of its Jetson Linux.
struct JetPack {
    l4t: &'static [&'static str],
    name: &'static str,
    /// Which wheel has TensorRT and CUDA for it.
    wheel: &'static str,
    /// The Python that its system has, and what its pip wants to hear before it installs beside the system's packages
    /// (PEP 668).
    python: &'static str,
    consent: &'static str,
}

const JETPACKS: &[JetPack] = &[
    JetPack {
        l4t: &["35."],
        name: "JetPack 5",
        wheel: "`onnxruntime_gpu-1.18.0-cp38-cp38-linux_aarch64.whl` of NVIDIA's Jetson Zoo",
        python: "python3.8",
        consent: "",
    },
    JetPack {
        l4t: &["36."],
        name: "JetPack 6",
        wheel: "the newest `onnxruntime-gpu` for cp310 of the Jetson AI Lab's index, under jp6/cu126",
        python: "python3.10",
        consent: "",
    },
    JetPack {
        l4t: &["38.", "39."],
        name: "JetPack 7",
        wheel: "the newest `onnxruntime-gpu` for cp312 of the Jetson AI Lab's index, under sbsa/cu130",
        python: "python3.12",
        consent: " --break-system-packages",
    },
];

/// What to say after what was found: `best` of it, on a Jetson or not, with this Jetson Linux.
pub(super) fn lines(best: Option<&Found>, is_jetson: bool, l4t: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(best) = best {
        let path = best.path.display();
        if best.is_in_a_home() {
            let folder = best.path.parent().unwrap_or(&best.path).display();
            lines.push(format!(
                "the service cannot see homes: sudo mkdir -p /opt/onnxruntime && \
                 sudo cp -rT --no-preserve=mode,ownership {folder} /opt/onnxruntime/lib && sudo vedette setup-onnxruntime"
            ));
        } else if best.is_usual {
            lines.push(format!("`{path}` is what the daemon opens"));
        } else {
            let line = format!("onnxruntime = \"{path}\"");
            lines.push(format!(
                "to use it: echo '{line}' | sudo tee /etc/vedette/conf.d/onnxruntime.toml"
            ));
        }
        if best.has_gpu() || !is_jetson {
            return lines;
        }
    }
    if is_jetson {
        lines.extend(for_jetson(l4t));
    }
    if best.is_none() {
        lines.push("for the processor alone: sudo vedette setup-onnxruntime --download".to_owned());
        if let Some(command) = wheel::elsewhere() {
            lines.push(format!(
                "the same without a network: where there is one, {command}; then here, sudo vedette setup-onnxruntime --wheel FILE"
            ));
        }
    }
    lines
}

fn for_jetson(l4t: Option<&str>) -> Vec<String> {
    let Some(l4t) = l4t else {
        return vec![
            "this is a Jetson without /etc/nv_tegra_release: install JetPack 5, 6 or 7".to_owned(),
        ];
    };
    let known = JETPACKS.iter().find(|one| one.l4t.iter().any(|begin| l4t.starts_with(begin)));
    let Some(JetPack { name, wheel, python, consent, .. }) = known else {
        return vec![format!(
            "Jetson Linux {l4t} is none of JetPack 5, 6 and 7: use the processor alone"
        )];
    };
    vec![
        format!("for the GPU of this board ({name}, Jetson Linux {l4t}):"),
        "  sudo apt install nvidia-jetpack python3-pip     # CUDA, cuDNN and TensorRT, and who installs the wheel".to_owned(),
        format!("  get {wheel}"),
        format!(
            "  sudo {python} -m pip install --no-deps{consent} FILE.whl && sudo vedette setup-onnxruntime"
        ),
        "  with TensorRT: nothing more, the default is providers = [\"tensorrt\", \"cuda\", \"cpu\"]".to_owned(),
        "  CUDA only: providers = [\"cuda\", \"cpu\"] in [models.NAME], and no TensorRT package is needed".to_owned(),
        "  not `onnxruntime-gpu` of PyPI: it has no code for a Jetson's GPU".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_jetpack_is_told_its_own_wheel_and_no_other() {
        for (l4t, wheel) in [
            ("35.4.1", "cp38"),
            ("36.4.3", "jp6/cu126"),
            ("38.2.0", "sbsa/cu130"),
            ("39.2.0", "sbsa/cu130"),
            ("32.7.4", "none of JetPack 5"),
        ] {
            let said = lines(None, true, Some(l4t)).join("\n");
            assert!(said.contains(wheel), "{l4t}: {said}");
            assert!(said.contains("--download"), "the processor is always a way: {said}");
        }
    }

    #[test]
    fn every_command_that_is_advised_is_one_that_works_there() {
        let said = |l4t| lines(None, true, Some(l4t)).join("\n");
        // Ubuntu 24.04 refuses without these words, and the pip of those before does not know them.
        for (l4t, consents) in [("35.4.1", false), ("36.4.3", false), ("38.2.0", true)] {
            assert_eq!(said(l4t).contains("--break-system-packages"), consents, "{l4t}");
        }
        let offline = said("36.4.3");
        for word in ["onnxruntime==", "--platform manylinux_2_28_", "--abi=cp311"] {
            assert!(offline.contains(word), "which wheel is it? {offline}");
        }
        // The folder above may not be there yet.
        let home = Found::at("/home/ann/.local/lib/python3.10/site-packages/onnxruntime/capi/l.so");
        let copied = lines(Some(&home), false, None).concat();
        assert!(copied.contains("mkdir -p /opt/onnxruntime && sudo cp -rT"), "{copied}");
    }

    #[test]
    fn a_pc_without_one_is_told_how_to_get_the_one_for_its_processor() {
        let said = lines(None, false, None).join("\n");
        assert!(said.contains("--download") && !said.contains("JetPack"), "{said}");
    }
}
