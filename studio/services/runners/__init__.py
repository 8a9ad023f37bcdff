"""Where a run runs: one module a place, each starting the same `studio.worker`. A further place is one line here."""

from studio.services.runners.local import LocalRunner

RUNNERS = {"local": LocalRunner}
