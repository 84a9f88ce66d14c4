"""Tables of methods that were timed side by side."""

from typing import Any

from benchmarks.suite_cells import capital, markdown, seconds, whole


def side_by_side(record: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return a table of timings for each task; ratio = CPU seconds over ours."""
    parts = []
    for table in record["tables"]:
        first = table["rows"][0]["cpu"]
        rows = [
            (
                row["method"],
                seconds(row["cpu"]),
                seconds(row["wall"]),
                f"{row['cpu'] / first:.1f}" if first else "–",
                whole(row["extra_mib"]),
                "–" if row["error"] is None else f"{row['error']:.1e}",
            )
            for row in table["rows"]
        ]
        runs = table["facts"].get("runs")
        timed = "" if runs is None else f" Median of {runs} run{'' if runs == 1 else 's'}."
        parts.append(f"**{capital(table['title'])}.**{timed}")
        parts.append(markdown(("method", "CPU s", "wall s", "ratio", "MiB more", "error"), rows))
    return parts
