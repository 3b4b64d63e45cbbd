"""The command lines of LogisEdge Backup and of its peers, each as its own manual recommends for speed.

Peers are installed from Debian: restic, borgbackup, pgbackrest. rustic takes part where a `rustic` is on the
PATH. A peer's repository is made beforehand and not measured; our own is part of every full backup.
"""

import re
import shutil
import subprocess
from functools import lru_cache

from .plan import CONNECTIONS, binary

PACKAGES = {"restic": "restic", "borg": "borgbackup", "pgbackrest": "pgbackrest"}


def missing(program):
    """Why a peer cannot take part, or None."""
    if shutil.which(program):
        return None
    if program in PACKAGES:
        return f"{program} is not installed (Debian: apt-get install {PACKAGES[program]})"
    return f"there is no {program} on the PATH"


@lru_cache(maxsize=None)
def version(*command):
    """The first line that a program says of itself, or None where it is missing."""
    if not shutil.which(str(command[0])):
        return None
    said = subprocess.run([*map(str, command)], capture_output=True, text=True)
    return (said.stdout or said.stderr).strip().split("\n")[0]


# ---------------------------------------------------------------- ours


@lru_cache(maxsize=None)
def our_help(verb):
    said = subprocess.run([str(binary("logisedge-backup")), "direct", verb, "--help"], capture_output=True, text=True)
    return said.stdout


def has_option(verb, option):
    """Whether this build of ours knows an option, so that the bench runs on older builds too."""
    return re.search(rf"^\s*(-\w, )?{option}\b", our_help(verb), re.MULTILINE) is not None


def our_backup(cluster, database, at="{work}/r", more=""):
    """A backup straight into a folder; what it says of itself goes to `out.json`."""
    return (
        f"{binary('logisedge-backup')} --json direct backup --at {at} --from '{cluster.url(database)}' "
        f"--connections {CONNECTIONS} --pg-dump {cluster.bin}/pg_dump {more} > {{work}}/out.json"
    )


def our_restore(cluster, database, at):
    return (
        f"{binary('logisedge-backup')} --json direct restore --at {at} latest --to '{cluster.url(database)}' "
        f"--connections {CONNECTIONS} > {{work}}/out.json"
    )


def our_verify(at):
    return f"{binary('logisedge-backup')} --json direct verify --at {at} latest > {{work}}/out.json"


# ---------------------------------------------------------------- PostgreSQL's own


def floor(cluster, database):
    """COPY of every table to nothing over two connections, each with its fair share of the bytes: what the
    server needs to give its rows away at all."""
    shares = [[0, []] for _ in range(CONNECTIONS)]
    for table, size in cluster.tables(database):
        share = min(shares, key=lambda share: share[0])
        share[0] += size
        share[1].append(f"-c 'copy {table} to stdout'")
    sessions = [f"psql -Xq -v ON_ERROR_STOP=1 -o /dev/null {' '.join(copies)}" for _, copies in shares]
    return " & ".join(sessions) + " && wait $!"


def dump(cluster, arguments=""):
    return f"{cluster.bin}/pg_dump {arguments}".rstrip()


def restored_dump(cluster, database, folder):
    return f"{cluster.bin}/pg_restore -j{CONNECTIONS} -d {database} {folder}"


# ---------------------------------------------------------------- restic, rustic, borg


def restic_init(repository):
    return f"restic -q -r {repository} init"


def restic_backup(cluster, repository):
    return f"{dump(cluster)} | restic -q -r {repository} backup --stdin --stdin-filename dump.sql"


def restic_restore(cluster, database, repository):
    return (
        f"restic -q -r {repository} dump latest dump.sql | "
        f"psql -Xq -v ON_ERROR_STOP=1 -d {database} -o /dev/null"
    )


def restic_check(repository):
    return f"restic -q -r {repository} check --read-data"


def rustic_init(repository):
    return f"rustic -r {repository} init > /dev/null"


def rustic_backup(cluster, repository):
    return f"{dump(cluster)} | rustic --no-progress -r {repository} backup --stdin-filename dump.sql - > /dev/null"


def borg_init(repository):
    return f"borg init -e repokey {repository}"


def borg_backup(cluster, repository):
    """zstd at its usual level, as borg's own default (lz4) stores a third more."""
    return (
        f"{dump(cluster)} | borg create -C zstd,3 --stdin-name dump.sql {repository}::{{now:%s.%f}} -"
    )


# ---------------------------------------------------------------- pgBackRest


PGBACKREST_CONF = """\
[global]
repo1-path={work}/r
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=bench
repo1-retention-full=9
compress-type=zst
compress-level=3
process-max={connections}
start-fast=y
# The server archives no WAL: a backup that could be restored would need it, and take longer.
archive-check=n
archive-copy=n
log-level-console=warn
log-level-file=off
log-path={work}/cache
lock-path={work}/cache
spool-path={work}/cache

[bench]
pg1-path={data}
pg1-socket-path={socket}
pg1-user=postgres
pg1-database=postgres
"""


def pgbackrest_before(cluster, work):
    """Writes its configuration and makes its repository."""
    text = PGBACKREST_CONF.format(work=work, connections=CONNECTIONS, data=cluster.data, socket=cluster.socket)
    (work / "pgbackrest.conf").write_text(text)
    subprocess.run(["bash", "-c", pgbackrest(work, "stanza-create")], check=True)


def pgbackrest(work, verb):
    return f"pgbackrest --config={work}/pgbackrest.conf --stanza=bench {verb}"


def pgbackrest_backup():
    return pgbackrest("{work}", "--type=full backup")
