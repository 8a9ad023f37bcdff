"""The command about this machine."""

from studio.cli.context import Context
from studio.cli.terminal import plain
from studio.machine.plugins import has_plugins
from studio.schema.report import MachineCheck


def doctor(context: Context) -> None:
    """Check this machine: memory, CPU, GPUs, libraries, starter models, plugins."""
    if has_plugins("tabs"):  # without plugins, the page and gradio need not be loaded
        from studio.ui.tabs.registry import TABS

        TABS.load()
    checks = context.studio.machine.check()
    ok = all(check.ok for check in checks if check.needed)
    context.answer({"ok": ok, "checks": checks}, lambda: _show(context, ok, checks))
    context.status = 0 if ok else 1


def _show(context: Context, ok: bool, checks: list[MachineCheck]) -> None:
    table = context.table("", "", "")
    for check in checks:
        state = "ok" if check.ok else "missing" if check.needed else "optional"
        table.add_row(state, plain(check.name), plain(f"{check.detail} {check.fix}" if not check.ok else check.detail))
    table.show_header = False
    context.out.print(table)
    context.say("This machine can train." if ok else "A required part is missing. See the list above.")
