"""This machine, as the page and the command line show it."""

from studio.data.checks import CHECKS
from studio.data.formats import FORMATS
from studio.export import EXPORTS
from studio.machine.doctor import check_machine, check_plugins
from studio.machine.facts import MachineFacts, machine_facts
from studio.models import check_starters
from studio.schema.report import MachineCheck
from studio.services.context import Context
from studio.services.runners import RUNNERS
from studio.tasks import TASKS
from studio.training.methods import METHODS


class Machine:
    """This machine."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def facts(self) -> MachineFacts:
        """Memory, cores and GPUs."""
        return machine_facts()

    def check(self) -> list[MachineCheck]:
        """Checks of this machine: what may prevent a run, each with a fix."""
        for registry in (TASKS, METHODS, EXPORTS, CHECKS, FORMATS, RUNNERS):
            registry.load()
        return [*check_machine(self.context.home.root), *check_starters(), *check_plugins()]
