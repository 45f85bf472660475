"""What a power cut may leave of a disk, and what it may not."""

import io
import random
import struct
import unittest

from disk import ENTRY, FLUSH, MAGIC, SECTOR, play, read_log


def log_of(*entries, cut=0):
    """A log of writes `(sector, sectors, byte)` and `"flush"`, without its last `cut` bytes."""
    parts = [struct.pack("<QQQI", MAGIC, 1, len(entries), SECTOR).ljust(SECTOR, b"\0")]
    for entry in entries:
        if entry == "flush":
            parts.append(ENTRY.pack(0, 0, FLUSH, 0).ljust(SECTOR, b"\0"))
        else:
            sector, count, byte = entry
            parts.append(ENTRY.pack(sector, count, 0, 0).ljust(SECTOR, b"\0") + bytes([byte]) * (count * SECTOR))
    whole = b"".join(parts)
    return io.BytesIO(whole[:len(whole) - cut])


def sectors(disk):
    return list(disk.getvalue()[::SECTOR])


class PowerCut(unittest.TestCase):
    def test_what_was_flushed_is_there_after_every_cut(self):
        for seed in range(200):
            disk = io.BytesIO(bytes(8 * SECTOR))
            play(log_of((0, 2, 1), (4, 2, 2), "flush", (1, 1, 3)), disk, random.Random(seed))
            found = sectors(disk)
            self.assertEqual((found[0], found[4:6]), (1, [2, 2]), seed)
            self.assertIn(found[1], (1, 3), seed)

    def test_what_was_not_flushed_is_left_in_every_way(self):
        left = set()
        for seed in range(500):
            disk = io.BytesIO(bytes(4 * SECTOR))
            play(log_of((0, 2, 1), (2, 1, 2)), disk, random.Random(seed))
            left.add(tuple(sectors(disk)))
        first, second = [(0, 0), (1, 0), (1, 1)], [(0, 0), (2, 0)]
        self.assertEqual(left, {one + other for one in first for other in second})

    def test_a_hole_in_the_log_is_an_error_and_no_loss_that_nobody_sees(self):
        whole = log_of((0, 1, 1), (1, 1, 2), "flush").getvalue()
        hole = whole[:SECTOR] + bytes(2 * SECTOR) + whole[3 * SECTOR:]
        with self.assertRaises(ValueError):
            read_log(io.BytesIO(hole))
        self.assertEqual(read_log(io.BytesIO(whole + bytes(3 * SECTOR)))[1], 2)

    def test_an_entry_that_was_not_finished_never_happened(self):
        writes, durable = read_log(log_of((0, 1, 1), "flush", (1, 2, 2), cut=SECTOR))
        self.assertEqual((len(writes), durable), (1, 1))

    def test_something_else_is_no_log(self):
        with self.assertRaises(ValueError):
            read_log(io.BytesIO(bytes(2 * SECTOR)))


if __name__ == "__main__":
    unittest.main()
