"""How the documentation is built; two pages are filled from the code, so they cannot fall behind it.

`settings.md` lists every setting with value and source, `commands.md` every command with its options. Each
holds a comment that is replaced when the page is read.
"""

import importlib.metadata
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer
from sphinx.application import Sphinx

from lymphct.cli import commands
from lymphct.cli.main import new_app
from lymphct.config import Config, described

project = "lymphct"
author = "The lymphct developers"
copyright = "the lymphct developers, Apache-2.0"
release = version = importlib.metadata.version("lymphct")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "code"
napoleon_use_ivar = True
nitpicky = False

html_theme = "furo"
html_title = f"lymphct {release}"
html_show_sphinx = False

SETTINGS_MARK = "<!-- every setting: written by docs/conf.py -->"
COMMANDS_MARK = "<!-- every command: written by docs/conf.py -->"
HELP_OPTION = "--help"

Parsed = Any
"""A command or parameter of the parser that typer brings along; its types are private."""


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
    """Return a section per command: how it is called, what it does, its arguments and options."""
    app = new_app()
    commands.register(app)
    group: Parsed = typer.main.get_command(app)
    lines = ["", "## Options of every command", "", _parameters(group)]
    for path, command in leaves(group, ("lymphct",)):
        usage = " ".join([*path, *command.collect_usage_pieces(command.context_class(command))])
        title = " ".join(path[1:])
        lines += [
            "",
            f"## {title}",
            "",
            "```text",
            usage,
            "```",
            "",
            command.help or "",
            "",
            _parameters(command),
        ]
    return "\n".join(lines)


def leaves(command: Parsed, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Parsed]]:
    """Yield every command below a group with the words that call it."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in children:
        yield from leaves(children[name], (*path, name))


def _parameters(command: Parsed) -> str:
    rows = []
    for parameter in command.params:
        if HELP_OPTION in parameter.opts:
            continue
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        if parameter.param_type_name == "argument":
            names = f"`{parameter.name.upper()}`"
        choices = getattr(parameter.type, "choices", ())
        meaning = getattr(parameter, "help", None) or ""
        if choices:
            meaning += " One of " + ", ".join(f"`{getattr(one, 'value', one)}`" for one in choices) + "."
        rows.append(f"| {names} | {_cell(meaning)} | {_default(parameter)} |")
    return "\n".join(["| name | meaning | default |", "|-|-|-|", *rows]) if rows else "No options of its own."


def _default(parameter: Parsed) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None or parameter.default is False or callable(parameter.default):
        return ""
    return f"`{getattr(parameter.default, 'value', parameter.default)}`"


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    for mark, text in ((SETTINGS_MARK, settings_text), (COMMANDS_MARK, commands_text)):
        if mark in source[0]:
            source[0] = source[0].replace(mark, text())


def setup(sphinx: Sphinx) -> None:
    """Fill the marked pages whenever they are read."""
    sphinx.connect("source-read", _fill)
