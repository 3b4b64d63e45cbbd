"""The bench in parts: what `tests/bench` runs, how it measures, and what it holds the numbers against.

    plan.py       sizes, rounds and folders of one call
    cluster.py    a private PostgreSQL server with one seeded ERP database
    measuring.py  one command measured; contestants interleaved, round by round
    programs.py   the command lines of LogisEdge Backup and of its peers
    scenarios/    what is compared with what, a module each
    targets.py    the table of what is to be reached
    report.py     all of it as Markdown
"""
