"""How the documentation is built; two pages are filled from the code, so they cannot fall behind it.

`settings.md` lists every setting with value and source, `commands.md` every command with its options. Each
holds a comment that is replaced when the page is read.
"""

import importlib.metadata
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config as NapoleonConfig
from sphinx.ext.napoleon import GoogleDocstring
from typer.testing import CliRunner

from lymphct.cli import commands
from lymphct.cli.main import new_app
from lymphct.config import Config, described

project = "lymphct"
author = "The lymphct developers"
copyright = "the lymphct developers, Apache-2.0"
release = version = importlib.metadata.version("lymphct")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90
default_role = "code"
suppress_warnings = ["ref.python"]  # fields of several classes share a name; a field is no reference

html_theme = "furo"
html_title = f"lymphct {release}"
html_show_sphinx = False

NAPOLEON = NapoleonConfig(napoleon_use_ivar=True)

SETTINGS_MARK = "<!-- every setting: written by docs/conf.py -->"
COMMANDS_MARK = "<!-- every command: written by docs/conf.py -->"


def settings_text() -> str:
    """Return a table per group of settings: name, default, source."""
    lines: list[str] = []
    rows = ((name.rpartition("."), value, source) for name, value, source in described(Config()))
    for group, members in groupby(rows, key=lambda row: row[0][0]):
        lines += [
            "",
            f"## {group}",
            "",
            "| setting | default | what it is, and where it comes from |",
            "|-|-|-|",
        ]
        lines += [
            f"| `{name}` | `{_shown(value)}` | {_cell(source)} |" for (_, _, name), value, source in members
        ]
    return "\n".join(lines)


def _shown(value: object) -> str:
    return "none" if value is None else str(value).replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def commands_text() -> str:
    """Return a section per command: what `--help` says."""
    app = new_app()
    commands.register(app)
    lines = ["", "## Options of every command", "", _help(app, ())]
    for words in command_words(app):
        lines += ["", f"## {' '.join(words)}", "", _help(app, words)]
    return "\n".join(lines)


def command_words(app: typer.Typer) -> Iterator[tuple[str, ...]]:
    """Yield the words that call each command, groups unfolded."""
    for command in app.registered_commands:
        yield (str(command.name),)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            for words in command_words(group.typer_instance):
                yield (str(group.name), *words)


def _help(app: typer.Typer, words: tuple[str, ...]) -> str:
    shown = CliRunner().invoke(app, [*words, "--help"], prog_name="lymphct", env={"COLUMNS": "100"})
    return f"```text\n{shown.output.strip()}\n```"


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    for mark, text in ((SETTINGS_MARK, settings_text), (COMMANDS_MARK, commands_text)):
        if mark in source[0]:
            source[0] = source[0].replace(mark, text())


def _format_docstring(sphinx: Sphinx, *arguments: Any) -> None:  # noqa: ANN401 - as Sphinx passes them
    """Turn Google sections into fields; a setting's text is text, whatever colons it holds."""
    what, name, thing, options, lines = arguments
    # |A| is no substitution of reStructuredText here.
    lines[:] = [re.sub(r"(?<!`)\|(?!`)", r"\\|", line) for line in lines]
    if what not in {"attribute", "data", "property"}:
        google = GoogleDocstring(lines, NAPOLEON, sphinx, what, name, thing, options)
        lines[:] = google.lines()


def setup(sphinx: Sphinx) -> None:
    """Fill the marked pages whenever they are read."""
    sphinx.connect("source-read", _fill)
    sphinx.connect("autodoc-process-docstring", _format_docstring)
