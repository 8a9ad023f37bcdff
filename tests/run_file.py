"""Runs a file as `python FILE` does, so that a process for it can be forked: see forked.py.

python -m tests.run_file FILE [PORT], with the port of a Gradio page. In the environment, it would ask for a zygote of
its own.
"""

import os
import runpy
import sys

if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.environ["GRADIO_SERVER_PORT"] = sys.argv[2]
    runpy.run_path(sys.argv[1], run_name="__main__")
