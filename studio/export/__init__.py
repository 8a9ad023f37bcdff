"""The registry of export formats. Add one as one file and one line here, or as an installed plugin. torch is not
imported here."""

from studio.export.adapter import Adapter
from studio.export.base import Exporter, ExportJob
from studio.export.browser import Browser
from studio.export.gguf import Gguf, Ollama
from studio.export.litert import LiteRt
from studio.export.merged import Merged
from studio.export.onnx import Onnx
from studio.export.openvino import OpenVino
from studio.export.script import Notebook, Script
from studio.export.space import Space
from studio.machine.plugins import Registry, members_of
from studio.schema.errors import named

EXPORTS: Registry[Exporter] = Registry(
    "exports",
    (Adapter(), Merged(), Gguf(), Ollama(), Onnx(), Browser(), OpenVino(), LiteRt(), Space(), Script(), Notebook()),
    name_of=lambda exporter: exporter.format,
    needs=members_of(Exporter),
)


def export_named(name: str) -> Exporter:
    """Return the export format with this name. Raise `StudioError` with the nearest name if there is none."""
    return named(EXPORTS, name, "export format", field="format")


__all__ = ["EXPORTS", "ExportJob", "Exporter", "export_named"]
