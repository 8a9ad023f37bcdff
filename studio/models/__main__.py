"""`python -m studio.models` downloads the starter models, unless they are present. `make setup` runs it."""

import sys
import time

from studio.models.starters import STARTERS, origin_of
from studio.models.starters.install import fetch_starter
from studio.schema.errors import StudioError


class Printer:
    """Prints progress to stderr: a line when a new step begins, then at most one per second."""

    def __init__(self) -> None:
        self._current, self._next_time = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Print a line if a second has passed, the step is new, or it is complete."""
        now = time.monotonic()
        if what == self._current and now < self._next_time and done < total:
            return
        if what == self._current and done == 0:
            return
        self._current, self._next_time = what, now + 1
        size = f" · {done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        print(f"{what}{size}", file=sys.stderr, flush=True)


def main() -> int:
    """Download the starter models and print their origin. Return the exit status."""
    try:
        for name in STARTERS:
            folder = fetch_starter(name, Printer())
            print(f"{name}: {(origin_of(name) or {})['says']} · {folder}", file=sys.stderr)
    except StudioError as error:
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run `make setup` to try again.", file=sys.stderr)
        return 1
    except Exception as error:  # the edge of the process
        print(f"The starter models could not be downloaded: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run `make setup` again. If that does not help, report this line.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
