"""What every worker of the zoo benchmark needs, imported once: torchvision first, which the others import."""

from fxcost.capture.shim import prepare_torchvision

prepare_torchvision()

import timm  # noqa: E402, F401
import torchvision  # noqa: E402, F401
import transformers  # noqa: E402, F401

import benchmarks._zoo_measure  # noqa: E402, F401
import fxcost.api  # noqa: E402  (all of one state, while the files are worked on)
import fxcost.lower.model  # noqa: E402, F401
