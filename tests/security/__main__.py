"""`make test-security`: every attack, a table of how they ended, and status 1 when one succeeded.

.venv/bin/python -m tests.security [CLASS …] [--quick] [--words TEXT] [--list] [--write]
"""

import argparse
import os
import signal
import sys

from tests.security.attack import attempt, chosen, progress, table
from tests.security.page import write
from tests.security.stage import Stage


def main() -> int:
    """Try the attacks that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.security", description="The attack suite.")
    parser.add_argument("groups", nargs="*", metavar="CLASS", help="classes of attacks, for example S1 isolation")
    parser.add_argument("--quick", action="store_true", help="only those that `make test` tries")
    parser.add_argument("--words", default="", help="only those with this text in their name")
    parser.add_argument("--list", action="store_true", help="list them, and try none")
    parser.add_argument("--write", action="store_true", help="write the results to docs/reference/attacks.md")
    asked = parser.parse_args()
    attacks = chosen(asked.groups, asked.quick, asked.words)
    if asked.list:
        for each in attacks:
            print(f"{each.group:<10} {'quick' if each.quick else '':<6} {each.name}")
        print(f"{len(attacks)} attacks, {sum(each.quick for each in attacks)} of them quick")
        return 0
    os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left behind
    stage = Stage()
    results = []
    try:
        for each in attacks:
            results.append(attempt(each, stage))
            progress(results[-1])
    finally:
        stage.close()
    lost = [each for each in results if each.outcome.succeeded]
    print("\n" + table(results))
    if asked.write:
        write(results, whole=not (asked.quick or asked.words))
    for each in lost:
        print(f"\nSUCCEEDED  {each.attack.group}: {each.attack.name}\n           {each.outcome.what[:1000]}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
