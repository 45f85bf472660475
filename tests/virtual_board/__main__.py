"""Boots the virtual board and checks what an owner of a board relies on; scripts/virtual-board starts it.

    python3 tests/virtual_board --image DIR --packages DIR --onnxruntime FILE --fleet FILE --model FOLDER
        [--cuts N] [--cuts-only] [--seed N] [--keep]
"""

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from checks import Checks
from machine import Board, Failed
from outside import DEVICE, Broker, Fleet

# Of an update, in order.
PHASES = ["fetching", "staging", "rehearsing", "trialing", "committing", "probation"]


def say(text):
    print(f"virtual-board: {text}", file=sys.stderr, flush=True)


def version_key(path):
    """Sorts packages by version, as far as ours need."""
    return [int(number) for number in re.findall(r"\d+", path.name.split("_")[1])]


def find_packages(folder):
    """The oldest and the newest package for the board."""
    found = sorted(folder.glob("vedette_*_arm64.deb"), key=version_key)
    if len(found) < 2:
        sys.exit(f"virtual-board: two versions of vedette_*_arm64.deb are needed in {folder}, there are {len(found)}")
    return found[0], found[-1]


class Table:
    """Rows of what was checked. After a check that all others need has failed, they are not reached."""

    def __init__(self):
        self.rows, self.ended = [], False

    def check(self, name, work, needed=False):
        if self.ended:
            self.rows.append((name, "not reached", 0, False))
            return
        say(f"{name} ...")
        began = time.monotonic()
        try:
            seen, passed = work(), True
        except Exception as error:  # whatever a check did not reckon with is no success either
            if not isinstance(error, Failed):
                traceback.print_exc()
            seen, passed = f"{error}", False
            self.ended = needed
        took = time.monotonic() - began
        say(f"{'passed' if passed else 'FAILED'} in {took:.0f} s: {seen}")
        self.rows.append((name, " ".join(seen.split())[:400], took, passed))

    def print(self):
        print("| check | what was seen | seconds | passed |\n|---|---|---|---|")
        for name, seen, took, passed in self.rows:
            print(f"| {name} | {seen.replace('|', '/')} | {took:.0f} | {'yes' if passed else '**no**'} |")
        return all(passed for *_, passed in self.rows)


def run(checks, args, table):
    dice = random.Random(args.seed)
    table.check("boots", checks.boots, needed=True)
    table.check("install without ONNX Runtime: one clear message", checks.without_onnxruntime)
    table.check("service active, ready", checks.active_when_configured, needed=True)
    table.check("V4L2 camera → model → broker", checks.observes, needed=True)
    table.check("telemetry", checks.telemetry)
    table.check("`vedette doctor`", checks.doctor)
    table.check("release pulled, tried, committed", checks.commits, needed=True)
    if not args.cuts_only:
        table.check("bad release: golden sample", checks.refuses_wrong)
        table.check("bad release: too slow in its trial on live frames", checks.refuses_slow)
        table.check("release that dies three times in probation goes back", checks.returns)
        table.check("`systemctl restart`", checks.restarts)
        table.check("kill -9", checks.killed)
        table.check("watchdog: SIGSTOP", checks.starved)
        table.check("`apt install` of a newer package", checks.upgrades)
    # Each phase as likely as the others, the short ones in which most is written too.
    phases = dice.sample(PHASES, len(PHASES))
    for number in range(args.cuts):
        version, phase = f"2.{number}.0", phases[number % len(phases)]
        table.check(f"power cut {number + 1}, drawn for {phase}",
                    lambda version=version, phase=phase: checks.cut(version, phase, dice), needed=True)


def main():
    parser = argparse.ArgumentParser(prog="virtual-board", description=__doc__.splitlines()[0])
    for name in ["image", "packages", "onnxruntime", "fleet", "model"]:
        parser.add_argument(f"--{name}", required=True, type=lambda text: Path(text).resolve())
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--cuts-only", action="store_true")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    packages = find_packages(args.packages)
    began, table, started = time.monotonic(), Table(), []
    say(f"seed {args.seed}")
    # Ended from outside: what was started ends too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    with tempfile.TemporaryDirectory(prefix="virtual-board-") as folder:
        work = Path(folder)
        share = work / "share"
        (share / "onnxruntime").mkdir(parents=True)
        for package in packages:
            shutil.copy(package, share)
        for library in args.onnxruntime.parent.glob("libonnxruntime.so*"):
            shutil.copy(library, share / "onnxruntime", follow_symlinks=False)
        try:
            fleet = Fleet(args.fleet, args.model, work)
            started.append(fleet)
            shutil.copy(work / "keys/root.json", share)
            broker = Broker(work)
            started.append(broker)
            board = Board(args.image, work, share)
            started.append(board)
            checks = Checks(board, broker, fleet, [package.name for package in packages], DEVICE)
            run(checks, args, table)
            passed = table.print()
            board_s = board.cpu_s()
            say(f"{time.monotonic() - began:.0f} s, of which the emulator computed {board_s:.0f} s; seed {args.seed}")
            if not passed:
                say(f"the console's end:\n{board.console()[-3000:]}")
            if args.keep:
                say(f"the board is running. Root's console: socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:{work}/console "
                    f"(Ctrl-] leaves); broker: port {broker.port}; Ctrl-C ends all")
                signal.pause()
        finally:
            for one in reversed(started):
                one.end()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
