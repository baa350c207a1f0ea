"""What the packages offer is exactly what they say, and their files are laid out as the architecture says."""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["calliope", "crdts", "replication"]
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
THIRD_PARTY = {
    "aiohttp", "anyio", "apsw", "click", "cronsim", "hypothesis", "msgpack", "msgspec", "nats", "psycopg", "pytest",
    "rich", "sqlalchemy", "trio", "typing_extensions", "zeroconf",
}  # fmt: skip
VAGUE = {"base", "common", "helper", "helpers", "impl", "misc", "shared", "types", "util", "utils"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


@pytest.mark.parametrize(
    "package",
    [
        "calliope",
        "calliope.domain",
        "calliope.domain.testing",
        "calliope.flow",
        "calliope.testing",
        "crdts",
        "crdts.testing",
        "replication.testing",
        "replication",
    ],
)
def test_all_is_exactly_the_public_names(package):
    module = importlib.import_module(package)
    offered = {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(offered) == sorted(getattr(module, "__all__", []))


def test_what_a_user_needs_is_importable_from_the_front():
    names = set(importlib.import_module("calliope").__all__)
    assert {"Journal", "Source", "Flow", "Sink", "event", "upcast", "ExpectedVersionError"} <= names


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_says_what_lives_in_it_and_has_a_name_that_does(path):
    assert not VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nothing_is_imported_inside_a_function(path):
    functions = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [name for function in functions for node in ast.walk(function) for name in _imported_names(node)] == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_are_absolute_and_of_declared_packages(path):
    names = [name for node in ast.walk(ast.parse(path.read_text())) for name in _imported_names(node)]
    roots = {name.split(".")[0] for name in names}
    assert roots <= set(sys.stdlib_module_names) | set(PACKAGES) | THIRD_PARTY
    assert "TYPE_CHECKING" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_pytest_and_hypothesis_are_needed_by_the_test_kits_only(path):
    names = [name for node in ast.walk(ast.parse(path.read_text())) for name in _imported_names(node)]
    roots = {name.split(".")[0] for name in names}
    assert "testing" in path.parts or not roots & {"pytest", "hypothesis"}
