"""Every byte of a repository read back, decrypted and hashed."""

from .. import bases, programs
from ..measuring import Contestant, in_turn

TITLE = "Verify every byte"
NOTE = "Both read the same repository, one that LogisEdge Backup wrote. Ours also counts the rows again."
REFERENCE = "restic"


def rows(plan, cluster):
    ours = bases.ours(plan, cluster, cluster.database)
    chain = next(ours.repository.rglob("config")).parent
    contestants = [
        Contestant("ours", "LogisEdge Backup, verify", programs.our_verify(ours.repository)),
        Contestant(
            "restic", "restic check --read-data", programs.restic_check(chain), missing=programs.missing("restic")
        ),
    ]  # fmt: skip
    return in_turn(plan, cluster, contestants, plan.rounds)
