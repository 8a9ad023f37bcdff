"""Memory of a run with several processes, for each strategy to distribute it."""

from studio.schema.models import Estimate, ProcessMemory
from studio.schema.numbers import memory
from studio.ui.components.basic import fold, tag
from studio.ui.components.layout import scroll_table
from studio.ui.components.markup import Html, Verbatim, html

WHY = (
    "On one CPU, several processes are no faster than one, and each process loads the libraries. Use several processes "
    "with several GPUs, or for a model that is too large for one GPU. ZeRO-3 has all weights in each process for a "
    "moment at the start and at the end, so it saves no memory on a CPU."
)


def processes_panel(estimate: Estimate) -> Html:
    """A fold with a line for each strategy, with the chosen one marked."""
    lines = estimate.per_process
    if not lines:
        return Html("")
    chosen = next((line for line in lines if line.chosen), lines[0])
    heads = Html('<th>Strategy</th><th class="num">Per process</th><th class="num">In total</th>')
    table = scroll_table("Memory by process", heads, [_line(line) for line in lines], "processes")
    body = html(
        '{table}<p class="muted small">{why} <span>Choose it in All settings, Machine.</span></p>', table=table, why=WHY
    )
    words = f"{chosen.way}: {memory(chosen.process_bytes)}{' per process' if chosen.processes > 1 else ''}"
    return html('<section class="panel flush">{f}</section>', f=fold("Memory by process", words, body, key="processes"))


def _line(line: ProcessMemory) -> Html:
    off = line.unavailable_reason if not line.chosen else ""
    return html(
        '<tr><th scope="row">{way}<span class="muted">{count}</span> {mark}<small>{sentence}{off}</small></th><td '
        'class="num">{each}</td><td class="num">{all}</td></tr>',
        way=Verbatim(line.way),
        count=f", {line.processes} processes" if line.processes > 1 else "",
        mark=line.chosen and tag("chosen", "acc"),
        sentence=line.sentence,
        off=off and html("<br><span>Not available here:</span> <span>{why}</span>", why=off),
        each=_megabytes(line.process_bytes),
        all=_megabytes(line.memory_bytes),
    )


def _megabytes(count: int) -> str:
    """Megabytes, exact enough to show the difference between two strategies."""
    return f"{count / 2**20:,.0f} MB"
