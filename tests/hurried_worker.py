"""A prepared worker that lets go after three seconds of a run that nobody starts.

python -m tests.hurried_worker
"""

import sys

import studio.worker.prepared
from studio.worker.__main__ import main

if __name__ == "__main__":
    studio.worker.prepared.KEEP_SECONDS = 3
    sys.exit(main(["--prepared"]))
