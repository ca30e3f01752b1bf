"""What calibration runs: models with random weights, exported, on the device that is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from fxcost.capture.loaders import load_model
from fxcost.errors import SpecError
from fxcost.integrate.probes import probes
from fxcost.integrate.profile import exported

TORCHVISION = ("resnet50", "mobilenet_v2", "vit_b_16")
"""What is measured beside the probes where torchvision is installed."""
IMAGE = (1, 3, 224, 224)


@dataclass(frozen=True)
class Subject:
    """A model to run, its inputs and its exported program; subjects of one `group` are alike."""

    name: str
    group: str
    model: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]
    program: Any


Maker = Callable[[], Subject]


def subject(name: str, group: str, model: torch.nn.Module, inputs: Sequence[Any], device: str) -> Subject:
    """A model on a device; raises ModelError where torch.export cannot take it."""
    placed = tuple(value.to(device) if isinstance(value, torch.Tensor) else value for value in inputs)
    model = model.eval().to(device)
    return Subject(name, group, model, placed, exported(model, placed))


def default_subjects(device: str, quick: bool = False) -> list[tuple[str, Maker]]:
    """Names and makers: the probes, and three models of torchvision where it is installed (not with `quick`)."""
    found: list[tuple[str, Maker]] = [
        (probe.name, lambda p=probe: subject(p.name, p.group, p.build(), p.inputs(), device))  # type: ignore[misc]
        for probe in probes(quick)
    ]
    if not quick and find_spec("torchvision") is not None:
        found += [loaded(f"torchvision:{name}", device) for name in TORCHVISION]
    return found


def loaded(name: str, device: str) -> tuple[str, Maker]:
    """A model by loader name, run on one image of 224 x 224; raises SpecError when it does not take that."""

    def make() -> Subject:
        model = load_model(name, "cpu")
        if not isinstance(model, torch.nn.Module):
            raise SpecError(f"{name}: calibration runs models; found {type(model).__name__}")
        image = torch.randn(*IMAGE)
        try:
            with torch.no_grad():
                model.eval()(image)
        except Exception as error:  # whatever the model raises is the answer
            raise SpecError(
                f"{name}: the model does not run on an image of {'x'.join(map(str, IMAGE))} "
                f"({str(error).partition(chr(10))[0]}); give fxcost.calibrate the model with its inputs"
            ) from error
        return subject(name, name, model, (image,), device)

    return name, make
