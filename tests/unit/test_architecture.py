"""The house as docs/background/architecture.md draws it: imports point down, and the shell starts fast."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "studio").rglob("*.py"))
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "gradio",
    "pandas",
    "pyarrow",
    "datasets",
    "bitsandbytes",
    "plotly",
    "sklearn",
    "huggingface_hub",
    "openpyxl",
    "numpy",
)
EDGES = {
    "studio.cli.main",
    "studio.export.litert_convert",  # a process, which names the layer of an error
    "studio.host.host",
    "studio.inference.template_process",  # a process, which tells the error of a template
    "studio.machine.plugins",  # code of installed packages, whose error becomes a sentence
    "studio.machine.process_main",  # a process, whose last line says it
    "studio.models.__main__",  # the way in of `make setup`
    "studio.models.search",  # a thread for each source, whose error must not hide the others
    "studio.models.starters.download",  # a thread, whose error the caller raises
    "studio.services.labeling.active_learning",  # a thread that has texts read
    "studio.services.models.service",  # a thread that downloads
    "studio.services.runners.zero_gpu",  # a thread, whose error is the reason of its run
    "studio.serving.__main__",  # a process, whose last line says it
    "studio.serving.gateway",  # a request, whose answer names an id of the log
    "studio.ui.jobs",  # a thread, whose error the page shows
    "studio.ui.http.error_routes",
    "studio.ui.monitor",  # a thread that reconciles runs and advances searches
    "studio.ui.http.security",  # a request, whose answer names an id of the log
    "studio.ui.shell",
    "studio.ui.http.chat_routes",  # a stream, whose last line says it
    "studio.ui.visitors.workspaces",  # a thread that repeats work, which may succeed the next time
    "studio.worker.rank",
    "studio.worker.run",
}
"""Where a process, a thread or a request ends: there an error that nobody foresaw becomes a sentence."""
OF_ANOTHER_PYTHON = {"studio.export.litert_convert"}
"""Files that only the Python of a tool's environment runs, in a process of its own."""
TRAINING = (
    "batching.collators",
    "batching.packed_attention",
    "batching.packing_check",
    "distributed.fsdp",
    "loop.baseline_replies",
    "loop.callbacks",
    "loop.first_batch",
    "loop.head_warmup",
    "loop.run",
    "loop.sample_replies",
    "losses.causal_lm",
    "losses.cpu_fast_path",
    "losses.log_probs",
    "losses.neftune",
    "optimizers.master_weights",
    "trainers.",
)
TRAINERS = tuple(f"studio.training.{name}" for name in TRAINING)
"""What subclasses the libraries' trainers or computes with tensors: a worker imports it when its turn has come."""
GRADIO_LAYER = ROOT / "studio" / "ui"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def loaded_after(code: str) -> set[str]:
    """Heavy libraries in memory after some code ran in a fresh process."""
    script = f"import sys\n{code}\nprint(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_layer_contract_is_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [each for each in MODULES if GRADIO_LAYER not in each.parents], ids=name_of)
def test_only_the_page_imports_gradio(path: Path) -> None:
    assert not {name for name in imports_of(path) if name.split(".")[0] in ("gradio", "gradio_client")}


@pytest.mark.parametrize("path", [each for each in MODULES if each.parent.name != "store"], ids=name_of)
def test_only_the_store_speaks_sql(path: Path) -> None:
    assert "sqlite3" not in imports_of(path)


@pytest.mark.slow
def test_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_after("import studio.cli; from studio.cli.app import entry; entry()") == set()


def test_everything_a_person_can_do_can_be_imported_without_torch_or_gradio() -> None:
    assert not loaded_after("import studio.api") & {"torch", "transformers", "peft", "trl", "gradio"}


@pytest.mark.slow
def test_importing_a_module_loads_nothing_heavy_but_for_the_page_and_the_trainers() -> None:
    names = [name_of(path) for path in MODULES if GRADIO_LAYER not in path.parents and path.name != "__main__.py"]
    names = [name for name in names if not name.startswith(TRAINERS) and name not in OF_ANOTHER_PYTHON]
    code = "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in names)
    assert not loaded_after(code) & {"torch", "transformers", "peft", "trl", "gradio", "datasets"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_owns_and_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)) or not text.strip()
    assert len(text.splitlines()) <= 400


@pytest.mark.parametrize("path", [each for each in MODULES if name_of(each) not in EDGES], ids=name_of)
def test_a_broad_except_stands_only_at_the_edges(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        broad = isinstance(node, ast.ExceptHandler) and (
            node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
        if broad:
            assert any(isinstance(each, ast.Raise) for each in ast.walk(node)), f"{path}:{node.lineno}"


def test_nothing_that_is_shipped_names_a_machine_or_work_left_to_do() -> None:
    left = re.compile(r"# ?(TODO|FIXME|XXX)\b|/(?:root|work|tmp)/|/home/(?!user\b|runner\b)[a-z]")
    attacks = ROOT / "docs" / "reference" / "attacks.md"  # it has the paths that were tried
    docs = [path for path in (ROOT / "docs").rglob("*.md") if path != attacks]
    for path in [*MODULES, ROOT / "README.md", *docs]:
        found = left.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found.group()}"
