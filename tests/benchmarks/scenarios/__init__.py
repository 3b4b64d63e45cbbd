"""What is compared with what. Each module says in TITLE and NOTE what its rows mean; `rows` measures them.

REFERENCE is the key of the row that the others' wall time is divided by.
"""

from . import changes, full, lambdas, memory, restore, split, ticks, unchanged, verify

# In the order in which they run and are shown.
ALL = {
    "full": full,
    "split": split,
    "unchanged": unchanged,
    "clustered": changes.CLUSTERED,
    "random": changes.RANDOM,
    "restore": restore,
    "verify": verify,
    "memory": memory,
    "lambda": lambdas,
    "ticks": ticks,
}
