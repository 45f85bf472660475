"""The virtual board's disk: what a power cut leaves of it.

A disk is a file, `disk.raw`, as it was when the board was started. What the board writes goes into a layer above it and
into a log, in order, with each flush that the board waited for (QEMU's `blklogwrites`; the format is that of Linux'
dm-log-writes). When the power is cut the layer is thrown away and the log is played onto the file: all that was written
before the last flush, and of what came after it, each write by the dice: whole, in part (in sectors), or not at all, in
any combination. That is what a drive with a cache of its own may leave, and it does not lie about flushes.
"""

import struct
import subprocess
from dataclasses import dataclass

SECTOR = 512
MAGIC = 0x6A736677736872
FLUSH, DISCARD = 1, 4
ENTRY = struct.Struct("<QQQQ")


@dataclass
class Write:
    """What was written where: offset in the disk, bytes, and where they are in the log."""

    offset: int
    length: int
    at: int


@dataclass
class Left:
    """What a power cut left: writes since the last flush, by what became of them."""

    kept: int = 0
    torn: int = 0
    lost: int = 0

    def __str__(self):
        after = self.kept + self.torn + self.lost
        return f"{after} writes after the last flush: {self.kept} kept, {self.torn} torn, {self.lost} lost"


def read_log(log):
    """The writes of the open file `log` and how many of them are before the last flush.

    An emulator that was killed may leave a last entry unfinished; it and what is behind it never happened.
    """
    log.seek(0, 2)
    size = log.tell()
    log.seek(0)
    magic, version, _, sector = struct.unpack("<QQQI", log.read(28))
    if (magic, version, sector) != (MAGIC, 1, SECTOR):
        raise ValueError(f"this is no log of writes: {magic:x}, version {version}, sectors of {sector}")
    writes, durable, at = [], 0, SECTOR
    while at + SECTOR <= size:
        log.seek(at)
        start, count, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
        length = count * SECTOR
        if at + SECTOR + length > size:
            break
        if count == 0 and flags == 0:
            # Room that a write in flight had taken: behind it there must be nothing that the board was told is there.
            if any(log.read(size - at)):
                raise ValueError(f"the log has a hole at {at}: what is behind it cannot be told from what was lost")
            break
        if count and not flags & DISCARD:
            writes.append(Write(start * SECTOR, length, at + SECTOR))
        if flags & FLUSH:
            durable = len(writes)
        at += SECTOR + (0 if flags & DISCARD else length)
    return writes, durable


def play(log, disk, dice):
    """Writes onto the open file `disk` what `log` has; what was not flushed is at the mercy of `dice`."""
    writes, durable = read_log(log)
    left = Left()
    for number, write in enumerate(writes):
        length = write.length
        if number >= durable:
            fate = dice.choice(["kept", "torn", "lost"]) if length > SECTOR else dice.choice(["kept", "lost"])
            setattr(left, fate, getattr(left, fate) + 1)
            if fate == "lost":
                continue
            if fate == "torn":
                length = SECTOR * dice.randrange(1, length // SECTOR)
        log.seek(write.at)
        disk.seek(write.offset)
        disk.write(log.read(length))
    return left


class Disk:
    """The disk of one run, in the folder `work`."""

    def __init__(self, image, work):
        self.raw, self.layer, self.log = work / "disk.raw", work / "layer.qcow2", work / "writes.log"
        subprocess.run(["cp", "--sparse=always", image, self.raw], check=True)

    def arguments(self):
        """Of QEMU, for the next start."""
        self.layer.unlink(missing_ok=True)
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.raw, self.layer]
        subprocess.run(create, check=True)
        self.log.unlink(missing_ok=True)
        self.log.touch()
        # A flush is written down above; this machine's own disk need not wait for it, since only the emulator dies.
        blocks = ("driver=blklogwrites,node-name=disk,log-sector-size=512"
                  f",file.driver=qcow2,file.file.driver=file,file.file.filename={self.layer},file.file.cache.no-flush=on"
                  f",log.driver=file,log.filename={self.log},log.cache.no-flush=on")
        return ["-blockdev", blocks, "-device", "virtio-blk-pci,drive=disk,discard=off,write-zeroes=off"]

    def settle(self, dice):
        """After a power cut: what is on the disk now."""
        with self.log.open("rb") as log, self.raw.open("r+b") as disk:
            return play(log, disk, dice)
