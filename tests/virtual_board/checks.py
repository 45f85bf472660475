"""What is checked on the virtual board, each as one row of the table."""

import json
import re
import time

from machine import Failed
from outside import HERE, ROOT

# An emulated board is some fifty times slower than one: what waits, waits long. Each wait ends as soon as it can.
PATIENCE_S = 600
# What a check wants to hear of the camera before it believes that frames flow.
FRAMES = 3

CAMERA = 'source = { kind = "v4l2", device = "/dev/video0", width = 320, height = 180, rate_hz = 2 }'
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install --yes /mnt/host/"
# One thread of two: the camera's frames keep it busy, and what is rehearsed, at a lower rank, has the other.
CONFIGURATION = """device = "{device}"
[mqtt]
url = "mqtt://{here}:{broker}"
[update]
url = "{fleet}"
root = "/etc/vedette/root.json"
[models.shapes]
providers = ["cpu"]
threads = 1
release = "shapes"
"""


class Checks:
    """A board, what is outside of it, and what is to be seen there."""

    def __init__(self, board, broker, fleet, packages, device):
        self.board, self.broker, self.fleet, self.packages, self.device = board, broker, fleet, packages, device
        # How many seconds each phase of an update took: what power cuts are spread over.
        self.phase_s = {}
        self.committed = None

    # --- What is heard ---

    def wait(self, what, found, seconds=PATIENCE_S):
        return self.broker.wait(what, seconds, found, self.board.alive)

    def mark(self):
        """From here on is new what is heard."""
        return time.monotonic()

    def observations(self, heard, since):
        return [one.body for one in heard if one.topic == f"{ROOT}/observation/demo" and one.at >= since]

    def frames(self, since, version, count=FRAMES, not_by=None):
        """Waits for so many new observations by model `version`; `not_by`: and by another run of the daemon."""
        def found(heard):
            own = [one for one in self.observations(heard, since)
                   if one["model"]["version"] == version and one["boot_id"] != not_by]
            return own if len(own) >= count else None
        return self.wait(f"{count} observations of model {version}", found)

    def boot_id(self):
        """Which run of the daemon spoke last."""
        return self.wait("an observation", lambda heard: self.observations(heard, 0))[-1]["boot_id"]

    def state(self, heard, since):
        own = [one for one in heard if one.topic == f"{ROOT}/model/shapes/state" and one.at >= since]
        return own[-1].body if own else None

    def reaches(self, phase, version, since):
        """Waits until the slot is in `phase` with `version` under way."""
        def found(heard):
            return any(one.body["to"] == phase and (one.body["offered"] or {}).get("version") == version
                       for one in heard if one.topic == f"{ROOT}/event/model/shapes" and one.at >= since)
        self.wait(f"{version} in {phase}", found)

    def phases(self, since):
        """How many seconds each phase took of those that are over."""
        own = [one for one in self.broker.heard if one.topic == f"{ROOT}/event/model/shapes" and one.at >= since]
        return {one.body["to"]: after.at - one.at for one, after in zip(own, own[1:])}

    def rests(self, since, installed, refused=None):
        """Waits until the slot rests with `installed`; `refused`: and that one refused. Returns why."""
        def found(heard):
            state = self.state(heard, since)
            if not state or state["phase"] != "idle" or (state["installed"] or {}).get("version") != installed:
                return None
            refusal = state["refused"] or {}
            return (refusal.get("reason") or "committed") if refusal.get("version") == refused else None
        return self.wait(f"{installed} at rest, {refused} refused", found)

    def look(self):
        """Has the board look for releases now. A board that was not connected has not heard it."""
        self.broker.say(f"{ROOT}/model/shapes/install", "now")

    def active(self):
        """Waits until systemd says that the service is active, which it is once it said READY=1."""
        self.board.ask(f"for i in $(seq {PATIENCE_S}); do systemctl is-active -q vedette && exit; sleep 1; done; "
                       "systemctl status vedette; exit 1", PATIENCE_S + 60)

    def show(self, *names):
        """Properties of the service, as they were asked for."""
        said = self.board.ask("systemctl show vedette " + " ".join(f"-p {name}" for name in names))
        found = dict(line.split("=", 1) for line in said.split("\n"))
        return [found[name] for name in names]

    # --- The checks ---

    def boots(self):
        took = self.board.start()
        kernel = self.board.ask("uname -r; systemctl --version | head -n 1; ls /dev/video0")
        return f"a shell after {took:.0f} s: " + ", ".join(kernel.split("\n"))

    def without_onnxruntime(self):
        said = self.board.ask(INSTALL + self.packages[0], 600)
        if "sudo vedette doctor" not in said:
            raise Failed(f"the package does not say what to do: {said[-500:]}")
        state, status, restarts = self.show("SubState", "ExecMainStatus", "NRestarts")
        if (state, status, restarts) != ("failed", "78", "0"):
            raise Failed(f"the service is {state} with {status} after {restarts} restarts, not failed with 78 after 0")
        status, said = self.board.say("vedette doctor", 300)
        if status == 0 or "setup-onnxruntime" not in said:
            raise Failed(f"the doctor says: {said}")
        return "the service ends with 78, once; the doctor says `vedette setup-onnxruntime`"

    def active_when_configured(self):
        configuration = CONFIGURATION.format(device=self.device, here=HERE, broker=self.broker.port,
                                             fleet=self.fleet.url)
        self.board.ask("cp -d /mnt/host/onnxruntime/libonnxruntime.so* /usr/local/lib/ && "
                       "cp /mnt/host/root.json /etc/vedette/ && "
                       f"sed -i 's|^source = .*pattern.*|{CAMERA}|; s|^sinks = .*|sinks = [\"mqtt\", \"log\"]|' "
                       "/etc/vedette/vedette.toml && "
                       f"cat >/etc/vedette/conf.d/board.toml <<'TOML'\n{configuration}TOML\n"
                       "vedette check && systemctl restart vedette", 300)
        self.active()
        text, result = self.show("StatusText", "Result")
        if not text or result != "success":
            raise Failed(f"the service says `{text}`, {result}")
        return f"`systemctl status`: {text}"

    def doctor(self):
        """All is well but the clock: there is no time server here, and the doctor has to say so."""
        status, said = self.board.say("vedette doctor", 600)
        wrong = [line for line in said.split("\n") if line.startswith("✗")]
        if status != 1 or len(wrong) != 1 or "clock" not in wrong[0]:
            raise Failed(f"exit code {status}: {said}")
        return f"{said.count('✓')} ticks; the clock, which follows no other here, is named"

    def observes(self):
        # The package's own model, which the releases are made from.
        card = (self.fleet.folder / "model.toml").read_text()
        seen = self.frames(self.mark(), re.search(r'(?m)^version = "(.*)"', card)[1], 5)
        frame, timings = seen[-1]["frame"], seen[-1]["timings"]
        if (frame["width_px"], frame["height_px"]) != (320, 180):
            raise Failed(f"the frames are {frame}")
        info = [one.body for one in self.broker.heard if one.topic == f"{ROOT}/info"][-1]
        nodes = info["engines"][0]["nodes"]
        # By a profile of the first run, which needs a place to be written to.
        if not nodes.get("cpu"):
            raise Failed(f"nobody knows what runs the model: {json.dumps(info)}")
        return (f"{len(seen)} observations of 320 × 180, a run takes {timings['inference_ms'] / 1000:.1f} s; "
                f"{nodes['cpu']} nodes on the processor, ONNX Runtime {info['onnxruntime_version']}")

    def telemetry(self):
        since = self.mark()
        own = self.wait("telemetry", lambda heard: [one.body for one in heard if one.at >= since
                                                    and one.topic == f"{ROOT}/telemetry/board"])
        memory = own[-1].get("memory") or {}
        if not memory.get("total_bytes"):
            raise Failed(f"no memory in {json.dumps(own[-1])[:500]}")
        return f"memory {memory['total_bytes'] >> 20} MiB"

    def commits(self, version="1.1.0"):
        self.fleet.release(version)
        since = self.mark()
        self.look()
        self.rests(since, version)
        took, self.committed = time.monotonic() - since, version
        self.frames(self.mark(), version)
        self.phase_s = self.phases(since)
        phases = ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in self.phase_s.items())
        return f"{version} in {took:.0f} s ({phases}), and its observations"

    def refuses_wrong(self):
        return self.refuses("1.2.0", "golden", wrong=True)

    def refuses_slow(self):
        # While it is tried the installed model goes on and has the frames first: in so short a trial it is behind.
        return self.refuses("1.3.0", "frames within 2 s", soak_s=1, trial_s=2, min_inferences=6)

    def refuses(self, version, why, **release):
        self.fleet.release(version, **release)
        since = self.mark()
        self.look()
        reason = self.rests(since, self.committed, version)
        if why not in reason:
            raise Failed(f"{version} was refused for: {reason}")
        self.frames(self.mark(), self.committed)
        if any(one["model"]["version"] == version for one in self.observations(self.broker.heard, since)):
            raise Failed(f"{version} was heard")
        return f"refused: {reason[:100]}; {self.committed} observes, {version} was never heard"

    def returns(self, version="1.4.0"):
        self.fleet.release(version, probation_s=3600)
        since = self.mark()
        self.look()
        self.reaches("probation", version, since)
        for _ in range(3):
            before = self.frames(since, version)[-1]["boot_id"]
            since = self.mark()
            self.board.ask("systemctl kill --signal=KILL vedette")
            self.wait("the next run", lambda heard: [one for one in self.observations(heard, since)
                                                     if one["boot_id"] != before])
            self.active()
        reason = self.rests(since, self.committed, version)
        self.frames(since, self.committed)
        return f"{reason[:100]}; {self.committed} observes"

    def comes_back(self, script, seconds=PATIENCE_S):
        """After `script` another run of the daemon observes by the committed model. Returns how long it took."""
        before, since = self.boot_id(), self.mark()
        self.board.ask(script, seconds)
        self.frames(since, self.committed, not_by=before)
        took = time.monotonic() - since
        self.active()
        if any(one["model"]["version"] != self.committed for one in self.observations(self.broker.heard, since)):
            raise Failed("another model was heard")
        return took

    def restarts(self):
        took = self.comes_back("systemctl restart vedette")
        return f"{self.committed} observes after {took:.0f} s"

    def killed(self):
        took = self.comes_back("systemctl kill --signal=KILL --kill-whom=main vedette")
        return f"{self.committed} observes after {took:.0f} s, {self.show('NRestarts')[0]} restart by systemd"

    def starved(self):
        """Nothing of the daemon runs any more: systemd has to notice, kill it and start it again."""
        took = self.comes_back("date +%s >/tmp/since; systemctl kill --signal=STOP --kill-whom=main vedette")
        said = self.board.ask("journalctl -u vedette -o cat --since @$(cat /tmp/since) | grep -m 1 'Watchdog timeout'")
        return f"{self.committed} observes after {took:.0f} s; systemd: {said}"

    def upgrades(self):
        took = self.comes_back(INSTALL + self.packages[1], 900)
        version = self.board.ask("dpkg-query --show --showformat='${Version} ${db:Status-Abbrev}' vedette")
        if self.packages[1].split("_")[1] not in version:
            raise Failed(f"installed is {version}")
        return f"{version.split()[0]}; {self.committed} observes after {took:.0f} s"

    def cut(self, version, phase, dice):
        """A power cut somewhere in `phase` of an update: on a good model at once, and the update ends in the end."""
        old, before = self.committed, self.boot_id()
        self.fleet.release(version)
        since = self.mark()
        self.look()
        self.reaches(phase, version, since)
        # The moment is what is tried here; nothing is waited for.
        time.sleep(dice.random() * self.phase_s.get(phase, 0))
        state = self.state(self.broker.heard, since) or {"phase": "not begun"}
        if state["phase"] == "idle":
            raise Failed(f"{version} was installed before the cut, drawn for {phase}: nothing was tried")
        left = self.board.cut(dice)
        since = self.mark()
        booted = self.board.start()
        self.active()
        # What the run before had stored may be heard now, too.
        first = self.wait("observations", lambda heard: [one for one in self.observations(heard, since)
                                                         if one["boot_id"] != before])[0]["model"]["version"]
        back = self.mark() - since
        self.look()
        self.rests(since, version)
        self.frames(self.mark(), version)
        models = {one["model"]["version"] for one in self.observations(self.broker.heard, since)}
        if not models <= {old, version}:
            raise Failed(f"models {models} were heard, {old} and {version} are good")
        # Of the kernel itself: the journal is a file that the cut may have damaged.
        broken = self.board.ask("dmesg | grep -E 'EXT4-fs (error|warning)' || true", 120).strip()
        if broken:
            raise Failed(f"the file system: {broken[:300]}")
        self.committed = version
        return (f"in {state['phase']}; {left}; a shell after {booted:.0f} s, {first} observed after {back:.0f} s; "
                f"{version} committed in the end")
