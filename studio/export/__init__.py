"""The registry of exports: a further form is one file and one line here. No torch at import."""

from studio.export.adapter import Adapter
from studio.export.base import Exporter, ExportJob
from studio.export.merged import Merged
from studio.schema.errors import named

EXPORTS: dict[str, Exporter] = {exporter.format: exporter for exporter in (Adapter(), Merged())}


def export_named(name: str) -> Exporter:
    """The export of that name, or a `StudioError` with the nearest one."""
    return named(EXPORTS, name, "export format", field="format")


__all__ = ["EXPORTS", "ExportJob", "Exporter", "export_named"]
