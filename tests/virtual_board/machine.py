"""The virtual board itself: an emulated arm64 machine that is started, asked, and cut off its power."""

import base64
import contextlib
import os
import resource
import socket
import subprocess
import time

from disk import Disk

# An emulator has nothing to hide from its programs: without the kernel's defences a boot takes two thirds of the time.
KERNEL = "root=/dev/vda rw console=ttyAMA0 quiet net.ifnames=0 audit=0 nokaslr kpti=off mitigations=off"
SHARE = "mount -t 9p -o trans=virtio,version=9p2000.L,ro host /mnt/host"
# What is written goes to the drive soon and long before a flush: then a power cut finds more to lose and to tear.
EAGER = "cd /proc/sys/vm && echo 20 >dirty_writeback_centisecs && echo 20 >dirty_expire_centisecs"
# From power to a shell: 30 s on two idle cores, emulated without help of the processor.
BOOT_S = 600
# On top of what a script may take on the board.
ANSWER_S = 120


class Failed(Exception):
    """A check, or what it needs, did not go as it should; in words."""


class Board:
    """One board with its disk. `share` is seen by it at /mnt/host."""

    def __init__(self, image, work, share):
        self.image, self.work, self.share = image, work, share
        self.disk = Disk(image / "disk.raw", work)
        self.process = self.port = None
        self.number, self.rest = 0, b""

    def console(self):
        """Everything that the board said on its serial console."""
        path = self.work / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self):
        """Gives it power and waits for its shell; returns how many seconds it took."""
        began = time.monotonic()
        shell = self.work / "shell"
        for path in [shell, self.work / "console"]:
            path.unlink(missing_ok=True)
        command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a76", "-smp", "2", "-m", "2048",
                   "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                   "-accel", "tcg,thread=multi,tb-size=512",
                   "-kernel", self.image / "vmlinuz", "-initrd", self.image / "initrd",
                   "-append", KERNEL,
                   "-chardev", f"socket,id=console,path={self.work}/console,server=on,wait=off,"
                               f"logfile={self.work}/console.log,logappend=on",
                   "-serial", "chardev:console",
                   "-device", "virtio-serial-pci",
                   "-chardev", f"socket,id=shell,path={shell},server=on,wait=off",
                   "-device", "virtserialport,chardev=shell,name=shell",
                   "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
                   "-device", "virtio-rng-pci",
                   "-virtfs", f"local,path={self.share},mount_tag=host,security_model=none,readonly=on",
                   *self.disk.arguments()]
        with (self.work / "qemu.log").open("a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + BOOT_S
        self.port, self.rest = socket.socket(socket.AF_UNIX), b""
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                self.port.connect(str(shell))
                break
            self.alive()
            if time.monotonic() > end:
                raise Failed("the emulator opens no socket")
            time.sleep(0.05)
        self.ask(f"{SHARE} && {EAGER}", BOOT_S)
        return time.monotonic() - began

    def alive(self):
        """Fails if the emulator has ended."""
        if self.process is None or self.process.poll() is not None:
            said = (self.work / "qemu.log").read_text(errors="replace")[-2000:]
            raise Failed(f"the emulator has ended: {said or self.console()[-2000:]}")

    def say(self, script, seconds):
        """What the board answers to a script for bash: its exit code and all that it said."""
        self.number += 1
        line = f"{self.number} {seconds} {base64.b64encode(script.encode()).decode()}\n"
        self.port.sendall(line.encode())
        end = time.monotonic() + seconds + ANSWER_S
        while True:
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                words = line.decode(errors="replace").split()
                if len(words) >= 2 and words[0] == str(self.number):
                    said = base64.b64decode(words[2]) if len(words) > 2 else b""
                    return int(words[1]), said.decode(errors="replace").strip()
            self.alive()
            if time.monotonic() > end:
                raise Failed(f"the board does not answer to `{script}`")
            self.port.settimeout(1)
            with contextlib.suppress(TimeoutError):
                self.rest += self.port.recv(65536)

    def ask(self, script, seconds=120):
        """What a script says that must succeed."""
        status, said = self.say(script, seconds)
        if status != 0:
            raise Failed(f"`{script}` on the board ended with {status}: {said}")
        return said

    def cpu_s(self):
        """Processor time of all emulators that ran so far."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        running = 0.0
        if self.process and self.process.poll() is None:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
                running = sum(int(ticks) for ticks in stat.read().split()[13:15]) / os.sysconf("SC_CLK_TCK")
        return ended.ru_utime + ended.ru_stime + running

    def cut(self, dice):
        """Cuts the power, now. Returns what it left on the disk."""
        self.process.kill()
        self.process.wait()
        self.port.close()
        return self.disk.settle(dice)

    def end(self):
        """The emulator ends, if there is one; nothing is kept."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
