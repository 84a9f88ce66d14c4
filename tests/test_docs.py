"""The documentation shows commands that exist, names that exist, and links that lead somewhere."""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from lymphct.cli import commands
from lymphct.cli.context import hoisted
from lymphct.cli.main import new_app
from lymphct.config import Config, described

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lymphct"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for folder, pattern in ((ROOT, "*.md"), (ROOT / "docs", "**/*.md"))
    for path in sorted(folder.glob(pattern))
    if "_build" not in path.parts
}
"""Every page, the README among them, by its path."""

NOT_THERE_YET = ("register", "prepare", "crossval", "compare")


def shown_commands(text: str) -> list[list[str]]:
    """Return the words of each `lymphct …` line in the shell examples of a page."""
    lines: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        lines += block.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [line for line in words if line[:1] == ["lymphct"]]


EXAMPLES = [(page, " ".join(words)) for page, text in PAGES.items() for words in shown_commands(text)]


def program() -> Any:
    """Return the parser of the whole command line."""
    app = new_app()
    commands.register(app)
    return typer.main.get_command(app)


def parsed(words: list[str]) -> list[str]:
    """Parse a command line without running it; return the words of the command it calls."""
    command, path, rest = program(), ["lymphct"], hoisted(words)
    context = command.make_context("lymphct", rest)
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]  # the parser keeps what it has not read there
        name, command, rest = command.resolve_command(context, rest)
        path.append(name)
        context = command.make_context(name, rest, parent=context)
    return path


def command_names(command: Any, path: str = "") -> list[str]:
    """Return every command as it is called, groups unfolded."""
    children = getattr(command, "commands", None)
    if children is None:
        return [path]
    return [name for child in children for name in command_names(children[child], f"{path} {child}".strip())]


def configuration() -> ModuleType:
    """Import docs/conf.py."""
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("page", "line"), EXAMPLES)
def test_every_command_shown_is_understood(page: str, line: str) -> None:
    assert len(parsed(shlex.split(line)[1:])) > 1, page


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--not-an-option"):
        parsed(["phantom", "OUT", "--not-an-option", "3"])


def test_the_readme_shows_every_command_once_at_least() -> None:
    shown = {" ".join(parsed(words[1:])[1:]) for words in shown_commands(PAGES["README.md"])}
    assert set(command_names(program())) - shown == set()


def test_commands_said_to_be_missing_are_missing() -> None:
    there = set(command_names(program()))
    section = PAGES["README.md"].split("## Not there yet")[1].split("##")[0]
    for name in NOT_THERE_YET:
        assert f"`{name}`" in section
        assert name not in there


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    folder = (ROOT / page).parent
    lost = [
        target
        for target in targets
        if "://" not in target and not (folder / target.partition("#")[0]).resolve().exists()
    ]
    assert lost == []


@pytest.mark.parametrize("page", PAGES)
def test_every_module_and_file_named_exists(page: str) -> None:
    lost = []
    for quoted in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", PAGES[page]):
        if re.fullmatch(r"lymphct(\.[A-Za-z_]+)+", quoted):
            lost += [] if _can_be_imported(quoted) else [quoted]
        elif re.fullmatch(r"[a-z_./]+/[a-z_.]+\.(py|yaml|html)", quoted):
            places = (PACKAGE / quoted, ROOT / quoted, ROOT / "docs" / quoted)
            lost += [] if any(place.exists() for place in places) else [quoted]
    assert lost == []


def _can_be_imported(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    return True


def test_every_module_of_the_reference_exists() -> None:
    named = [
        name
        for text in PAGES.values()
        for name in re.findall(r"^\.\. automodule:: (\S+)", text, re.MULTILINE)
    ]
    assert len(named) > 50
    for name in named:
        importlib.import_module(name)


def test_every_setting_shown_exists() -> None:
    known = {name for name, _, _ in described(Config())}
    groups = {".".join(name.split(".")[:depth]) for name in known for depth in range(1, 5)}
    heads = {name.split(".")[0] for name in known}
    for page, text in PAGES.items():
        for quoted in re.findall(r"`([a-z_]+\.[a-z_.]+)(?:=[^`]*)?`", text):
            if quoted.split(".")[0] in heads and not quoted.endswith((".py", ".csv", ".json")):
                assert quoted in known | groups, f"{page}: {quoted}"


def test_the_settings_page_lists_every_setting_with_its_source() -> None:
    text = configuration().settings_text()
    for name, _, source in described(Config()):
        group, _, last = name.rpartition(".")
        assert f"## {group}\n" in text
        assert f"| `{last}` |" in text
        assert source.replace("|", "\\|").replace("<", "\\<") in text


def test_the_commands_page_lists_every_command_and_option() -> None:
    text = configuration().commands_text()
    for name in command_names(program()):
        assert f"\n## {name}\n" in text
    for option in ("--venous", "--patient-id", "--phase-shift", "--seed", "--json", "--resume"):
        assert f"`{option}`" in text


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_folder_or_a_host_of_one_machine(page: str) -> None:
    found = re.findall(
        r"(?<![\w.])/(?:work|tmp|home|root|Users|mnt)/\S*|index-url|localhost|/simple\b", PAGES[page]
    )
    assert found == []


def test_the_quality_page_keeps_the_place_of_its_table() -> None:
    page = PAGES["docs/quality.md"]
    begin = page.index("<!-- quality table: written by benchmarks/phantom_quality.py -->")
    assert begin < page.index("<!-- end of the quality table -->")


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    index = PAGES["docs/decisions/index.md"]
    records = {name: text for name, text in PAGES.items() if re.match(r"docs/decisions/\d{4}-", name)}
    assert len(records) >= 13
    for name, text in records.items():
        stem = Path(name).stem
        assert f"\n{stem}\n" in index
        assert text.startswith(f"# {stem[:4]} ")
        for part in ("**Context.**", "**Choice.**", "**Consequence.**"):
            assert part in text, name


def test_decisions_named_in_the_code_exist() -> None:
    there = {name.split("/")[-1][:4] for name in PAGES if name.startswith("docs/decisions/0")}
    for path in PACKAGE.rglob("*.py"):
        for number in re.findall(r"decision (\d{4})", path.read_text("utf-8")):
            assert number in there, path.name
