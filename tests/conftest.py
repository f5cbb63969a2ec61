"""What all tests share: how Ctrl-C arrives, and how Hypothesis is set up."""

import os
import signal

from hypothesis import settings

# A shell that starts the run in the background has it ignore SIGINT, and every program that a test starts would, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
