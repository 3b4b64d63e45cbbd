"""A private PostgreSQL server on a free port. It refuses to run as root, so root starts it as somebody else."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List, Optional, Tuple

from . import state

SERVER_MAJOR_MIN = 13
READY_SECONDS_MAX = 60
SUPERUSER = "postgres"
# Where packages put the server's programs outside PATH.
PACKAGED = (
    ("/usr/lib/postgresql", "*/bin"),
    ("/opt/homebrew/opt", "postgresql*/bin"),
    ("/usr/local/opt", "postgresql*/bin"),
)
INSTALL = (
    "PostgreSQL's server programs (initdb, postgres) are missing.\n"
    "  Debian, Ubuntu:  apt-get install postgresql\n"
    "  Fedora:          dnf install postgresql-server\n"
    "  macOS:           brew install postgresql"
)


def url(entry: dict) -> str:
    """How libpq reaches the server's own database as superuser."""
    return f"postgres://{SUPERUSER}@127.0.0.1:{entry['port']}/postgres"


def running() -> Optional[dict]:
    """The recorded server, if it runs."""
    entry = state.load().get("postgres")
    return entry if entry and state.runs(entry) else None


def start(port: Optional[int], throwaway: bool) -> dict:
    """Starts the server, or returns the one that runs. `throwaway` gives durability up for speed."""
    if entry := running():
        return entry
    programs = find_programs()
    owner = unprivileged()
    folder = place(owner)
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        initialise(programs, data, owner)
    port = port or state.free_port()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",  # its path may be longer than the system allows
        "max_connections": 200,  # tests run side by side, each with several connections
        "log_min_messages": "warning",
    }
    if throwaway:
        settings.update(fsync="off", synchronous_commit="off", full_page_writes="off")
    command = [str(programs / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log_path = state.FOLDER / "postgres.log"
    with open(log_path, "a") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            cwd=folder, start_new_session=True, **as_user(owner),
        )  # fmt: skip
    entry = {"pid": process.pid, "port": port, "command_contains": str(data), "folder": str(folder), "log": str(log_path)}
    state.record("postgres", entry)
    give_up = time.monotonic() + READY_SECONDS_MAX
    while subprocess.run([str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode != 0:
        if process.poll() is not None or time.monotonic() > give_up:
            stop()
            sys.exit(f"PostgreSQL did not start; see {log_path}")
        time.sleep(0.1)
    return entry


def stop() -> bool:
    """Ends the server the fast way: open connections are closed, nothing is lost. False if it did not run."""
    return state.end("postgres", signal.SIGINT)


def purge() -> None:
    """Removes the data of a server that was stopped, wherever it was placed."""
    for folder in (state.FOLDER / "postgres", fallback_place()):
        shutil.rmtree(folder, ignore_errors=True)


def find_programs() -> Path:
    """The folder of the newest server programs; ends the script, saying what to install, where there are none."""
    version, folder = newest_programs()
    if folder is None:
        sys.exit(INSTALL)
    if version < SERVER_MAJOR_MIN:
        sys.exit(f"The PostgreSQL found in {folder} is version {version}; this needs {SERVER_MAJOR_MIN} or later.")
    return folder


def newest_programs() -> Tuple[int, Optional[Path]]:
    """The newest server programs in PATH or where Debian and Homebrew keep them, and their major version."""
    folders: List[Path] = []
    for place, pattern in PACKAGED:
        folders += Path(place).glob(pattern)
    if in_path := shutil.which("initdb"):
        folders.append(Path(in_path).resolve().parent)
    versions = [(major(folder), folder) for folder in folders]
    return max((found for found in versions if found[0]), default=(0, None))


def major(folder: Path) -> int:
    """A server's major version, 0 where it is not complete."""
    if not all((folder / name).exists() for name in ("initdb", "postgres", "pg_isready")):
        return 0
    said = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True).stdout
    found = re.search(r"(\d+)", said)
    return int(found.group(1)) if found else 0


def unprivileged() -> Optional[pwd.struct_passwd]:
    """Who runs the server when we are root; None when we are somebody already."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    sys.exit("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody. Run this as another user.")


def as_user(owner: Optional[pwd.struct_passwd]) -> dict:
    """What makes subprocess run a program as `owner`."""
    if owner is None:
        return {}
    environment = {**os.environ, "HOME": "/", "USER": owner.pw_name, "LOGNAME": owner.pw_name}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "env": environment}


def fallback_place() -> Path:
    """A place that any user reaches, with a name of this working copy's own."""
    return Path("/var/tmp") / ("logisedge-postgres" + str(state.FOLDER).replace("/", "-"))


def place(owner: Optional[pwd.struct_passwd]) -> Path:
    """A folder for the data that the server's user can reach: under target/, or /var/tmp below a closed home."""
    folder = state.FOLDER / "postgres"
    state.FOLDER.mkdir(parents=True, exist_ok=True)
    if owner is not None:
        reachable = subprocess.run(["test", "-x", str(state.FOLDER)], cwd="/", **as_user(owner)).returncode == 0
        if not reachable:
            folder = fallback_place()
    folder.mkdir(mode=0o700, exist_ok=True)
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    return folder


def initialise(programs: Path, data: Path, owner: Optional[pwd.struct_passwd]) -> None:
    """Makes an empty cluster: UTF-8, the C locale, and no password for connections from this machine."""
    shutil.rmtree(data, ignore_errors=True)
    command = [
        str(programs / "initdb"), "--pgdata", str(data), "--username", SUPERUSER, "--auth", "trust",
        "--encoding", "UTF8", "--locale", "C", "--no-sync",
    ]  # fmt: skip
    made = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, **as_user(owner))
    if made.returncode != 0:
        sys.exit(f"initdb failed: {made.stderr.strip()}")
