"""The cores of a run, of which it gives one up while a model host answers."""

from studio.machine.cores import give_up_core, take_back


class SharedCores:
    """The cores of the process that trains, or that starts the processes that do."""

    def __init__(self, threads: int = 0) -> None:
        """`threads` of this process; 0 means one for each core."""
        self._threads, self._gave_core = threads, False

    def share(self, hosts: int) -> None:
        """Give a core up when model hosts answer, and take it back when none does. Call it between two steps."""
        if hosts and not self._gave_core:
            self._gave_core = give_up_core(self._threads)
        elif not hosts:
            self.take_back()

    def take_back(self) -> None:
        """Take the core back. A process that this one starts, or becomes, inherits its cores."""
        if self._gave_core:
            take_back(self._threads)
            self._gave_core = False
