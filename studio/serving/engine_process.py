"""An engine's process: `python -m studio.serving.engine_process PARENT ENTRY ARGUMENT…`.

It runs the command of a library, such as `transformers serve`, and ends together with the gateway, whatever happens to
that one. ENTRY is "module:function", or a module that is run like `python -m`.
"""

import importlib
import runpy
import sys

from studio.machine.processes import die_with


def main() -> object:
    """Run the command, bound to the life of the gateway."""
    die_with(int(sys.argv[1]))
    module, _, function = sys.argv[2].partition(":")
    sys.argv[:] = [module, *sys.argv[3:]]
    if function:
        return getattr(importlib.import_module(module), function)()
    return runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
