"""The registry of export formats. Add one as one file and one line here. torch is not imported here."""

from studio.export.adapter import Adapter
from studio.export.base import Exporter, ExportJob
from studio.export.merged import Merged
from studio.schema.errors import named

EXPORTS: dict[str, Exporter] = {exporter.format: exporter for exporter in (Adapter(), Merged())}


def export_named(name: str) -> Exporter:
    """Return the export format with this name. Raise `StudioError` with the nearest name if there is none."""
    return named(EXPORTS, name, "export format", field="format")


__all__ = ["EXPORTS", "ExportJob", "Exporter", "export_named"]
