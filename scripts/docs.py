"""Generates pages of docs/ from the code: settings, commands, errors, what works together, and parts of others.

python scripts/docs.py            write them
python scripts/docs.py --check    name the pages that are not current; status 1 if there is one
"""

import inspect
import sys
import typing
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import typer

from studio.api import Studio
from studio.cli.app import build
from studio.cli.help import explained
from studio.cli.main import FAILED, REFUSED, TRIED
from studio.cli.options import VALUES
from studio.data.checks import CHECKS
from studio.data.formats import FORMATS
from studio.data.samples import SAMPLES
from studio.export import EXPORTS
from studio.machine.facts import MachineFacts
from studio.schema.config import GROUPS, TrainingConfig, settings_of
from studio.schema.errors import CODES
from studio.schema.fields import about
from studio.schema.limits import Limits
from studio.schema.models import ModelInfo
from studio.schema.requests import RunRequest, SearchRequest
from studio.schema.settings_check import range_of
from studio.services.runners import RUNNERS
from studio.tasks import TASKS
from studio.training.methods import METHODS
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.presets import PRESETS
from studio.training.planning.setting_scope import methods_with, tasks_with
from studio.ui.tabs.registry import TABS

DOCS = Path(__file__).resolve().parent.parent / "docs"
FAMILIES = {
    "Llama": ("causal", "LlamaForCausalLM"),
    "Qwen": ("causal", "Qwen2ForCausalLM"),
    "GPT-2": ("causal", "GPT2LMHeadModel"),
    "BERT": ("encoder", "BertModel"),
    "RoBERTa": ("encoder", "RobertaModel"),
    "T5": ("seq2seq", "T5ForConditionalGeneration"),
    "BART": ("seq2seq", "BartForConditionalGeneration"),
}
"""Family → kind of model, and the class of one: what tests/real/test_matrix.py trains."""
LARGE = MachineFacts(cores=16, memory_total=2**37, memory_available=2**37, disk_free=2**40)
"""The page must not depend on the machine that generates it."""
MADE = "<!-- Made by scripts/docs.py: change the code, then run it. -->\n"


def settings() -> str:
    """The table of settings, from TrainingConfig."""
    lines = [
        MADE,
        "# Settings\n",
        "Every setting of a run. The studio works out what you do not set, from rows, model, method and machine. The",
        "Method tab and `studio estimate` show each value with its reason.\n",
        "A setting is a field under All settings, a flag of `studio train` and `studio estimate`",
        "(`--learning-rate 0.0001`), and a line of a file given with `--config` (`learning_rate: 0.0001`).\n",
        "The default applies when nothing better is known. Basic settings are in bold.",
        "[Choose a method and settings](../guides/choose-a-method.md) says what to change first.\n",
    ]
    for group, title in GROUPS.items():
        lines += [
            f"## {title}\n",
            "| setting | what it does | values | default | library name |",
            "|---|---|---|---|---|",
        ]
        for name in settings_of():
            field, words = TrainingConfig.model_fields[name], about(TrainingConfig, name)
            if words is None or words.group != group:
                continue
            shown = f"**`{name}`**" if words.level == "basic" else f"`{name}`"
            only = [f"only {', '.join(each)}" for each in (methods_with(name), tasks_with(name)) if each]
            unit = f", in {words.unit}" if words.unit else ""
            cells = (
                f"{shown}<br>{words.label}",
                " ".join([field.description or "", *(f"({each})" for each in only)]),
                range_of(name) + unit,
                _default(field.default),
                f"`{words.library}`" if words.library else "",
            )
            lines.append(_row(cells))
        lines.append("")
    return "\n".join(lines)


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "computed" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value) or "none"


def commands() -> str:
    """The reference of the command line, from the commands themselves."""
    group: Any = typer.main.get_command(build())
    lines = [
        MADE,
        "# Commands\n",
        f"{group.help}\n",
        "- `--home DIR` or `$STUDIO_HOME` chooses the data folder. By default it is a folder of the user.",
        "- With `--json`, a command prints one JSON document on stdout. Progress and notes go to stderr.",
        "- Exit status: 0 done, 1 tried and failed, 2 refused.",
        "- `--help` of a command shows each option with its default and its range in brackets.",
        "- RUN is a run's id, or `last`.",
        *(f"- {name}: {text}" for name, text in VALUES.items()),
        "",
    ]
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            lines += [f"## {name}\n", f"{each.help}\n"]
        for title, one in {f"{name} {sub}": one for sub, one in getattr(each, "commands", {}).items()}.items():
            lines += _command(title, one)
        if not hasattr(each, "commands"):
            lines += _command(name, each)
    return "\n".join(lines)


def _command(name: str, each: Any) -> list[str]:
    arguments = [p for p in each.params if p.param_type_name == "argument"]
    options = [p for p in each.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([f"studio {name}", *(_shown(p) for p in arguments), "[OPTIONS]"])
    lines = [f"## {name}\n", f"    {usage}\n", f"{each.help}\n", "| | |", "|---|---|"]
    own = [p for p in options if not (p.rich_help_panel or "").startswith("Settings")]
    lines += [_row((f"`{_shown(p)}`", explained(p))) for p in arguments]
    for option in own:
        flags = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
        lines.append(_row((flags, explained(option))))
    lines.append("")
    if len(own) < len(options):
        lines.append(
            "Every [setting](settings.md) is also a flag. `--help` shows the basic ones, `--help-all` the rest.\n"
        )
    examples = [line.strip(" `") for line in (each.epilog or "").splitlines() if line.strip(" `").startswith("studio ")]
    if examples:
        lines += ["```sh", *examples, "```\n"]
    return lines


def _shown(parameter: Any) -> str:
    name = parameter.name.upper()
    return name if parameter.required else f"[{name}]"


FIXES = {
    "bad-setting": "Change the setting to a value in the range that the message names.",
    "unknown-setting": "Check the spelling. [Settings](settings.md) lists all names.",
    "unknown-name": "Check the spelling. [What works together](matrix.md) lists all names.",
    "no-such-run": "List the runs with `studio runs`, and use an id from there, or `last`.",
    "no-such-dataset": "List the datasets with `studio data list`.",
    "no-such-row": "Rows are numbered from 1, without the header. Use a smaller number.",
    "no-such-sample": "Use one of the [samples](matrix.md#sample-data).",
    "unreadable-file": "Open the file in the program that made it, and save it again. Check its file extension.",
    "bad-line": "Correct the lines that the message names, or leave them out: `--leave-out bad-line`.",
    "unknown-format": "Save the data as CSV, Excel, JSON, JSON Lines, Parquet or text.",
    "sheet-unclear": "Choose a sheet: `--sheet NAME`.",
    "empty-data": "Check that the file has rows below its header.",
    "too-large": "Use a smaller file, or part of it. The owner of a demo can raise the limit.",
    "columns-unclear": "Say what a column is: `--map COLUMN=ROLE`.",
    "too-few-rows": "Add rows, or repair the rows that the check reports.",
    "too-many-labels": "Choose another column as label, or merge labels.",
    "no-network": "Check the network, and try again. The starters work without it.",
    "no-such-model": "Check the name on the Hub, or the path of the folder.",
    "gated-model": "Accept the terms on the model's page, then save a token with `studio token`.",
    "gated-dataset": "Accept the terms on the dataset's page, then save a token with `studio token`.",
    "unsafe-model": "Choose another model. If you trust its author: `studio trust MODEL`.",
    "broken-model": "Download the model again, or add the missing files to its folder.",
    "wrong-model": "Choose a model for the task: [What works together](matrix.md#methods-for-tasks-and-models).",
    "method-unavailable": "Choose another method. The message gives the reason.",
    "does-not-fit": "`studio estimate DATA --model MODEL --fit` finds settings that fit.",
    "disk-full": "Free disk space. `studio storage` shows what uses it. Then resume the run.",
    "out-of-memory": "Close other programs, or lower batch size and maximum length.",
    "wrong-state": "Look at the run with `studio show RUN`, and wait or resume it.",
    "not-allowed": "Ask the owner of the studio, or run your own.",
    "limit-reached": "Wait, delete something, or run your own studio. The page shows the limits.",
    "port-taken": "Use another port: `studio serve --port 7861`.",
    "password-needed": "Set `STUDIO_PASSWORD`, or listen on 127.0.0.1 only.",
    "format-unavailable": "Export the other format. The message gives the reason.",
    "host-gone": "Try again. If it happens again, free some memory, and look at the log.",
    "damaged-database": "Check that your runs and datasets are there. Keep the damaged file until you are sure.",
    "busy-database": "Close the other program. The data folder must be on a local disk.",
    "damaged-run": "Restore the run's folder from a backup, or run it again: `studio repeat RUN`.",
    "unexpected": "Read the log that the message names, and report it without private data.",
    "training-failed": "Read the log: `studio log RUN`.",
}
"""Code of an error → what to do about it."""


def errors() -> str:
    """The reference of errors: cause from schema.errors.CODES, and what to do."""
    lines = [
        MADE,
        "# Errors\n",
        "Each message says what happened, what was given, what is expected, and what to do. The page shows it beside",
        "the field or the rows. The command line prints it on stderr. Python code has it in `StudioError.code`.",
        "[Troubleshooting](../guides/troubleshooting.md) starts from symptoms.\n",
    ]
    for code, cause in CODES.items():
        status = FAILED if code in TRIED else REFUSED
        lines += [f"## {code}\n", f"**Cause.** {cause}\n", f"**Fix.** {FIXES[code]}\n", f"Exit status {status}.\n"]
    lines += [
        "## Errors without a code\n",
        "Page and command line print one sentence with a number. The details are in `HOME/logs/error-NUMBER.log`,",
        "without tokens. Exit status 1.\n",
    ]
    return "\n".join(lines)


def matrix() -> str:
    """What can be combined with what, from the registries."""
    lines = [
        MADE,
        "# What works together\n",
        "All tasks, methods, model families, optimizers, presets, formats, exports and runners, and what can be",
        "combined. The page shows what is unavailable, with the reason.\n",
        "## Tasks\n",
        "| task | what the model learns | term | columns (needed in bold) | metrics |",
        "|---|---|---|---|---|",
    ]
    for task in TASKS.values():
        roles = ", ".join(f"**{role.name}**" if role.required else role.name for role in task.roles)
        lines.append(_row((f"`{task.name}`", task.sentence, task.term, roles, ", ".join(task.metrics))))
    lines += ["\n## Methods\n", "| method | how the model learns | term | leaves |", "|---|---|---|---|"]
    lines += [
        _row((f"`{m.name}`", m.sentence, m.term, f"an {m.result}" if m.result == "adapter" else f"a {m.result}"))
        for m in METHODS.values()
    ]
    lines += [
        "\n## Methods for tasks and models\n",
        "Other families (Mistral, Gemma, DeBERTa …) behave like the most similar one here. `make test-matrix` trains",
        "each combination that says yes, on a tiny model of the family. The reasons are below the table.\n",
        "| task | family | " + " | ".join(METHODS) + " |",
    ]
    lines.append("|---" * (2 + len(METHODS)) + "|")
    reasons: list[str] = []
    for task in TASKS.values():
        for family, (kind, architecture) in FAMILIES.items():
            info = ModelInfo(
                name="x", title="x", source="folder", kind=kind, architecture=architecture, tasks=(task.name,)
            )  # type: ignore[arg-type]
            cells = [
                _numbered(task.unavailable_reason(info) or m.unavailable_reason(info, task, LARGE), reasons)
                for m in METHODS.values()
            ]
            lines.append(_row((f"`{task.name}`", family, *cells)))
    lines += ["", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))]
    lines += ["\n## Optimizers\n", "| optimizer | | in transformers |", "|---|---|---|"]
    lines += [_row((f"`{each.name}`", each.sentence, f"`{each.library}`")) for each in OPTIMIZERS.values()]
    lines += ["\n## Presets\n", "| preset | |", "|---|---|"]
    lines += [_row((f"`{each.name}`", f"{each.title}. {each.sentence}")) for each in PRESETS.values()]
    lines += ["\n## Formats\n", "| format | extensions |", "|---|---|"]
    lines += [_row((each.title, ", ".join(each.extensions))) for each in FORMATS.values()]
    lines += ["\n## Checks\n", ", ".join(f"`{kind}`" for kind in CHECKS) + "."]
    lines += ["\n## Sample data\n", "| sample | task | |", "|---|---|---|"]
    lines += [_row((f"`sample:{each.name}`", each.task, each.sentence)) for each in SAMPLES.values()]
    lines += ["\n## Exports\n", "| format | |", "|---|---|"]
    lines += [_row((f"`{name}`", f"{each.title}. {each.sentence}")) for name, each in EXPORTS.items()]
    lines += ["\n## Runners\n", "| runner | where runs train |", "|---|---|"]
    lines += [_row((f"`{name}`", f"{each.title}. {each.sentence}")) for name, each in RUNNERS.items()]
    lines += ["\n## Tabs of the page\n", ", ".join(tab.short_title for tab in TABS.values()) + "."]
    return "\n".join(lines) + "\n"


def _numbered(reason: str, reasons: list[str]) -> str:
    """A cell of the table: `yes`, or `no` with the number of its reason, which is added to the list."""
    if not reason:
        return "yes"
    if reason not in reasons:
        reasons.append(reason)
    return f"no ({reasons.index(reason) + 1})"


def _filled(page: str, name: str, content: str) -> str:
    """A hand-written page, with generated content between its comments `NAME: …` and `end of NAME`."""
    before, begin, rest = page.partition(f"<!-- {name}:")
    head, _, rest = rest.partition("\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    return f"{before}{begin}{head}\n\n{content}\n\n{end}{after}"


def security() -> str:
    """The page on security, with the table of a demo's limits from schema.limits."""
    rows = [
        _row((f"`{name}`", f"{field.default:,g}", field.description or ""))
        for name, field in Limits.model_fields.items()
    ]
    table = "\n".join(["| limit | default | what it limits |", "|---|---|---|", *rows])
    return _filled((DOCS / "background" / "security.md").read_text(encoding="utf-8"), "limits", table)


def python_api() -> str:
    """The page on the Python API, with requests and services from the code."""
    requests = []
    for request in (RunRequest, SearchRequest):
        fields = [
            _row((f"`{name}`", f"`{_type(field.annotation)}`", field.description or ""))
            for name, field in request.model_fields.items()
        ]
        requests += [f"### {request.__name__}\n", f"{inspect.getdoc(request)}\n", "| field | type | |", "|---|---|---|"]
        requests += [*fields, ""]
    services = []
    for name, service in inspect.getmembers(Studio, lambda member: isinstance(member, cached_property)):
        if name.startswith("_"):
            continue
        kind = typing.get_type_hints(service.func)["return"]
        services += [f"### studio.{name}\n", f"{inspect.getdoc(service.func)}\n", "| method | |", "|---|---|"]
        methods = inspect.getmembers(kind, inspect.isfunction)
        services += [
            _row((f"`{method}({_parameters(function)})`", (inspect.getdoc(function) or "").partition("\n\n")[0]))
            for method, function in methods
            if not method.startswith("_")
        ]
        services.append("")
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    page = _filled(page, "requests", "\n".join(requests).rstrip())
    return _filled(page, "services", "\n".join(services).rstrip())


def _parameters(function: Any) -> str:
    shown = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        plain = isinstance(parameter.default, str | int | float | bool | tuple | None)
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}" if plain else "=…"
        shown.append(f"{stars}{parameter.name}{default}")
    return ", ".join(shown)


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


PAGES: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/errors.md": errors,
    "reference/matrix.md": matrix,
    "background/security.md": security,
    "reference/python.md": python_api,
}


def stale() -> list[str]:
    """Names of pages that differ from what the code generates."""
    return [
        name
        for name, make in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    """Write the pages, or check them."""
    found = stale()
    if "--check" in sys.argv[1:]:
        for name in found:
            print(f"docs/{name} is not current: run make docs", file=sys.stderr)
        return 1 if found else 0
    for name in found:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
