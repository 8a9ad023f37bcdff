"""Owns: that searches go on though nobody looks at them: the server looks, every few seconds, from its start on.

At rest that is one look into a folder of the home. In a demo the searches of all visitors are looked at.
"""

import logging
import threading

from studio.api import Studio

LOOK_SECONDS = 3.0
END_SECONDS = 5.0
"""How long the end of the server waits for a look that has begun."""
_log = logging.getLogger("studio.ui")


class SearchMonitor:
    """A thread that looks at each search at work, as long as the `with` lasts."""

    def __init__(self, root: Studio, seconds: float = LOOK_SECONDS) -> None:
        self._root, self._seconds = root, seconds
        self._over = threading.Event()
        self._studios: dict[str, Studio] = {}
        """Workspaces with a search at work; others are let go, with their connections."""
        self._failed: dict[tuple[str, str], str] = {}
        self._thread = threading.Thread(target=self._go, name="studio searches", daemon=True)

    def __enter__(self) -> "SearchMonitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(END_SECONDS)

    def _go(self) -> None:
        while not self._over.is_set():
            self._look()
            self._over.wait(self._seconds)

    def _look(self) -> None:
        """Look at each once; one that can't be looked at keeps no other from it, and is told in the log once."""
        try:
            found = self._root.searches_at_work()
        except OSError:
            _log.exception("The searches at work can't be listed.")
            return
        self._studios = {name: studio for name, studio in self._studios.items() if name in dict(found)}
        self._failed = {key: said for key, said in self._failed.items() if key in found}
        for workspace, search in found:
            if self._over.is_set():
                return
            try:
                if workspace not in self._studios:
                    self._studios[workspace] = self._root.visitor(workspace)
                self._studios[workspace].search(search)
                self._failed.pop((workspace, search), None)
            except Exception as error:
                if self._failed.get((workspace, search)) != repr(error):
                    _log.exception("The search %s can't go on.", search)
                self._failed[workspace, search] = repr(error)
