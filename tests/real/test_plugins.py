"""Plugins: a package outside the studio adds a task, a method, an export, a check, a file format, a runner and a tab.

A process that has the package is started with the package's folder on PYTHONPATH, as if it were installed. Most tests
ask one such process, because its imports take longer than what it is asked.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from studio.store import Home
from tests.forked import AFRESH

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "plugin_package"
ADDED = {
    "tasks": "limerick",
    "methods": "query-lora",
    "exports": "merged-float16",
    "checks": "shouting",
    "formats": "pipes",
    "runners": "gentle",
    "tabs": "notes",
}


ANSWER = "answer: "
SERVE = f"""
import contextlib, io, json, sys
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(json.loads(line), {{"__name__": "__main__"}})
    print({ANSWER!r} + said.getvalue().splitlines()[-1], flush=True)
"""
COMMAND = """
import contextlib, io, json, sys
from studio.cli.main import run
out, err, kept = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO(), sys.__stdout__
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    sys.__stdout__ = out  # where documents are written
    try:
        status = run({arguments!r})
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.__stdout__ = kept
print(json.dumps([status, out.buffer.getvalue().decode(), err.getvalue()]))
"""


def environment_with(folder: Path) -> dict[str, str]:
    """The variables of a process with the packages in a folder, which are imported afresh; the studio and the tests are
    importable too."""
    path = os.pathsep.join(map(str, (folder, ROOT, ROOT / "tests" / "real")))
    return {**os.environ, **AFRESH, "PYTHONPATH": path}


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages in a folder."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment_with(folder), check=False)


def answer_in(folder: Path, code: str) -> Any:
    """Run code in a process with the packages of a folder. Return the JSON that it prints last."""
    done = run_in(folder, "-c", dedent(code))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def answer_here(code: str) -> Any:
    """Run code in this process, which has no packages but its own. Return the JSON that it prints last."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(dedent(code), {"__name__": "__main__"})
    return json.loads(said.getvalue().splitlines()[-1])


def command_here(*arguments: str) -> tuple[int, str, str]:
    """Run a command of the studio in this process. Return its status, and what it writes to stdout and stderr."""
    status, out, err = answer_here(COMMAND.format(arguments=list(arguments)))
    return status, out, err


class Installed:
    """A process with the example package, which runs code and commands one after another."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder, self.log = folder, log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env=environment_with(folder),
            )

    def answer(self, code: str) -> Any:
        """Run code. Return the JSON that it prints last."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(dedent(code)) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
        raise AssertionError(self.log.read_text())

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command of the studio. Return its status, and what it writes to stdout and stderr."""
        status, out, err = self.answer(COMMAND.format(arguments=list(arguments)))
        return status, out, err


def package(folder: Path, name: str, entries: dict[str, str], source: str) -> Path:
    """A package as pip installs it, with one module. `entries` is kind → `name = object`."""
    info = folder / f"{name}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(
        "\n".join(f"[finetune_studio.{kind}]\n{line}" for kind, line in entries.items())
    )
    (folder / f"{name}.py").write_text(dedent(source))
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The example package, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder), str(PACKAGE)], check=True)
    made = Installed(folder, tmp_path_factory.mktemp("said") / "stderr")
    yield made
    made.process.communicate()  # it ends with its input


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_every_registry_has_the_built_in_objects_and_then_those_of_the_package(installed: Installed) -> None:
    code = """
        import json
        from studio.data.checks import CHECKS
        from studio.data.formats import FORMATS
        from studio.export import EXPORTS
        from studio.services.runners import RUNNERS
        from studio.tasks import TASKS
        from studio.training.methods import METHODS
        from studio.ui.tabs.registry import TABS
        registries = (TASKS, METHODS, EXPORTS, CHECKS, FORMATS, RUNNERS, TABS)
        print(json.dumps({each.kind: list(each) for each in registries}))
    """
    found, built_in = installed.answer(code), answer_here(code)
    for kind, name in ADDED.items():
        assert found[kind] == [*built_in[kind], name]


def test_the_page_has_the_tab_and_offers_the_task_and_the_method(installed: Installed, home: Path) -> None:
    code = f"""
        import json
        from pathlib import Path
        from studio.ui.app import blocks
        from studio.ui.visitors.session import Sessions
        from studio.ui.http.static import content
        from studio.ui.http.uploads import Uploads
        sessions = Sessions(Path({str(home)!r}), demo=True)
        page = blocks(sessions, Uploads(Path({str(home)!r})))
        tabs = [each["props"]["label"] for each in page.config["components"] if each["type"] == "tabitem"]
        catalog = sessions.root.catalog
        task = next(each for each in catalog.tasks("starter-chat") if each.name == "limerick")
        methods = [each.name for each in catalog.methods("starter-chat", "limerick") if not each.unavailable_reason]
        script = next(line for line in content("js").decode().splitlines() if "studioTabs =" in line)
        print(json.dumps([tabs, task.model_dump(mode="json"), methods, script]))
    """
    tabs, task, methods, script = installed.answer(code)
    assert tabs[-2:] == ["Runs", "Notes"]
    assert '["notes", "Notes", ""]' in script, "it names no help page"
    assert task["unavailable_reason"] == "" and task["reads_as"] == "each row is a subject and its limerick."
    assert "query-lora" in methods


def test_an_owner_chooses_the_runner_on_the_method_tab(installed: Installed, home: Path) -> None:
    code = f"""
        import json
        from pathlib import Path
        from studio.ui.visitors.session import ROLE, Sessions
        from studio.ui.tabs.method import plan, tab
        sessions = Sessions(Path({str(home)!r}))
        data = sessions.root.datasets.add_sample("support-tone")
        visit = sessions.visit({{}}, "one page", {{"value": "gentle"}})
        visit.choose(task="chat", model="starter-chat", dataset=data.id)
        answer = [plan.run_request(visit).runner, "This machine, gently" in str(tab.drawn(visit)[0])]
        tab.pick_runner(visit)
        editor = sessions.visit({{ROLE: "editor"}}, "one page")
        answer += [plan.run_request(visit).runner, plan.run_request(editor).runner]
        print(json.dumps([*answer, "gently" in str(tab.drawn(editor)[0])]))
    """
    assert installed.answer(code) == ["local", True, "gentle", "local", False]
    script = "from studio.api import Studio; print(len(Studio({!r}).catalog.runners()))"
    assert answer_here(script.format(str(home))) == 1, "without the package there is nothing to choose"


def test_the_command_line_names_them_and_the_settings_accept_them(installed: Installed, home: Path) -> None:
    words = " ".join(run_in(installed.folder, "-m", "studio", "train", "--help").stdout.split())
    for name in ("limerick", "query-lora", "psv", "--runner RUNNER", "local or gentle"):
        assert name in words
    assert "--runner" not in command_here("train", "--help")[1]
    assert "merged-float16" in installed.command("export", "--help")[1]
    rows = home / "rows.psv"
    lines = [f"a cat named {number}|There once was a cat named {number}." for number in range(39)]
    rows.write_text("\n".join(["subject|limerick", *lines, "a dog|THERE ONCE WAS A LOUD DOG"]), encoding="utf-8")
    _, out, _ = installed.command("check", str(rows), "--task", "limerick", "--home", str(home), "--json")
    report = json.loads(out)
    assert report["task"] == "limerick" and [each["kind"] for each in report["problems"]] == ["shouting"]
    asked = ("--task", "limerick", "--method", "query-lora", "--model", "starter-chat", "--lora-rank", "4")
    status, out, err = installed.command("estimate", str(rows), *asked, "--home", str(home), "--json")
    assert status == 0, err
    assert '"method": "query-lora"' in out
    checked = """
        import json
        from studio.schema.settings_check import config_from
        from studio.training.planning.setting_scope import applies
        config = config_from({"task": "limerick", "model": "starter-chat", "method": "query-lora", "lora-rank": 4})
        print(json.dumps([config.method, applies("lora_rank", config.method), applies("lora_targets", config.method)]))
    """
    assert installed.answer(checked) == ["query-lora", True, False]


def test_a_run_trains_with_the_runner_of_the_package(installed: Installed, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("question,answer\n" + "".join(f"Where is {n}?,Under stone {n}.\n" for n in range(40)))
    queue = Home(tmp_path).queue
    queue.enqueue("default", "another")  # has the turn, so the worker of this run waits and imports nothing
    assert queue.claim("another", os.getpid()) and queue.try_start("another")
    asked = ("--model", "starter-chat", "--max-steps", "1", "--runner", "gentle", "--detach", "--home", str(tmp_path))
    status, out, err = installed.command("train", str(rows), *asked)
    assert status == 0, err
    run = out.split()[-1]
    code = f"""
        import json
        from pathlib import Path
        from studio.api import Studio
        studio = Studio(Path({str(tmp_path)!r}))
        print(json.dumps([studio.runs.spec({run!r}).runner, studio.runs.runner_of({run!r}).title]))
        studio.runs.stop({run!r}, "discard")
    """
    assert installed.answer(code) == ["gentle", "This machine, gently"]
    status, _, err = command_here("train", str(rows), *asked)
    assert status == 2 and "There is no runner gentle" in err


def test_the_generated_docs_list_them(installed: Installed) -> None:
    code = """
        import json, sys
        sys.path.insert(0, "scripts")
        import docs
        print(json.dumps([docs.matrix(), docs.settings(), docs.commands()]))
    """
    matrix, settings, commands = installed.answer(code)
    for name in ("`limerick`", "`query-lora`", "`merged-float16`", "`shouting`", ".psv", "`gentle`", "Notes"):
        assert name in matrix, name
    assert "query-lora" in settings and "query-lora" in commands and "merged-float16" in commands


def test_the_method_trains_two_steps_and_its_export_is_loaded_again(installed: Installed, tmp_path: Path) -> None:
    code = f"""
        import json
        from pathlib import Path
        from made_runs import tiny_llama
        from safetensors import safe_open
        from small_trainings import losses, run
        from studio.export import export_named
        from studio.export.base import ExportJob
        from studio.inference.model_cache import ModelCache
        from studio.schema.config import TrainingConfig
        from studio.schema.dataset import DatasetSpec, SplitSpec
        from studio.schema.host import CardFacts, RunRef
        from studio.schema.runs import RunSpec
        from studio.training.loop.loading import TrainingJob
        folder = Path({str(tmp_path)!r})
        info = tiny_llama(folder / "base")
        rows = [{{"subject": f"cat {{n}}", "limerick": f"There once was a cat named {{n}}."}} for n in range(12)]
        data = DatasetSpec(task="limerick", roles={{"subject": "prompt", "limerick": "reply"}})
        config = TrainingConfig(
            task="limerick", model=info.name, method="query-lora", max_steps=2, max_length=128, precision="float32",
            learning_rate=0.01, warmup_share=0.0
        )
        outcome, events = run(TrainingJob(config, info, data, rows[:8], rows[8:], folder / "run", 1))
        with safe_open(outcome.path / "adapter_model.safetensors", "pt") as file:
            layers = sorted(file.keys())
        spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
        job = ExportJob(
            RunRef(info=info, spec=spec, folder=str(folder / "run")), CardFacts(run="r", name="r"), ModelCache(), False
        )
        done = export_named("merged-float16").export(job, folder / "out", lambda *_: None)
        print(json.dumps([len(losses(events)), layers, done.tested]))
    """
    steps, layers, tested = installed.answer(code)
    assert steps == 2
    assert layers and all(".q_proj." in name for name in layers)
    assert tested.startswith("Tested without the studio")


def test_a_run_of_a_plugin_that_is_gone_is_still_listed(installed: Installed, home: Path) -> None:
    make = f"""
        import json
        from pathlib import Path
        from studio.schema.config import TrainingConfig
        from studio.schema.dataset import DatasetSpec, SplitSpec
        from studio.schema.runs import RunSpec
        from studio.store import Home
        config = TrainingConfig(task="limerick", model="starter-chat", method="query-lora", name="kept")
        data = DatasetSpec(task="limerick", roles={{"subject": "prompt", "limerick": "reply"}})
        spec = RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())
        store = Home(Path({str(home)!r})).workspace().runs
        run = store.create(spec)
        store.set_status(run.id, "failed", "It was ended.")
        print(json.dumps(run.id))
    """
    run = installed.answer(make)
    for arguments in (("runs",), ("show", run), ("doctor",)):
        status, _, err = command_here(*arguments, "--home", str(home), "--json")
        assert status == 0 and "Traceback" not in err, err
    status, _, err = command_here("rerun", run, "--home", str(home))
    assert status == 2 and "no such" not in err and "Traceback" not in err


BROKEN: dict[str, tuple[dict[str, str], str, str]] = {
    "fails": ({"tasks": "odd = fails:Odd"}, "import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    "exits": ({"methods": "odd = exits:Odd"}, "raise SystemExit(3)", "SystemExit: 3"),
    "taken": (
        {"methods": "lora = taken:Own"},
        "from studio.training.methods.lora import LoRA\nclass Own(LoRA): pass",
        "this name is already used",
    ),
    "lacking": ({"exports": "odd = lacking:Odd"}, "class Odd: format = 'odd'", "it lacks card"),
    "strange": ({"tabs": "odd = strange:Odd"}, "class Odd: name = 'Two words'", "must have lower-case letters"),
    "other": ({"checks": "odd = other:Odd"}, "class Odd: kind = 'odd'", "it is not a subclass of"),
    "absent": ({"formats": "odd = absent:Odd"}, "", "AttributeError"),
}
"""Name of a package → its entry points, its module, and what the doctor says of it."""


def test_a_plugin_that_can_not_be_used_is_named_in_a_sentence_and_breaks_nothing(tmp_path: Path) -> None:
    for name, (entries, source, _) in BROKEN.items():
        package(tmp_path / "packages", name, entries, source)
    done = run_in(tmp_path / "packages", "-m", "studio", "doctor", "--home", str(tmp_path / "home"), "--json")
    answer = json.loads(done.stdout)
    assert answer["ok"] and done.returncode == 0
    told = [each["detail"] for each in answer["checks"] if each["name"] == "plugin"]
    assert len(told) == len(BROKEN)
    for name, (_, _, words) in BROKEN.items():
        sentence = next(each for each in told if f" of {name} 2.0 " in each)
        assert words in sentence and sentence.endswith(".") and "\n" not in sentence
        assert sentence in done.stderr, "it is in the log, too"
    assert "Traceback" not in done.stderr
    code = """
        import json
        from studio.training.methods import METHODS
        print(json.dumps([list(METHODS), type(METHODS["lora"]).__module__]))
    """
    names, module = answer_in(tmp_path / "packages", code)
    assert names.count("lora") == 1 and module == "studio.training.methods.lora"


def test_a_plugin_whose_one_module_imports_the_whole_studio_is_loaded(tmp_path: Path) -> None:
    source = """
        from studio.api import Studio
        from studio.tasks.completion import Completion
        from studio.training.methods import METHODS
        from studio.training.methods.lora import LoRA
        KNOWN = list(METHODS)
        class Poem(Completion):
            name = "poem"
        class Tiny(LoRA):
            name = "tiny-lora"
    """
    entries = {"tasks": "poem = whole:Poem", "methods": "tiny = whole:Tiny"}
    code = """
        import json
        from studio.tasks import TASKS
        names = list(TASKS)
        from studio.training.methods import METHODS
        from studio.machine.plugins import LOADED
        print(json.dumps([names[-1], list(METHODS)[-1], [each.problem for each in LOADED]]))
    """
    found = answer_in(package(tmp_path, "whole", entries, source), code)
    assert found[0] == "poem"
    assert found[1:] == ["tiny-lora", ["", ""]]
