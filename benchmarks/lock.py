"""Write requirements.lock: the core set of constraints.txt with the SHA-256 of every file of each release.

torch and its CUDA libraries are left out (which build fits depends on the machine); what torch needs besides
them is in. Releases of the last seven days are refused: a stolen account is usually found out by then.
`make lock` runs this with uv, which asks the package index.
"""

import argparse
import datetime as dt
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements.lock"
COOLDOWN: Final = dt.timedelta(days=7)
NEEDED_BY_TORCH: Final = ("filelock", "fsspec", "networkx", "setuptools", "sympy")
"""Needed by torch alone; jinja2 and typing_extensions are needed anyway."""
HEAD: Final = """\
# The core set with digests, made by `make lock`; the versions are those of constraints.txt.
# torch with its CUDA libraries is apart (its build depends on the machine), and so are the extras.
# {releases} releases, {files} files: all that the index listed, for every system and Python it has files for.
# pip install --require-hashes --no-deps -r requirements.lock
"""
FEWEST: Final = 10
"""Files of a compiled release below which the index surely showed a part only."""
COMPILED: Final = ("numpy", "numba", "pandas", "pillow", "scipy", "simpleitk")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the program uv")
    text = resolved(parser.parse_args().uv)
    files = digests(text)
    few = [name for name in COMPILED if len(files.get(name, ())) < FEWEST]
    if few:
        msg = f"the index listed few files of {', '.join(few)}: other systems would find no digest of theirs"
        raise SystemExit(msg)
    head = HEAD.format(releases=len(files), files=sum(map(len, files.values())))
    LOCK.write_text(head + text, encoding="utf-8")
    print(head, end="")


def resolved(uv: str) -> str:
    """Return what uv makes of pyproject.toml within constraints.txt."""
    latest = dt.datetime.now(tz=dt.UTC) - COOLDOWN
    with tempfile.TemporaryDirectory() as name:
        without, needed = Path(name, "without.txt"), Path(name, "needed.txt")
        without.write_text('torch ; python_version < "3"\n')  # never: no torch, nor what it alone brings
        needed.write_text("\n".join(NEEDED_BY_TORCH))
        done = subprocess.run(
            [
                *(uv, "pip", "compile", "pyproject.toml", str(needed)),
                *("--constraints", "constraints.txt", "--overrides", str(without)),
                *("--universal", "--python-version", "3.11", "--generate-hashes"),
                *("--exclude-newer", f"{latest:%Y-%m-%dT%H:%M:%SZ}"),
                *("--no-header", "--no-annotate", "--quiet"),
            ],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return done.stdout


def digests(text: str) -> dict[str, list[str]]:
    r"""Return the SHA-256 digests by release of a lock file.

    >>> digests("numpy==2.4.6 \\\\\\n    --hash=sha256:0a \\\\\\n    --hash=sha256:0b\\n")
    {'numpy': ['0a', '0b']}
    """
    found: dict[str, list[str]] = {}
    for name, digest in re.findall(r"^([\w.-]+)==|--hash=sha256:(\w+)", text, re.MULTILINE):
        if name:
            latest = found.setdefault(name, [])
        else:
            latest.append(digest)
    return found


if __name__ == "__main__":
    main()
