"""Export to ONNX: a 32-bit and an 8-bit file, for ONNX Runtime in any language. The folder has the layout that Optimum
and Transformers.js read.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studio.export import agreement_check, onnx_agreement, onnx_snippets
from studio.export.agreement_check import ReferenceAnswers
from studio.export.base import Exporter, ExportJob, Phase, TestResult
from studio.export.child_process import run_step
from studio.export.folder import copy_tokenizer
from studio.export.merged import Merged
from studio.inference.heads import CLASSES, head_of
from studio.schema.host import RunRef

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MODEL, QUANTIZED = "onnx/model.onnx", "onnx/model_quantized.onnx"
"""The files, as Transformers.js names them."""
TITLES = {MODEL: "32-bit", QUANTIZED: "8-bit"}
CONVERSION = {
    "trace": (Phase.CONVERTING, "Converting the model to ONNX"),
    "save": (Phase.CONVERTING, "Writing the ONNX file"),
    "quantize": (Phase.QUANTIZING, "Writing the 8-bit file"),
}
"""What the converter reports → the phase of the export, and what it does."""
MOST_PARAMETERS = 450_000_000
"""Of a model whose 32-bit file is smaller than 2 GB, the most that one ONNX file can hold."""


def lacking(packages: tuple[str, ...], extra: str) -> str:
    """Return which packages of an extra are not installed and how to install them, or ""."""
    if all(find_spec(package) for package in packages):
        return ""
    install = f'python -m pip install "finetune-studio[{extra}]"'
    return (
        f"This format needs more packages. In the Python environment that runs the studio: {install}. "
        "Then restart the studio, and reload this page."
    )


@contextmanager
def converted(job: ExportJob, to: Path) -> Iterator[dict[str, Any]]:
    """Write the merged model beside the export, and give the task of a converter, which reads it.

    At the end the converted model gets its config, and the merged one is deleted.
    """
    merged = to / ".merged"
    merged.mkdir()
    Merged().write(job, merged)
    copy_tokenizer(job.run, merged)
    head = head_of(job.run.info, job.run.spec.data)
    yield {
        "folder": str(merged),
        "kind": CLASSES[head.name],
        "head": head.name,
        "pair": reads_two_texts(job.run),
        "trusted": job.run.trusted,
    }
    for name in ("config.json", "generation_config.json"):
        if (merged / name).exists():
            shutil.move(merged / name, to / name)
    shutil.rmtree(merged)


def reads_two_texts(run: RunRef) -> bool:
    """Return whether the model gets two texts, each marked."""
    return head_of(run.info, run.spec.data).name == "spans" or (
        run.info.kind == "encoder" and "second" in run.spec.data.roles.values()
    )


class Onnx(Exporter):
    """A folder with ONNX files and the tokenizer."""

    format = "onnx"
    title = "ONNX"
    sentence = "Choose this for an app in C#, Java, C++ or Python without PyTorch. A 32-bit and a smaller 8-bit file."
    library = "onnx"
    saved_as = "float32, and in int8"
    extra_files = frozenset((".onnx",))
    files = (MODEL, QUANTIZED)
    """The 32-bit file, and the 8-bit one."""
    quantizes = True
    """Whether it also writes an 8-bit file."""

    def unavailable_reason(self, run: RunRef) -> str:
        """Encoders and generative models up to 450 million parameters can be exported."""
        if run.info.kind == "seq2seq" or head_of(run.info, run.spec.data).name == "seq2seq":
            return "Models with an encoder and a decoder can't be exported to this format. Export the whole model."
        if run.info.parameters > MOST_PARAMETERS:
            return "This model is larger than one ONNX file can be (2 GB). Export the whole model."
        return Merged().unavailable_reason(run)

    def missing(self) -> str:
        """Return how to install the exporter and ONNX Runtime, if they are not here."""
        return lacking(PACKAGES, "onnx")

    def size(self, run: RunRef) -> int:
        """Return the size of both files: four bytes and one for each parameter."""
        return 5 * run.info.parameters or 3 * run.info.bytes

    def python(self, job: ExportJob) -> Path | None:
        """Return the Python of the runtime. None: that of the studio."""
        return None

    def write(self, job: ExportJob, to: Path) -> None:
        """Convert the weights that the chat uses, in a new process."""
        with converted(job, to) as task:
            task |= {"to": str(to / MODEL), "quantized": str(to / QUANTIZED) if self.quantizes else ""}
            failure = "This model could not be converted to ONNX."
            run_step("onnx_convert.py:convert", task, failure, progress=lambda name: job.enter(*CONVERSION[name]))

    def compare(self, job: ExportJob, stage: Path, reference: ReferenceAnswers) -> TestResult:
        """Ask both files with their runtime. The 32-bit file must agree; an 8-bit file that does not is deleted."""
        plain, quantized = self.files
        results = onnx_agreement.answers_of(stage, self.files, job.run, reference, self.python(job))
        tested = agreement_check.compare(reference, results[plain]["answers"], self.exact)
        problem = head_of(job.run.info, job.run.spec.data).problem
        sizes = {name: (stage / name).stat().st_size for name in results}
        comparison = onnx_agreement.table(reference, results, sizes, problem)
        if not onnx_agreement.is_good(reference, results[quantized]["answers"], problem):
            (stage / quantized).unlink()
            tested += " The 8-bit file differed too much, and was deleted."
        return TestResult(tested, comparison)

    def snippet(self, run: RunRef, place: str) -> str:
        """Return code for ONNX Runtime."""
        return onnx_snippets.onnxruntime(run, place, MODEL)
