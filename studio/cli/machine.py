"""The command about this machine."""

import typer

from studio.cli.context import Door, command
from studio.cli.terminal import plain
from studio.schema.report import MachineCheck

PANEL = "This machine"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "doctor", PANEL)
    def doctor(door: Door) -> None:
        """Look at this machine: memory, processors, GPUs, libraries, starter models."""
        checks = door.studio.doctor()
        ok = all(check.ok for check in checks if check.needed)
        door.answer({"ok": ok, "checks": checks}, lambda: _show(door, ok, checks))
        door.status = 0 if ok else 1


def _show(door: Door, ok: bool, checks: list[MachineCheck]) -> None:
    table = door.table("", "", "")
    for check in checks:
        state = "ok" if check.ok else "missing" if check.needed else "optional"
        table.add_row(state, plain(check.name), plain(f"{check.detail} {check.fix}" if not check.ok else check.detail))
    table.show_header = False
    door.out.print(table)
    door.say("This machine can train." if ok else "Something that is needed is missing: see above.")
