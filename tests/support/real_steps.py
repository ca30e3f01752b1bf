"""Peak memory of real training steps on a CPU: by what operators return, and by what the allocator hands out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from fxcost.capture.eager_step import StepWatch, references_of_one


def real_peak(model: nn.Module, x: Tensor) -> int:
    """Bytes of values at the peak of a real step: forward, backward, and one in-place update after the other.

    Gradients are added as without a mode that looks on (StepWatch), which `allocated` shows to be so.
    """
    model.zero_grad(set_to_none=True)
    watch = StepWatch((*model.parameters(), *model.buffers()), references_of_one())
    inputs = [x.clone()]
    watch.note(inputs[0])
    with watch:
        loss = model(inputs.pop()).sum()
        watch.backward(loss)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=-1)
    model.zero_grad(set_to_none=True)
    return watch.peak


def allocated(model: nn.Module, x: Tensor) -> int:
    """Bytes that are allocated at the peak of forward and backward pass, operators' own scratch memory among them.

    No mode and no hook: the profiler's record of the allocator.
    """
    model.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        inputs = [x.clone()]
        loss = model(inputs.pop()).sum()
        loss.backward()
        del loss
    model.zero_grad(set_to_none=True)
    found = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(found, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak
