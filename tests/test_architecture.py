"""The rules that keep the code readable, as tests: who may import whom, how long a thing may be."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisord_lite

ROOT = Path(supervisord_lite.__file__).parent
PACKAGE = "supervisord_lite"
MODULES = {
    ".".join((PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)): path
    for path in sorted(ROOT.rglob("*.py"))
}

# Imports point one way: each package, and what of ours it may import beside itself.
MAY_IMPORT = {
    "core": set(),
    "config": {"core"},
    "linux": set(),
    "keeper": {"linux"},
    "channels": {"core.channel", "core.handing", "core.spec", "linux"},
    "logs": {"core.log", "linux"},
    "manager": {"core", "keeper.protocol", "linux", "channels", "logs"},
    "control": {"core", "manager"},
    "client": set(),
    "cli": {"client", "config", "core", "daemon"},
}
PURE = {
    "collections",
    "collections.abc",
    "cronsim",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "typing",
    "zlib",
}
NEVER = {("os", "fork"), ("os", "forkpty"), ("socket", "recv_fds")}
NO_SUBPROCESS = ("manager", "logs", "channels", "control")
FORBIDDEN_NAMES = {"util", "utils", "common", "helpers", "base", "misc"}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; relative imports are not used."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def home(module: str) -> str:
    """The part of the program that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def is_allowed(module: str, imported: str) -> bool:
    inside = imported.removeprefix(f"{PACKAGE}.")
    if imported == PACKAGE or home(imported) == home(module):
        return True
    allowed = MAY_IMPORT.get(home(module))
    return allowed is None or any(
        inside == name or inside.startswith(f"{name}.") for name in allowed
    )


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    """A module imports only what its place in the layers allows."""
    ours = {name for name in imports_of(MODULES[module]) if name.split(".")[0] == PACKAGE}
    assert not [name for name in ours if not is_allowed(module, name)]


@pytest.mark.parametrize("module", [name for name in MODULES if home(name) == "core"])
def test_the_core_is_pure(module: str) -> None:
    """The core imports nothing that could do I/O, tell the time or surprise."""
    foreign = {name for name in imports_of(MODULES[module]) if name.split(".")[0] != PACKAGE}
    assert foreign <= PURE


@pytest.mark.parametrize("module", [name for name in MODULES if home(name) in ("keeper", "linux")])
def test_the_keeper_needs_the_standard_library_only(module: str) -> None:
    """The process that must not die carries nobody else's code, and no event loop."""
    roots = {name.split(".")[0] for name in imports_of(MODULES[module])} - {PACKAGE}
    assert roots <= sys.stdlib_module_names
    assert "asyncio" not in roots


@pytest.mark.parametrize("module", [name for name in MODULES if home(name) in NO_SUBPROCESS])
def test_only_the_keeper_makes_processes(module: str) -> None:
    """Nobody but the keeper imports subprocess."""
    assert "subprocess" not in set(imports_of(MODULES[module]))


@pytest.mark.parametrize("module", MODULES)
def test_nobody_forks_with_python_in_between(module: str) -> None:
    """No os.fork, no preexec_fn, and no socket.recv_fds, which leaks what it receives."""
    for node in ast.walk(tree_of(MODULES[module])):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in NEVER
        if isinstance(node, ast.keyword):
            assert node.arg != "preexec_fn"


def test_there_is_no_import_cycle() -> None:
    """Modules can be put in an order in which each comes after all that it imports."""
    needs = {
        module: {name for name in imports_at_the_top(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    while needs:
        ready = [module for module, needed in needs.items() if not needed & needs.keys()]
        assert ready, f"a cycle among {sorted(needs)}"
        for module in ready:
            del needs[module]


def imports_at_the_top(path: Path) -> Iterator[str]:
    """What is imported when the module is, without blocks for the type checker."""
    for node in tree_of(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_short_and_say_what_they_are(module: str) -> None:
    """At most 400 lines, opened by a docstring, under a name that means something."""
    text = MODULES[module].read_text()
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert module.rpartition(".")[2] not in FORBIDDEN_NAMES


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module: str) -> None:
    """At most 50 lines a function, at most 7 parameters a constructor."""
    for node in ast.walk(tree_of(MODULES[module])):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, f"{node.name} is long"
            if node.name == "__init__":
                arguments = [*node.args.args, *node.args.kwonlyargs]
                assert len(arguments) - 1 <= 7, f"line {node.lineno} takes many parameters"
