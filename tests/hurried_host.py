"""A model host that gives its core back half a second after an answer, and then looks whether its models are needed.

python -m tests.hurried_host --home HOME [--idle MINUTES]
"""

import sys

import studio.host.host
from studio.host.__main__ import main

if __name__ == "__main__":
    studio.host.host.LINGER = 0.5
    sys.exit(main())
