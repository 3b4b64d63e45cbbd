"""How the demo talks: numbered steps, the commands it runs, and what they print, as they print it."""

import os
import shlex
import subprocess
import sys
import time
from typing import Mapping, Sequence

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Narration:
    """Counts steps and says how long each took."""

    def __init__(self, total: int):
        self.total = total
        self.number = 0
        self.began = time.monotonic()

    def step(self, title: str) -> None:
        """Begins the next step."""
        self.number += 1
        print(f"\n{bold(f'{self.number}/{self.total}  {title}')}", flush=True)

    def seconds(self) -> float:
        """Since the demo began, or since `restart_clock`."""
        return time.monotonic() - self.began

    def restart_clock(self) -> None:
        """Leaves out what came before, such as a first build."""
        self.began = time.monotonic()


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if COLOUR else text


def faint(text: str) -> str:
    return f"\033[2m{text}\033[0m" if COLOUR else text


def indented(text: str) -> None:
    """Prints lines as belonging to the step."""
    for line in text.splitlines():
        print(f"     {line}".rstrip())


def run(shown: Sequence[str], command: Sequence[str], env: Mapping[str, str], accept=(0,)) -> None:
    """Runs a command with its output on the terminal, under the short form that a reader would type."""
    print(faint("     $ " + " ".join(shlex.quote(part) for part in shown)), flush=True)
    finished = subprocess.run(list(command), env=dict(env))
    if finished.returncode not in accept:
        sys.exit(f"\nThe demo stops here: that command ended with exit code {finished.returncode}.")


def asked(command: Sequence[str], env: Mapping[str, str]) -> str:
    """What a command prints, for the demo itself to read."""
    finished = subprocess.run(list(command), env=dict(env), stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        sys.exit(f"\nThe demo stops here: {shlex.join(command)} ended with exit code {finished.returncode}.")
    return finished.stdout
