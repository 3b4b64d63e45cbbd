"""The numbers as Markdown, for a terminal and for the README."""

from . import prices


def machine_lines(machine):
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Linux {machine['kernel']}; "
        + ", ".join(f"{name} {version}" for name, version in machine["programs"].items() if version)
    )


def table(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def shown(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def targets(judged):
    """What is to be reached, line by line."""
    verdicts = {True: "holds", False: "**does not hold**", None: "not measured"}

    def quantity(value, unit, digits):
        return "" if value is None else f"{value:.{digits}f} {unit}".strip()

    rows = [
        [
            line["measure"],
            quantity(line["most"], line["unit"], 0 if line["most"] > 10 else 2),
            quantity(line["measured"], line["unit"], 1 if line["unit"] else 2),
            verdicts[line["holds"]],
        ]
        for line in judged
    ]
    return table(["measure", "at most", "measured", ""], rows)


def scenario(module, rows):
    """One scenario's rows."""
    if any("zip_mb" in row.numbers for row in rows):
        return table(
            ["function", "zip MB", "cold start ms", "fastest ms"],
            [
                [row.name, *(shown(row.numbers.get(name)) for name in ("zip_mb", "cold_start_ms", "cold_start_min_ms"))]
                for row in rows
            ],
        )
    if columns := getattr(module, "COLUMNS", None):
        lines = [[row.name, *(shown(row.numbers.get(name), digits) for _, name, digits in columns)] for row in rows]
        return table(["", *(heading for heading, _, _ in columns)], lines)
    reference = next((row.numbers.get("wall_s") for row in rows if row.key == module.REFERENCE), None)
    headings = ["", "wall s", "ratio", "CPU s client", "CPU s server", "peak MB", "new MB"]
    lines = []
    for row in rows:
        if row.missing:
            lines.append([row.name, f"not run: {row.missing}", "", "", "", "", ""])
            continue
        numbers = row.numbers
        ratio = numbers["wall_s"] / reference if reference else None
        lines.append(
            [
                row.name,
                shown(numbers["wall_s"], 2),
                shown(ratio, 2),
                shown(numbers.get("client_cpu_s")),
                shown(numbers.get("server_cpu_s")),
                shown(numbers.get("peak_mb"), 0),
                shown(numbers.get("stored_mb")),
            ]
        )
    return table(headings, lines)


KINDS = ["puts", "gets", "heads", "lists", "deletes"]


def requests(scenarios, modules):
    """What every measured run of ours asked of its store, and what S3 would charge for it."""
    lines = []
    for name, rows in scenarios.items():
        for row in rows:
            asked = row.numbers.get("requests")
            if asked:
                counts = [str(asked.get(kind, 0)) for kind in KINDS]
                lines.append([f"{modules[name].TITLE}: {row.name}", *counts, f"{prices.of(asked) * 100:.3f}"])
    return table(["requests to the store", *KINDS, "US cents at S3"], lines) if lines else ""
