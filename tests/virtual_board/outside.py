"""What is outside of the board: a broker, who listens on it, and an operator who serves releases."""

import json
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass

from machine import Failed

# This machine, as the board sees it.
HERE = "10.0.2.2"
DEVICE = "virtual-board"
ROOT = f"vedette/v1/{DEVICE}"
# Terms that an emulated board can keep: a frame takes it a second, now and then several.
TERMS = {"soak-s": 5, "min-inferences": 3, "slower-permille": 20000, "probation-s": 10}


@dataclass
class Message:
    """What was heard, and when by the clock that never jumps."""

    at: float
    topic: str
    body: object


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broker:
    """A real mosquitto, and a listener that keeps all that is said on it."""

    def __init__(self, work):
        self.port, self.heard, self.news = free_port(), [], threading.Condition()
        (work / "mosquitto.conf").write_text(
            # As root it would become another user.
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stderr\n")
        with (work / "mosquitto.log").open("w") as log:
            self.server = subprocess.Popen(["mosquitto", "-c", work / "mosquitto.conf"], stderr=log, stdout=log)
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-t", "vedette/#", "-F", "%t %p"]
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.1)
        else:
            self.server.kill()
            raise Failed(f"mosquitto does not listen: {(work / 'mosquitto.log').read_text()[-300:]}")
        self.client = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.client.stdout:
            topic, _, body = line.decode(errors="replace").rstrip("\n").partition(" ")
            try:
                body = json.loads(body)
            except ValueError:
                pass
            with self.news:
                self.heard.append(Message(time.monotonic(), topic, body))
                self.news.notify_all()

    def wait(self, what, seconds, found, alive=lambda: None):
        """What `found` makes of all that was heard, once it is something."""
        end = time.monotonic() + seconds
        with self.news:
            while True:
                answer = found(self.heard)
                if answer:
                    return answer
                if time.monotonic() > end:
                    raise Failed(f"waited {seconds} s in vain for {what}; heard last: {self.last()}")
                alive()
                if not self.listener.is_alive():
                    raise Failed("nobody listens on the broker any more")
                self.news.wait(1)

    def last(self):
        return "; ".join(f"{one.topic} {json.dumps(one.body)[:300]}" for one in self.heard[-3:])

    def say(self, topic, body):
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-m", body], check=True)

    def end(self):
        for process in [self.client, self.server]:
            process.kill()
            process.wait()


class Fleet:
    """An operator with a repository that is served, and releases of the model in `folder`."""

    def __init__(self, program, folder, work):
        self.program, self.folder, self.work = program, folder, work
        self.run("init", "repo", "--keys", "keys", "--unencrypted")
        command = [program, "serve", "repo", "--listen", "127.0.0.1:0"]
        self.server = subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, text=True)
        line = self.server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            self.server.kill()
            raise Failed(f"the fleet server says `{line}`")
        self.url = f"http://{HERE}:{found[1]}"

    def run(self, *words):
        done = subprocess.run([self.program, *words], cwd=self.work, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"vedette-fleet {' '.join(words)}: {done.stderr}")

    def release(self, version, wrong=False, **terms):
        """Publishes `version` on these terms and rolls it out. `wrong`: a golden sample of it wants something else."""
        place = self.work / f"shapes-{version}"
        shutil.copytree(self.folder, place)
        card = place / "model.toml"
        card.write_text(re.sub(r"(?m)^version = .*", f'version = "{version}"', card.read_text()))
        # Other bytes than the release before, so that there is something to fetch: `doc_string` of the graph's file.
        with (place / "model.onnx").open("ab") as graph:
            words = f"release {version} ".encode() * 8
            graph.write(b"\x32" + varint(len(words)) + words)
        samples = sorted(place.glob("golden/*"))
        # One is enough: each takes an emulated board seconds.
        for sample in samples[1:]:
            shutil.rmtree(sample)
        if wrong:
            array = samples[0] / "output0.npy"
            array.write_bytes(array.read_bytes()[:-4000] + struct.pack("<f", 0.5) * 1000)
        # This machine may have no ONNX Runtime; the board runs the samples.
        terms = TERMS | {name.replace("_", "-"): value for name, value in terms.items()}
        words = [word for name, value in terms.items() for word in (f"--{name}", str(value))]
        self.run("publish", "repo", place.name, "--keys", "keys", "--without-running", *words)
        self.run("rollout", "repo", "shapes", version, "--keys", "keys")

    def end(self):
        self.server.kill()
        self.server.wait()


def varint(number):
    """A number as Protocol Buffers have it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))
