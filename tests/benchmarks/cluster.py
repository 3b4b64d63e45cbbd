"""A private PostgreSQL server for each size of database, kept from call to call.

A server holds one ERP database and, while a scenario runs, copies of it. So a physical backup of the
whole server (pgBackRest's) copies just what the logical ones read.
"""

import os
import shutil
import subprocess
from pathlib import Path

from .plan import HOME, binary, fail, say

TICKS = os.sysconf("SC_CLK_TCK")

# What a small company's administrator would set on a machine of this size. No autovacuum, because it
# would run in one contestant's round and not in another's.
SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "256MB",
    "synchronize_seqscans": "off",
    "autovacuum": "off",
}


def server_programs():
    """The folder of PostgreSQL's server programs, newest first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb:
        return Path(initdb).resolve().parent
    fail("PostgreSQL's server is missing: install it (Debian: apt-get install postgresql)")


class Cluster:
    """A running server with one ERP database. As root, its processes run as the user postgres, who owns it."""

    def __init__(self, megabytes, seed):
        self.bin = server_programs()
        self.megabytes = megabytes
        self.seed = seed
        base = Path("/var/tmp/logisedge-bench") if os.geteuid() == 0 else HOME
        self.home = base / f"{megabytes}-{seed}"
        self.data = self.home / "data"
        self.socket = self.home / "socket"
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def __enter__(self):
        self.start()
        try:
            self.database = self.make_database()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self, program, *arguments):
        command = [*self.as_user, str(self.bin / program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)

    def start(self):
        self.socket.mkdir(parents=True, exist_ok=True)
        if self.as_user:
            for folder in (self.home.parent, self.home, self.socket):
                shutil.chown(folder, "postgres")
        if not (self.data / "PG_VERSION").exists():
            self.run(
                "initdb", "-D", str(self.data), "-U", "postgres",
                "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
            )  # fmt: skip
        settings = {**SETTINGS, "unix_socket_directories": self.socket}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.home / "log"), "-o", options, "start")
        self.pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        self.version = self.sql("postgres", "show server_version")

    def stop(self):
        self.run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")

    def environment(self, database):
        """For libpq's programs; they find the server and the database by it."""
        return {**os.environ, "PGHOST": str(self.socket), "PGUSER": "postgres", "PGDATABASE": database}

    def url(self, database):
        return f"postgres://postgres@{str(self.socket).replace('/', '%2F')}/{database}?sslmode=disable"

    def sql(self, database, text):
        done = subprocess.run(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text],
            env=self.environment(database), capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            fail(f"PostgreSQL refused {text!r}: {done.stderr.strip()}")
        return done.stdout.strip()

    def make_database(self):
        """Makes the ERP database once; a half-made one has no final name."""
        for left in self.sql("postgres", "select datname from pg_database where datname like 'copy_%'").split():
            self.sql("postgres", f"drop database {left} with (force)")
        if self.sql("postgres", "select 1 from pg_database where datname = 'erp'") == "1":
            return "erp"
        say(f"making a database of {self.megabytes} MB ...")
        self.sql("postgres", "drop database if exists erp_half")
        self.sql("postgres", "create database erp_half")
        size = ["--megabytes", str(self.megabytes), "--seed", str(self.seed)]
        subprocess.run(
            [str(binary("sample-erp")), "postgres", self.url("erp_half"), *size], check=True, stdout=subprocess.DEVNULL
        )
        self.sql("erp_half", "vacuum (freeze, analyze)")
        self.sql("postgres", "alter database erp_half rename to erp")
        self.sql("postgres", "checkpoint")
        return "erp"

    def copy(self, name):
        """A copy of the ERP database under another name, equal each time. Its tables are other files with
        other numbers, so what builds on a backup has to build on one of the same copy."""
        self.sql("postgres", f"drop database if exists copy_{name} with (force)")
        self.sql("postgres", f"create database copy_{name} template {self.database}")
        self.sql("postgres", "checkpoint")
        return f"copy_{name}"

    def fresh(self, name):
        """An empty database to restore into."""
        self.sql("postgres", f"drop database if exists copy_{name} with (force)")
        self.sql("postgres", f"create database copy_{name} template template0")
        self.sql("postgres", "checkpoint")
        return f"copy_{name}"

    def drop(self, database):
        self.sql("postgres", f"drop database if exists {database} with (force)")

    def tables(self, database):
        """Every table as SQL names it with its bytes, biggest first."""
        found = self.sql(
            database,
            "select format('%I.%I', nspname, relname), pg_table_size(c.oid) from pg_class c "
            "join pg_namespace n on n.oid = relnamespace where relkind = 'r' "
            "and nspname not in ('pg_catalog', 'information_schema') order by 2 desc",
        )
        return [(name, int(size)) for name, size in (line.rsplit("|", 1) for line in found.split("\n"))]

    def warm(self, database):
        """Reads every row once: caches are filled and hint bits set before the first contestant comes."""
        for table, _ in self.tables(database):
            self.sql(database, f"copy {table} to program 'cat > /dev/null'")

    def cpu_seconds(self):
        """Of every server process that has ended: backends end with their connections."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(fields[index]) for index in (11, 12, 13, 14)) / TICKS

    def hold_to(self, cores):
        """Holds the server to these cores: its processes now, and by inheritance those to come."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in [self.pid, *map(int, children)]:
            os.sched_setaffinity(pid, cores)
