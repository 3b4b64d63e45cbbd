"""Private Python environments under target/tools, one for each pinned requirements file.

The scripts of infra and local-emulation start with the system's Python 3 and nothing else. `run_inside`
makes the environment that a script needs, once, and starts the script again inside it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "target" / "tools"
PYTHON_MIN = (3, 9)


def environment(requirements: Path) -> Path:
    """The folder of programs of an environment that holds `requirements`, made if it is not there yet.

    Its name carries a hash of the pins, so another pin is another environment and an old one never lies.
    """
    if sys.version_info < PYTHON_MIN:
        sys.exit("This needs Python %d.%d or later; this is %s." % (*PYTHON_MIN, sys.version.split()[0]))
    digest = hashlib.sha256()
    for name in _with_included(requirements):
        digest.update(name.read_bytes())
    digest.update(str(sys.version_info[:2]).encode())
    folder = TOOLS / f"{requirements.parent.name}-{requirements.stem}-{digest.hexdigest()[:12]}"
    complete = folder / "complete"
    TOOLS.mkdir(parents=True, exist_ok=True)
    with open(TOOLS / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two scripts at once: the second waits for the first's
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            print(f"Installing {requirements.relative_to(ROOT)} into {folder.relative_to(ROOT)} …", file=sys.stderr)
            _create(folder, requirements)
            complete.touch()
    return folder / "bin"


def run_inside(requirements: Path) -> None:
    """Returns at once inside the environment of `requirements`; else starts this script again inside it."""
    python = environment(requirements) / "python3"
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execv(python, [str(python), *sys.argv])


def _with_included(requirements: Path):
    yield requirements
    for line in requirements.read_text().splitlines():
        if line.startswith("-r "):
            yield from _with_included((requirements.parent / line[3:].strip()).resolve())


def _create(folder: Path, requirements: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(
            f"Python cannot make a virtual environment ({made.stdout.strip() or made.stderr.strip()}).\n"
            "On Debian and Ubuntu: apt-get install python3-venv"
        )
    pip = [str(folder / "bin" / "python3"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, "--requirement", str(requirements)])
    if installed.returncode != 0:
        sys.exit(f"pip could not install {requirements}: see above. It needs PyPI or a mirror of it (PIP_INDEX_URL).")
