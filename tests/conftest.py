"""What every test run shares: the same answers on every machine, and no downloads."""

import os

from hypothesis import settings

# Set before anything imports torch (which not every run does), and inherited by the commands that tests start.
os.environ["OMP_NUM_THREADS"] = "1"  # torch on one thread: tests run beside each other, and measure
os.environ["HF_HUB_OFFLINE"] = "1"  # a model that asks for weights fails at once
os.environ["COLUMNS"] = "80"  # printed tables do not depend on who looks
os.environ["NO_COLOR"] = "1"
os.environ.pop("FORCE_COLOR", None)

# Random by default, the same examples every time in CI: a red CI run must be about the change.
settings.register_profile("fxcost", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("fxcost")
