"""Export as a Hugging Face Space: a page for the model, on a free GPU (ZeroGPU) or on a CPU.

The page itself is assets/spaces/app.py, the same for all models. What differs is data in space.json, so that no name or
label becomes code.
"""

import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import studio
from studio.export import agreement_check
from studio.export.adapter import Adapter
from studio.export.base import Exporter, ExportJob, TestResult
from studio.export.card import escape, license_fields, one_line
from studio.export.folder import TAG, copy_tokenizer, write_json
from studio.export.merged import Merged
from studio.export.snippets import NEW_TOKENS, PROMPT, TEXT
from studio.inference.base_and_tuned import precision_of
from studio.inference.generate import end_tokens
from studio.inference.heads import CLASSES, head_of, takes_conversations, variant_of
from studio.inference.load import mergeable
from studio.schema.exports import ExportChoice, ExportOption
from studio.schema.host import RunRef
from studio.schema.report import Usage
from studio.tasks import task_named

MARKS = ("\u27e61\u27e7", "\u27e62\u27e7")
"""They stand for the texts of a user in the template of the model's input."""
PAIRS = {"second": ("First text", "Second text"), "context": ("Question", "Passage")}
"""Role of a second text → the labels of both fields."""
PYTHON = "3.12"
ZERO_GPU = "torch>=2.8,<2.12"
"""The versions of torch that ZeroGPU has."""
CPU_WHEELS = "--extra-index-url https://download.pytorch.org/whl/cpu"


class Space(Exporter):
    """A folder that is a Gradio Space."""

    format = "space"
    title = "Space"
    sentence = "Choose this to show the model to others online. A web page on Hugging Face, on a free GPU or on a CPU."
    library = "gradio"
    extra_files = frozenset((".py",))
    has_tokenizer_files = False

    def unavailable_reason(self, run: RunRef) -> str:
        """A Space needs a merged model, or a base model that is on the Hub, and it runs no code of a model."""
        if run.trusted:
            return "The base model needs code of its own or pickled weights, which the page of a Space does not load."
        adapter = Path(run.folder) / "adapter"
        if adapter.exists() and not mergeable(adapter) and not run.info.hub_id:
            return "The adapter can't be merged, and its base model is not on the Hub, so a Space can't load it."
        return ""

    def size(self, run: RunRef) -> int:
        """Return the size of the model in it."""
        return _inside(run).size(run)

    def options(self, run: RunRef) -> tuple[ExportOption, ...]:
        """Return where the Space runs."""
        zero = ExportChoice(value="zerogpu", title="ZeroGPU", sentence="Free for personal accounts.")
        cpu = ExportChoice(value="cpu", title="CPU", sentence="Needs a paid plan, and has no daily limit.")
        return (ExportOption(name="hardware", title="Hardware", choices=(zero, cpu)),)

    def write(self, job: ExportJob, to: Path) -> None:
        """Write the page, its settings, its requirements and the model."""
        model, inside = to / "model", _inside(job.run)
        model.mkdir()
        inside.write(job, model)
        copy_tokenizer(job.run, model)
        (to / "app.py").write_bytes(_page().read_bytes())
        write_json(to / "space.json", settings(job, inside.format == "adapter"))
        lines = requirements(job.options["hardware"] == "zerogpu", inside.format == "adapter")
        (to / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def compare(self, job: ExportJob, stage: Path, reference: agreement_check.ReferenceAnswers) -> TestResult:
        """Compare the answers of the model in the Space with those of the chat."""
        return _inside(job.run).compare(job, stage / "model", reference)

    def card(self, job: ExportJob, result: TestResult) -> str:
        """Return README.md, whose front matter is the Space's configuration."""
        import yaml

        front = yaml.safe_dump(configuration(job), sort_keys=False, allow_unicode=True)
        # The comment lets a later export replace this one (folder.check_target). The Hub ignores it.
        marked = front + f"# library_name: {self.library}\n"
        info = job.run.info
        revision = f", revision `{info.revision}`" if info.revision else ""
        parts = [
            f"# {escape(job.facts.name or job.facts.run)}",
            f"A page for a model that was fine-tuned with Fine-tune Studio. {result.tested}",
            f"Base model: {escape(info.hub_id or info.title)}{revision}. License: {escape(info.licence) or 'unknown'}.",
            "Upload this folder as a Space from the Export tab of the studio, or with "
            "`studio push RUN OWNER/NAME --format space`.",
        ]
        return f"---\n{marked}---\n\n" + "\n\n".join(parts) + "\n"

    def snippet(self, run: RunRef, place: str) -> str:
        """Return code that asks the Space's page."""
        ask = f'client.predict("{PROMPT}", {NEW_TOKENS}, api_name="/chat")'
        if not _is_chat(run):
            texts = ", ".join(f'"{TEXT}"' for _ in fields(run))
            ask = f'client.predict({texts}, api_name="/predict")'
        return f"""from gradio_client import Client

client = Client("OWNER/NAME")
print({ask})
"""

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]:
        """Return how to try the page on this machine, and how to ask it from a program."""
        here = f"cd {shlex.quote(place)}\npip install gradio --requirement requirements.txt\npython app.py"
        return (
            Usage(title="Python", language="python", code=self.snippet(run, place).strip()),
            Usage(title="On this machine", language="sh", code=here),
        )


def settings(job: ExportJob, adapter: bool) -> dict[str, Any]:
    """Return what the page has to know about the model."""
    run, info = job.run, job.run.info
    pair, head = job.model_cache.pair(run), head_of(run.info, run.spec.data)
    base = info.hub_id or info.title
    labels = list(head.labels)
    template = pair.task.model_input("\n\n".join(MARKS[: len(fields(run))]), pair.encoding())
    return {
        "title": job.facts.name or job.facts.run,
        "heading": f"Fine-tuned from {escape(base)} with Fine-tune Studio. Its answers can be wrong.",
        "class": CLASSES[head.name],
        "head": head.name,
        "problem": head.problem,
        "adapter": adapter,
        "base": info.hub_id or None,
        "revision": info.revision or "main",
        "precision": precision_of(run),
        "labels": labels,
        "fields": list(fields(run)),
        "marks": list(MARKS[: len(fields(run))]),
        "template": template,
        "turns": takes_conversations(run.spec.data),
        "max_length": run.spec.config.max_length,
        "ends": sorted(end_tokens(pair.tuned, pair.tokenizer)) if head.generates else [],
        "pad": pair.tokenizer.pad_token_id,
    }


def configuration(job: ExportJob) -> dict[str, Any]:
    """Return the metadata of the Space."""
    info, zero = job.run.info, job.options["hardware"] == "zerogpu"
    front: dict[str, Any] = {
        "title": one_line(job.facts.name or job.facts.run)[:80],
        "colorFrom": "blue",
        "colorTo": "gray",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": PYTHON,
        "app_file": "app.py",
        "suggested_hardware": "zero-a10g" if zero else "cpu-basic",
        "short_description": "A fine-tuned model beside its base model" if _is_chat(job.run) else "A fine-tuned model",
        **license_fields(info.licence),
    }
    if info.hub_id:
        front["models"] = [info.hub_id]
    return front | {"tags": [TAG, job.run.spec.config.task]}


def requirements(zero_gpu: bool, adapter: bool) -> list[str]:
    """Return the lines of requirements.txt: the versions that the export was tested with. The SDK installs gradio."""
    names = ["transformers", "safetensors", "sentencepiece", *(["peft"] if adapter else [])]
    pinned = [f"{name}=={version(name)}" for name in names]
    if zero_gpu:
        return ["spaces", ZERO_GPU, *pinned]
    return [CPU_WHEELS, f"torch=={version('torch').partition('+')[0]}", *pinned]


def fields(run: RunRef) -> tuple[str, ...]:
    """Return the labels of the fields for the model's input: one or two."""
    roles = set(run.spec.data.roles.values())
    for role, labels in PAIRS.items():
        if role in roles and task_named(run.spec.config.task).name in ("classification", "question-answering"):
            return labels
    return ("Text",)


def _is_chat(run: RunRef) -> bool:
    return variant_of(run.info, run.spec.data).head in ("text", "seq2seq") and len(fields(run)) == 1


def _inside(run: RunRef) -> Exporter:
    """The export whose files are in the Space.

    An adapter is small. But the starters' weights differ from those on the Hub, where the Space loads the base model.
    """
    has_adapter = (Path(run.folder) / "adapter").exists()
    merges = not has_adapter or mergeable(Path(run.folder) / "adapter")
    return Adapter() if has_adapter and run.info.hub_id and not (run.info.note and merges) else Merged()


def _page() -> Path:
    """The page's code, in the installed package or in the checkout."""
    package = Path(studio.__file__).parent
    folders = (package / "assets", package.parent / "assets")
    return next(folder for folder in folders if folder.is_dir()) / "spaces" / "app.py"
