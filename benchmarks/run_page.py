"""Do what a page of the documentation shows, and write down what it says.

    python benchmarks/run_page.py docs/tutorial.md --folder build/tutorial --write

Each block of `bash` is run in the folder, in the order of the page, and what it prints replaces the block of
`text` right below it. Blocks of `python` are run, too. A comment `<!-- not run: why -->` above a block leaves
it out, `# exit code 4` in it says how it ends. Without `--write` the output is compared, and a page that says
something else is an error.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BLOCK: Final = re.compile(r"^```(bash|python)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
OUTPUT: Final = re.compile(r"\n```text\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
NOT_RUN: Final = re.compile(r"<!-- not run: [^>]+ -->\n+\Z")
SECONDS: Final = re.compile(r'"seconds": [\d.]+')  # differ from run to run
EXIT: Final = re.compile(r"# exit code (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What a page shows to be done.

    Attributes:
        language: of the block.
        text: in it.
        output: place of the text block right below, as characters of the page; None when there is none.

    """

    language: str
    text: str
    output: slice | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where the commands run; begin with none")
    parser.add_argument("--write", action="store_true", help="put the output into the page")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    links = arguments.folder / "benchmarks"
    if not links.exists():
        links.symlink_to(ROOT / "benchmarks")
    shown = arguments.page.read_text("utf-8")
    said = followed(shown, arguments.folder)
    if arguments.write:
        arguments.page.write_text(said, "utf-8")
    elif SECONDS.sub("", said) != SECONDS.sub("", shown):
        changes = difflib.unified_diff(
            shown.splitlines(), said.splitlines(), "the page", "the run", lineterm=""
        )
        sys.exit("\n".join(changes))


def followed(page: str, folder: Path) -> str:
    """Return the page with the output that its blocks have in this folder.

    Raises:
        SystemExit: a block does not end as the page says.

    """
    text, begin = [], 0
    for block in blocks(page):
        printed = done(block, folder)
        if block.output is not None:
            text += [page[begin : block.output.start], printed]
            begin = block.output.stop
    return "".join([*text, page[begin:]])


def blocks(page: str) -> list[Block]:
    """Return what a page shows to be done, in its order."""
    found = []
    for match in BLOCK.finditer(page):
        if NOT_RUN.search(page[: match.start()]):
            continue
        below = OUTPUT.match(page, match.end())
        output = None if below is None else slice(*below.span(1))
        found.append(Block(language=match[1], text=match[2], output=output))
    return found


def done(block: Block, folder: Path) -> str:
    """Do what a block shows; return what it prints, with no path of this machine in it."""
    command = ["bash", "-c", block.text] if block.language == "bash" else [sys.executable, "-c", block.text]
    print(f"$ {block.text.strip()}", flush=True)
    run = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    printed = run.stdout.replace(f"{folder.resolve()}/", "").replace(f"{ROOT}/", "")
    print(printed, flush=True)
    promised = EXIT.search(block.text)
    if run.returncode != (0 if promised is None else int(promised[1])):
        sys.exit(f"it ended with {run.returncode}")
    return printed


def environment() -> Mapping[str, str]:
    """Return an environment in which `lymphct` and `python` are those that run this script."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "COLUMNS": "110", "NO_COLOR": "1"}


if __name__ == "__main__":
    main()
