"""Which sources a result is made by: those of the modules named, and of all they import, directly or not.

The sources are parsed, never run. An import counts wherever it stands: at the top, inside a function, or for
types only. A package counts as soon as something inside it is imported; the names it loads on first use
(`lymphct.core.lazy`) count for those who import them.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from lymphct.core.errors import UsageError

PACKAGE: Final = "lymphct"
PACKAGE_FOLDER = Path(__file__).parents[2]


def sources(*names: str) -> dict[str, Path]:
    """Return the files behind rooms or modules, by name: their modules and the data of their packages.

    Args:
        names: rooms ("imaging") or modules ("cascade.alignment"), closed over what they import; the whole
            package if there are none.

    Raises:
        UsageError: there is no such room or module.

    """
    files: set[Path] = set()
    for module in modules_behind(*names):
        file = _file(module)
        if file is not None:
            files.add(file)
        if module:  # the bundles beside the rooms are inputs of a result, not its code
            files.update(_data(PACKAGE_FOLDER.joinpath(*module.split("."))))
    return {file.relative_to(PACKAGE_FOLDER).as_posix(): file for file in sorted(files)}


def _data(folder: Path) -> Iterator[Path]:
    """Yield what lies in subfolders without modules, such as the templates of a page."""
    for inner in folder.iterdir() if folder.is_dir() else ():
        if inner.is_dir() and inner.name != "__pycache__" and not any(inner.glob("*.py")):
            yield from (file for file in inner.rglob("*") if file.is_file())


def modules_behind(*names: str) -> frozenset[str]:
    """Return the modules named and all they import, relative to the package; "" is the package itself.

    >>> "core.errors" in modules_behind("io.results.locks")
    True

    Raises:
        UsageError: there is no such room or module.

    """
    found: set[str] = set()
    met: set[str] = set()
    waiting = [module for name in names or ("",) for module in _named(name)]
    while waiting:
        reference = waiting.pop()
        if reference in met:
            continue
        met.add(reference)
        run, loaded_later = _resolved(reference)
        waiting += loaded_later
        for module in set(run) - found:
            found.add(module)
            waiting += _imports(_file(module)).references
    return frozenset(found)


def imported_by(*scripts: Path) -> tuple[str, ...]:
    """Return the modules that scripts outside the package import from it, for their recipes."""
    references = {reference for script in scripts for reference in _imports(script).references}
    return tuple(sorted({_resolved(reference)[0][-1] for reference in references}))


def _named(name: str) -> list[str]:
    """Return a module, or those of a room."""
    place = PACKAGE_FOLDER.joinpath(*name.split(".")) if name else PACKAGE_FOLDER
    if place.with_suffix(".py").is_file():
        return [name]
    modules = [file.relative_to(PACKAGE_FOLDER).with_suffix("") for file in place.rglob("*.py")]
    if not modules:
        msg = f"the package has no room or module {name!r}"
        raise UsageError(msg, cure="name a folder of the package, or a module as in 'cascade.alignment'")
    return [".".join(part for part in module.parts if part != "__init__") for module in modules]


def _resolved(reference: str) -> tuple[list[str], list[str]]:
    """Return the modules that run when a dotted name is imported, and what a package then loads for it."""
    run, rest = [""], reference.split(".") if reference else []
    while rest:
        inner = f"{run[-1]}.{rest[0]}".lstrip(".")
        if not _exists(inner):
            break
        run.append(inner)
        rest = rest[1:]
    homes = _imports(_file(run[-1])).homes
    if rest:
        return run, [homes[rest[0]]] if rest[0] in homes else []
    return run, list(homes.values())  # the package itself was imported: any of its names may be used


def _exists(module: str) -> bool:
    place = PACKAGE_FOLDER.joinpath(*module.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def _file(module: str) -> Path | None:
    """Return the source of a module; None for a folder without `__init__`."""
    place = PACKAGE_FOLDER.joinpath(*module.split(".")) if module else PACKAGE_FOLDER
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


@dataclass(frozen=True, slots=True)
class _Imports:
    """What one source imports from the package, relative to it.

    Attributes:
        references: dotted names of modules, or of what is inside them.
        homes: of the names a package loads on first use, the module that holds each.

    """

    references: frozenset[str] = frozenset()
    homes: Mapping[str, str] = field(default_factory=dict)


@cache
def _imports(source: Path | None) -> _Imports:
    if source is None:
        return _Imports()
    references: set[str] = set()
    homes: dict[str, str] = {}
    # What a package imports for types only is what it loads on first use; `homes` says so to those who ask.
    is_package = source.name == "__init__.py"
    for statement in _statements(ast.parse(source.read_bytes()), with_types=not is_package):
        if isinstance(statement, ast.Import):
            references.update(alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            module = _absolute(statement, source)
            references.update(f"{module}.{alias.name}".removesuffix(".*") for alias in statement.names)
        elif isinstance(statement, ast.Assign) and is_package:
            homes.update(_lazy_homes(statement.value))
    return _Imports(
        frozenset(_relative(name) for name in references if name.split(".")[0] == PACKAGE),
        {name: _relative(home) for name, home in homes.items()},
    )


def _statements(node: ast.AST, *, with_types: bool) -> Iterator[ast.stmt]:
    """Yield the statements of a source, those inside others included; expressions hold no import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and not with_types and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _statements(child, with_types=with_types)


def _absolute(statement: ast.ImportFrom, source: Path) -> str:
    module = statement.module or ""
    if not statement.level:
        return module
    folder = source.parents[statement.level - 1].relative_to(PACKAGE_FOLDER)
    return ".".join((PACKAGE, *folder.parts, module)).removesuffix(".")


def _lazy_homes(value: ast.expr) -> dict[str, str]:
    """Return the table that a package gives to `lazy_exports`."""
    match value:
        case ast.Call(func=ast.Name(id="lazy_exports"), args=[_, ast.Dict() as table]):
            return dict(ast.literal_eval(table))
        case _:
            return {}


def _relative(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")
