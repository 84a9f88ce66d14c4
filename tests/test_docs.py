"""The documentation shows commands that exist, names that exist, and links that lead somewhere."""

import importlib
import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lymphct.cli import commands
from lymphct.cli.context import GLOBAL_SWITCHES, GLOBAL_WITH_VALUE, hoisted
from lymphct.cli.epilogs import EXAMPLES as EPILOGS
from lymphct.cli.main import new_app, set_globals
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


def shown_commands(text: str) -> list[list[str]]:
    """Return the words of each `lymphct …` line in the shell examples of a page."""
    lines: list[str] = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        lines += block.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [line for line in words if line[:1] == ["lymphct"]]


EXAMPLES = [(page, " ".join(words)) for page, text in PAGES.items() for words in shown_commands(text)]


class Program:
    """The command line with its parser, whose commands only say that they were called."""

    def __init__(self) -> None:
        self.app = new_app()
        commands.register(self.app)
        self.called: list[tuple[str, ...]] = []
        if self.app.registered_callback is not None:
            self.app.registered_callback.callback = _mute(set_globals, lambda: None)
        self.commands = [*self._commands(self.app)]

    def _commands(self, app: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for command in app.registered_commands:
            words = (*path, str(command.name))
            assert command.callback is not None
            command.callback = _mute(command.callback, partial(self.called.append, words))
            yield words
        for group in app.registered_groups:
            assert group.typer_instance is not None
            yield from self._commands(group.typer_instance, (*path, str(group.name)))

    def understand(self, line: list[str]) -> tuple[str, ...]:
        """Parse the words behind `lymphct`; return the words of the command they call."""
        self.called.clear()
        outcome = CliRunner().invoke(self.app, hoisted(line), prog_name="lymphct")
        assert outcome.exit_code == 0, outcome.output
        return self.called[0]


def _mute(callback: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    @wraps(callback)  # the parser reads the options off the signature
    def say(*_: object, **__: object) -> None:
        then()

    return say


@pytest.fixture(scope="module")
def program() -> Program:
    return Program()


def configuration() -> ModuleType:
    """Import docs/conf.py."""
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("page", "line"), EXAMPLES)
def test_every_command_shown_is_understood(program: Program, page: str, line: str) -> None:
    assert program.understand(shlex.split(line)[1:]) in program.commands, page


def test_every_command_has_examples_that_are_understood(program: Program) -> None:
    assert {" ".join(words) for words in program.commands} <= set(EPILOGS)
    for words in program.commands:
        for line in EPILOGS[" ".join(words)]:
            name, *rest = shlex.split(line)
            assert name == "lymphct"
            assert program.understand(rest) == words


def test_the_help_of_every_command_shows_its_examples_and_every_global_option(program: Program) -> None:
    for words in program.commands:
        shown = CliRunner().invoke(program.app, [*words, "--help"], env={"COLUMNS": "160"}).output
        for line in EPILOGS[" ".join(words)]:
            assert f"\n    {line}\n" in shown
        listed = shown.split("Global options, before or after the command:")[1]
        for option in (*GLOBAL_WITH_VALUE, *GLOBAL_SWITCHES):
            assert re.search(rf"(^|[\s,]){option}\b", listed), (words, option)


def test_an_option_that_does_not_exist_would_be_noticed(program: Program) -> None:
    with pytest.raises(AssertionError, match="--not-an-option"):
        program.understand(["phantom", "OUT", "--not-an-option", "3"])


def test_the_readme_shows_every_command_once_at_least(program: Program) -> None:
    shown = {program.understand(words[1:]) for words in shown_commands(PAGES["README.md"])}
    assert set(program.commands) - shown == set()


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
            if quoted.split(".")[0] in heads and not quoted.endswith(
                (".py", ".csv", ".json", ".gz", ".html")
            ):
                assert quoted in known | groups, f"{page}: {quoted}"


def test_the_settings_page_lists_every_setting_with_its_source() -> None:
    text = configuration().settings_text()
    for name, _, source in described(Config()):
        group, _, last = name.rpartition(".")
        assert f"## {group}\n" in text
        assert f"| `{last}` |" in text
        assert source.replace("|", "\\|").replace("<", "\\<") in text


def test_the_commands_page_lists_every_command_and_option(program: Program) -> None:
    text = configuration().commands_text()
    for words in program.commands:
        assert f"\n## {' '.join(words)}\n" in text
    for option in ("--venous", "--patient-id", "--phase-shift", "--seed", "--json", "--resume"):
        assert option in text


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_folder_or_a_host_of_one_machine(page: str) -> None:
    found = re.findall(
        r"(?<![\w.])/(?:work|tmp|home|root|Users|mnt)/\S*|index-url|localhost|/simple\b", PAGES[page]
    )
    assert found == []


def test_the_quality_page_keeps_the_place_of_its_table() -> None:
    page = PAGES["docs/quality.md"]
    assert page.index("<!-- quality:begin -->") < page.index("<!-- quality:end -->")


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


def python_blocks(text: str) -> list[str]:
    """Return the Python examples of a page, in order."""
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_page_on_python_runs_from_top_to_bottom_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(PAGES["docs/python.md"])
    assert len(blocks) > 5
    session: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), session)  # noqa: S102 - the page is ours
        printed = capsys.readouterr().out.splitlines()
        promised = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
        assert [line for line in printed if line in promised] == promised
    assert (tmp_path / "results/phantom-20-0000/report.html").stat().st_size > 10_000
    assert repr(session["prediction"]).startswith("Prediction(probability of LN metastasis 0.")


def test_decisions_named_in_the_code_exist() -> None:
    there = {name.split("/")[-1][:4] for name in PAGES if name.startswith("docs/decisions/0")}
    for path in PACKAGE.rglob("*.py"):
        for number in re.findall(r"decision (\d{4})", path.read_text("utf-8")):
            assert number in there, path.name
