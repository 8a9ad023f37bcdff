"""The help of a command: a line for each argument and option, with its effect, its default and its valid values."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from studio.cli.options import VALUES
from studio.cli.read_options import PANEL as READING_PANEL
from studio.cli.settings import PANEL, long_choices
from studio.schema.config import GROUPS

if TYPE_CHECKING:
    from rich.console import Console

ALL = "studio.help_all"
"""Key in the `meta` of a click context: whether the help shows all settings, not only the basic ones."""
WIDTH = 100
"""Columns of the help when it is printed to a file or another program."""
DEFAULTS = "Preset, model, rows and machine can change a default: studio estimate shows the values of a run."
PLACEHOLDERS = {"int": "N", "float": "N", "path": "PATH", "str": "TEXT"}


def _print_all(ctx: typer.Context, requested: bool) -> None:
    if requested:
        ctx.meta[ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HelpAll = Annotated[
    bool, typer.Option("--help-all", callback=_print_all, is_eager=True, help="Show all settings and exit.")
]


class HelpCommand(TyperCommand):
    """A command that prints its own help, because the panels of typer have no space for a line per option."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for each in self.params:
            if each.param_type_name == "argument" and each.metavar is None:
                each.metavar = each.name.upper()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print usage, description, a panel for each group of options, their values, and examples."""
        from rich.padding import Padding
        from rich.text import Text

        console, everything = _console(), bool(ctx.meta.get(ALL))
        visible = self._shown(ctx, everything)
        paragraphs = [" ".join(each.split()) for each in (self.help or "").split("\n\n")]
        console.print(Padding(Text("\n\n".join([self.get_usage(ctx), *paragraphs])), (1, 1)))
        for title, parameters in _panels(visible, everything).items():
            _print_panel(console, title, {_name(each, ctx): explained(each) for each in parameters})
        used = {each.metavar for each in visible}
        _print_panel(console, "Values", {name: text for name, text in _values().items() if name in used})
        foot = [DEFAULTS, ""] if any(map(is_setting, self.params)) else []
        if more := sum(is_setting(each) and each not in visible for each in self.params):
            foot.insert(0, f"{more} more settings: {ctx.command_path} --help-all")
        foot += (self.epilog or "").split("\n\n")
        console.print(Padding(Text("\n".join(foot)), (0, 1)))

    def _shown(self, ctx: Any, everything: bool) -> list[Any]:
        """The parameters in the help. A command with settings has rare ones, which `--help-all` adds."""
        parameters: list[Any] = list(self.get_params(ctx))
        if everything:
            return [each for each in parameters if is_setting(each) or not each.hidden]
        rare = READING_PANEL if any(map(is_setting, parameters)) else None
        return [each for each in parameters if not each.hidden and _panel_of(each) != rare]


def is_setting(parameter: Any) -> bool:
    """Whether an option is a setting of a run."""
    return _panel_of(parameter).startswith(PANEL)


def _panel_of(parameter: Any) -> str:
    return parameter.rich_help_panel or ("Arguments" if parameter.param_type_name == "argument" else "Options")


def _panels(parameters: Sequence[Any], everything: bool) -> dict[str, list[Any]]:
    """Title → parameters. All settings are grouped as on the page, the basic ones of a group first."""
    panels = defaultdict[str, list[Any]](list)
    for each in parameters:
        panels[PANEL if is_setting(each) and not everything else _panel_of(each)].append(each)
    order = ["Arguments", "Options", *(f"{PANEL}: {title.lower()}" for title in GROUPS.values())]
    titles = sorted(panels, key=lambda title: order.index(title) if title in order else len(order))
    return {title: sorted(panels[title], key=lambda each: each.hidden) for title in titles}


def _name(parameter: Any, ctx: Any) -> str:
    """An argument, or an option with a placeholder for its value: `--[no-]packing`, `--epochs N`."""
    if parameter.param_type_name == "argument":
        return str(parameter.display_name_raw)
    flags = ", ".join(parameter.opts)
    if parameter.secondary_opts:
        other = parameter.secondary_opts[0]
        return f"--[no-]{flags[2:]}" if other == f"--no-{flags[2:]}" else f"{flags}/{other}"
    if parameter.is_flag:
        return flags
    kind = parameter.display_type(ctx).strip("<>").removeprefix("list[").removesuffix("]").removesuffix(" range")
    return f"{flags} {parameter.metavar or PLACEHOLDERS.get(kind, kind.upper())}"


def explained(parameter: Any) -> str:
    """The help of a parameter with its default and range."""
    limits = "" if is_setting(parameter) else _range(parameter.min, parameter.max)
    repeatable = "repeatable" if _is_repeatable(parameter) else ""
    facts = "; ".join(filter(None, [_default(parameter), limits, repeatable]))
    return f"{parameter.help or ''}{f' [{facts}]' if facts else ''}"


def _is_repeatable(parameter: Any) -> bool:
    return bool(getattr(parameter, "multiple", False))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default, is_flag = parameter.default, getattr(parameter, "is_flag", False)
    if isinstance(parameter.show_default, str):
        return f"default: {parameter.show_default}"
    if not parameter.show_default or (is_flag and not parameter.secondary_opts) or _is_repeatable(parameter):
        return ""
    if is_flag:
        return f"default: {(parameter.opts if default else parameter.secondary_opts)[0]}"
    return f"default: {default:g}" if isinstance(default, int | float) else f"default: {default or 'none'}"


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{low:,} or more" if low is not None else f"up to {high:,}" if high is not None else ""
    return f"{low:,} to {high:,}"


def _values() -> Mapping[str, str]:
    """Placeholder → what can be given for it."""
    return {**VALUES, **long_choices()}


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=WIDTH)


def _print_panel(console: "Console", title: str, rows: Mapping[str, str]) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    for name, line in rows.items():
        table.add_row(Text(name), Text(line))
    console.print(Panel(table, title=title, title_align="left", border_style="dim"))
