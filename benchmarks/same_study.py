"""Compare two studies file by file, such as one that a cluster did and one that a process here did.

`python benchmarks/same_study.py STUDY OTHER`: tasks, tables, predictions, figures, checklists, report and
methods of both; seconds, logs and locks are not compared. Ends with 1 where a file differs or is missing.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.study_kills import digests


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("other", type=Path)
    given = parser.parse_args()
    one, two = digests(given.study), digests(given.other)
    differing = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    print("\n".join([*differing, f"{len({*one, *two})} files, {len(differing)} differing"]))
    sys.exit(bool(differing or not one))


if __name__ == "__main__":
    main()
