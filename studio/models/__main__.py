"""`python -m studio.models` fetches the starter models. `make setup` runs it; it is quick when they are here."""

import sys
import time

from studio.models.starter_install import fetch_starter
from studio.models.starters import STARTERS, origin_of
from studio.schema.errors import StudioError


class Printer:
    """Progress as lines on stderr: a line when something new begins, then at most one a second."""

    def __init__(self) -> None:
        self._what, self._next = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Print, unless it was just said."""
        now = time.monotonic()
        if what == self._what and now < self._next and done < total:
            return
        if what == self._what and done == 0:
            return
        self._what, self._next = what, now + 1
        size = f" · {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        print(f"{what}{size}", file=sys.stderr, flush=True)


def main() -> int:
    """Fetch the starters and say where each is from."""
    try:
        for name in STARTERS:
            folder = fetch_starter(name, Printer())
            print(f"{name}: {(origin_of(name) or {})['says']} · {folder}", file=sys.stderr)
    except StudioError as error:
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. `make setup` begins again.", file=sys.stderr)
        return 1
    except Exception as error:  # the edge of the process
        print(f"The starter models could not be fetched: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run `make setup` again; if that does not help, report this line.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
