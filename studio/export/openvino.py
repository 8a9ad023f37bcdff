"""Export to OpenVINO: the ONNX file as OpenVINO's own format (IR), for Intel CPUs and GPUs."""

import shutil
from pathlib import Path

from studio.export import agreement_check, onnx_agreement, onnx_snippets
from studio.export.agreement_check import ReferenceAnswers
from studio.export.base import ExportJob, Phase, TestResult
from studio.export.child_process import run_step
from studio.export.onnx import MODEL, PACKAGES, Onnx, lacking
from studio.inference.heads import head_of
from studio.schema.host import RunRef

FILE = "openvino_model.xml"
"""The graph, as Optimum names it. The weights are in openvino_model.bin beside it."""


class OpenVino(Onnx):
    """A folder with the OpenVINO files and the tokenizer."""

    format = "openvino"
    title = "OpenVINO"
    sentence = "Choose this for a server or a PC with an Intel CPU or GPU. The weights have 16 bits."
    library = "openvino"
    saved_as = "float16"
    extra_files = frozenset((".xml", ".bin"))
    quantizes = False

    def missing(self) -> str:
        """Return how to install the exporter and OpenVINO, if they are not here."""
        return lacking((*PACKAGES, "openvino"), "openvino")

    def size(self, run: RunRef) -> int:
        """Return the size of the files: two bytes for each parameter."""
        return 2 * run.info.parameters or run.info.bytes

    def write(self, job: ExportJob, to: Path) -> None:
        """Convert the weights that the chat uses to ONNX, and that file to OpenVINO."""
        super().write(job, to)
        task = {"source": str(to / MODEL), "to": str(to / FILE)}
        job.enter(Phase.QUANTIZING, "Writing the 16-bit weights")
        run_step("onnx_convert.py:convert_to_openvino", task, "This model could not be converted to OpenVINO.")
        shutil.rmtree((to / MODEL).parent)

    def compare(self, job: ExportJob, stage: Path, reference: ReferenceAnswers) -> TestResult:
        """Ask the model with OpenVINO, on the CPU."""
        results = onnx_agreement.answers_of(stage, (FILE,), job.run, reference)
        tested = agreement_check.compare(reference, results[FILE]["answers"], self.exact)
        sizes = {FILE: sum((stage / FILE).with_suffix(suffix).stat().st_size for suffix in (".xml", ".bin"))}
        problem = head_of(job.run.info, job.run.spec.data).problem
        return TestResult(tested, onnx_agreement.table(reference, results, sizes, problem))

    def snippet(self, run: RunRef, place: str) -> str:
        """Return code for OpenVINO."""
        return onnx_snippets.openvino(run, place, FILE)
