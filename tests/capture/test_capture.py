"""Live captures of tiny modules: the caller's model stays as it was, and every kind of model and input is taken."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxcost
from fxcost.capture.loaders import load_model
from fxcost.errors import CaptureError, OutsideDomain, SpecError
from fxcost.ir.graph import Standing
from tests.support import tiny_models
from tests.support.commands import MODELS

torch.set_num_threads(1)


# -- the caller's things stay as they were -------------------------------------------------------------------------
class Rich(nn.Module):
    """Everything a capture might disturb: modes, frozen and tied weights, buffers, hooks, gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.conv(x))).mean((2, 3)))  # type: ignore[no-any-return]


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Identities, values, flags and hooks of everything in the model."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "identity": {name: id(tensor) for name, tensor in tensors.items()},
        "storage": {name: tensor.data_ptr() for name, tensor in tensors.items()},
        "version": {name: tensor._version for name, tensor in tensors.items()},
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "device": {name: str(tensor.device) for name, tensor in tensors.items()},
        "requires_grad": {name: tensor.requires_grad for name, tensor in tensors.items()},
        "grad": {name: None if tensor.grad is None else id(tensor.grad) for name, tensor in tensors.items()},
        "training": {name: module.training for name, module in model.named_modules()},
        "hooks": {name: list(module._forward_hooks.values()) for name, module in model.named_modules()},
        "modules": {name: id(module) for name, module in model.named_modules()},
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    for part, values in before.items():
        if part == "values":
            assert all(torch.equal(tensor, after[part][name]) for name, tensor in values.items())
        else:
            assert values == after[part], part


def test_the_callers_model_is_untouched() -> None:
    model = Rich()
    model.norm.eval()  # a mixture of modes, as in fine-tuning
    model.conv.weight.requires_grad_(False)
    model.head.register_forward_hook(lambda module, inputs, output: None)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    before = snapshot(model)
    cost = fxcost.analyze(model, "N,3,H,W")
    cost.macs(N=1, H=8, W=8)
    assert_same(before, snapshot(model))


def test_a_model_that_cannot_be_copied_is_untouched_too() -> None:
    model: Any = tiny_models.Counter()
    model.lock = threading.Lock()  # no lock can be copied
    model.train()
    before = snapshot(model)
    cost = fxcost.analyze(model, "N,8")
    assert cost.other_ops(N=1) == 24  # 8 each for the sum, the update and the product
    assert_same(before, snapshot(model))


def test_the_callers_settings_are_untouched() -> None:
    logger = logging.getLogger("torch")
    rng, fast_path = torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    before = (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        logger.level,
        logger.disabled,
        logging.root.manager.disable,
    )
    for name in ("mlp", "Branch"):
        fxcost.analyze(f"{MODELS}:{name}", "N,8")
    after = (
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        logger.level,
        logger.disabled,
        logging.root.manager.disable,
    )
    assert after == before
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.backends.mha.get_fastpath_enabled() == fast_path


def test_weights_are_never_allocated() -> None:
    cost = fxcost.analyze(f"{MODELS}:huge", f"N,{1 << 18}")
    assert cost.params() == 2**36
    assert cost.model_bytes() == 2**38, "256 GiB"
    assert cost.macs(N=3) == 3 * 2**36


# -- counts --------------------------------------------------------------------------------------------------------
def test_tied_weights_count_once() -> None:
    cost = fxcost.analyze(tiny_models.Tied(), "i64[N,S]")
    assert cost.params() == 50 * 16
    assert str(cost.macs) == "800*N*S", "16 * 50 products a token"
    (state,) = [s for s in cost.graph.states if s.kind == "parameter"]
    assert set(state.paths) == {"embed.weight", "out.weight"}


def test_a_module_called_twice_costs_twice_and_weighs_once() -> None:
    cost = fxcost.analyze(tiny_models.Twice(), "N,8,H,W")
    assert cost.params() == 8 * 8 * 9 + 8 + 8 * 10 + 10
    assert cost.macs(N=1, H=4, W=4) == 2 * 16 * 8 * 8 * 9 + 80
    assert sorted({node.call for node in cost.graph.nodes if node.module == "block.0"}) == [0, 1]


@pytest.mark.parametrize("make", [tiny_models.Attention, tiny_models.encoder])
def test_attention_counts_the_same_with_and_without_gradients(make: Any) -> None:
    """In inference mode torch would take a fused path that hides the products."""
    found = []
    for grad in (True, False):
        for training in (True, False):
            with torch.set_grad_enabled(grad):
                found.append(str(fxcost.analyze(make().train(training), "N,S,32").macs))
    assert len(set(found)) == 1, found
    # Per token: queries, keys, values and output 32 * 32 each; every key 32 for the score and 32 for the value.
    perceptron = 2 * 32 * 64 if make is tiny_models.encoder else 0
    expected = 2 * 7 * (4 * 32 * 32 + 64 * 7 + perceptron)
    assert eval(found[0], {"N": 2, "S": 7}) == expected


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_a_formula_holds_at_a_batch_of_one_and_any_other(batch: int) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = Rich().eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(batch, 3, 9, 7))
    assert fxcost.analyze(model, "N,3,H,W").macs(N=batch, H=9, W=7) == counter.get_total_flops() // 2


def test_half_precision_moves_half_the_bytes() -> None:
    single = fxcost.analyze(tiny_models.mlp(), "N,8")
    half = fxcost.analyze(tiny_models.mlp().bfloat16(), "bf16[N,8]")
    assert half.macs.value is single.macs.value
    for name in ("model_bytes", "peak_memory", "read_bytes", "write_bytes", "weight_bytes"):
        assert half.total(name)(N=3) * 2 == single.total(name)(N=3), name


def test_buffers_that_the_model_updates_are_told() -> None:
    model = tiny_models.Counter()
    cost = fxcost.analyze(model, "N,8")
    assert cost.buffers() == 8
    assert cost.params() == 0
    written = [node.op for node in cost.graph.nodes if node.effects.writes]
    assert written == ["aten.add_.Tensor"] or cost.graph.updates
    assert model.seen.sum() == 0, "the caller's buffer keeps its value"


# -- inputs --------------------------------------------------------------------------------------------------------
def test_inputs_by_name() -> None:
    cost = fxcost.analyze(tiny_models.Masked(), "i64[N,S]", kwargs={"mask": "f32[N,S]"})
    assert str(cost.macs) == "3200*N*S", "32 * 100 products a token"
    assert [str(value.type) for value in cost.graph.inputs] == ["i64[N, S]", "f32[N, S]"]


@pytest.mark.parametrize(
    "cache",
    ["[(f32[N,S,16],f32[N,S,16])*2]", [("f32[N,S,16]", "f32[N,S,16]")] * 2],
    ids=["one text", "a list of texts"],
)
def test_nested_inputs(cache: Any) -> None:
    cost = fxcost.analyze(tiny_models.Cache(), ("N,1,16", cache))
    assert len(cost.graph.inputs) == 5
    # The new keys, 16 * (S + 1) elements each, and the output of 16.
    assert cost.output_bytes(N=1, S=7) == 4 * (2 * 16 * 8 + 16)


def test_tensors_fix_every_size() -> None:
    cost = fxcost.analyze(tiny_models.mlp(), (torch.zeros(5, 8),))
    assert cost.macs() == 5 * 192
    assert cost.symbols == {}


def test_tensors_and_specs_mix() -> None:
    cost = fxcost.analyze(tiny_models.Masked(), "i64[N,7]", kwargs={"mask": torch.ones(1, 7)})
    assert cost.macs(N=3) == 3 * 7 * 3200


# -- programs and graphs -------------------------------------------------------------------------------------------
def test_a_graph_module_of_symbolic_trace() -> None:
    traced = torch.fx.symbolic_trace(tiny_models.Twice())
    cost = fxcost.analyze(traced, "N,8,H,W")
    assert cost.macs.value is fxcost.analyze(tiny_models.Twice(), "N,8,H,W").macs.value


def exported(dynamic: bool) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    return torch.export.export(tiny_models.mlp().eval(), (torch.zeros(4, 8),), dynamic_shapes=shapes)


def test_an_exported_program_with_and_without_specs() -> None:
    named = fxcost.analyze(exported(dynamic=True), "N,8")
    assert str(named.macs) == "192*N"
    bare = fxcost.analyze(exported(dynamic=True))
    (name,) = bare.symbols
    assert bare.macs(**{name: 5}) == 5 * 192
    fixed = fxcost.analyze(exported(dynamic=False))
    assert fixed.macs() == 4 * 192
    with pytest.raises(SpecError, match="1 inputs, 2 specs"):
        fxcost.analyze(exported(dynamic=True), ("N,8", "N,8"))


def test_an_exported_program_comes_back_from_its_file(tmp_path: Path) -> None:
    torch.export.save(exported(dynamic=True), tmp_path / "mlp.pt2")
    again, direct = fxcost.analyze(tmp_path / "mlp.pt2", "N,8"), fxcost.analyze(exported(dynamic=True), "N,8")
    assert {n: str(q) for n, q in again.quantities.items()} == {n: str(q) for n, q in direct.quantities.items()}


# -- models that resist --------------------------------------------------------------------------------------------
def test_pinned_sizes_have_a_reason() -> None:
    cost = fxcost.analyze(tiny_models.Flat(), "N,3,H@10,10")
    assert set(cost.fixed_dims) == {"H"}
    assert cost.fixed_dims["H"].startswith("H=10: the model itself refuses other sizes than H=10: RuntimeError")
    assert cost.macs(N=2) == 2 * 300 * 4


def test_a_model_that_cannot_be_exported_is_recorded() -> None:
    model = tiny_models.Chosen().train()
    before = snapshot(model)
    cost = fxcost.analyze(model, "N,8")
    assert cost.standing is Standing.NUMERIC
    assert "one size" in cost.fixed_dims["N"]
    size = int(cost.fixed_dims["N"].partition(":")[0].partition("=")[2])
    assert cost.macs() == tiny_models.chosen_rows(size) * 64
    assert_same(before, snapshot(model))
    assert str(cost.macs.standing) == "numeric"
    assert cost.recapture({"N": 3}).macs() == tiny_models.chosen_rows(3) * 64


def test_a_branch_on_data_is_taken_as_the_example_takes_it() -> None:
    model = tiny_models.Branch().train()
    before = snapshot(model)
    cost = fxcost.analyze(model, "N,8")
    assert_same(before, snapshot(model))
    assert cost.standing is Standing.FITTED
    assert [cost.macs(N=n) for n in (1, 7)] == [64, 7 * 64]
    assert not cost.fixed_dims


def test_a_recorded_run_is_the_same_every_time() -> None:
    class Coin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            y = self.linear(x)
            return self.linear(y) if y.sum() > 0 else y  # type: ignore[no-any-return]

    torch.manual_seed(3)
    model = Coin()
    assert len({fxcost.analyze(model, "N,8").macs() for _ in range(5)}) == 1


def test_a_branch_on_a_size_is_a_guard() -> None:
    cost = fxcost.analyze(tiny_models.Wide(), "N,8")
    assert cost.macs(N=63) == 63 * 64
    with pytest.raises(OutsideDomain):
        cost.macs(N=64)
    assert cost.macs(N=64, recapture=True) == 64 * 128


def test_a_size_that_the_data_decides_is_a_symbol() -> None:
    cost = fxcost.analyze(tiny_models.Found(), "N,8")
    assert cost.symbols["data_0"].kind == "data"
    # Pairs of indices of 8 bytes, written by nonzero and by the product.
    assert cost.write_bytes(N=3, data_0=5) == 2 * 5 * 16


def test_a_model_that_never_runs_says_why() -> None:
    with pytest.raises(CaptureError, match="RuntimeError: deliberate; check the input specs"):
        fxcost.analyze(tiny_models.Fails(), "N,8")


def test_unknown_operators_are_counted_not_guessed() -> None:
    cost = fxcost.analyze(tiny_models.Odd(), "N,8")
    assert cost.unknown_ops == {"fxcost_tests.odd": 1}
    assert cost.standing is Standing.LOWER
    assert str(cost.macs) == "64*N"
    with pytest.raises(fxcost.errors.UnknownOps, match=r"fxcost_tests\.odd x1"):
        fxcost.analyze(tiny_models.Odd(), "N,8", strict=True)


def test_a_file_is_run_once_until_it_changes(tmp_path: Path) -> None:
    """Run again, it would define its custom operators again, and those that earlier models call would be gone."""
    assert type(load_model(f"{MODELS}:Odd")) is tiny_models.Odd, "imported here already"
    path = tmp_path / "made_once.py"
    path.write_text(
        "import torch\n\n\nclass Net(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(8, 4)\n"
    )
    first = type(load_model(f"{path}:Net"))
    assert type(load_model(f"{path}:Net")) is first
    path.write_text(path.read_text().replace("(8, 4)", "(8, 5)"))
    changed = load_model(f"{path}:Net")
    assert type(changed) is not first
    assert changed.out_features == 5


class Held:
    """An object that torch knows nothing of, as caches are."""

    def __init__(self, keys: Tensor, inner: Any = None) -> None:
        self.keys, self.inner, self.seen = keys, inner, len(keys.shape)


class ReturnsObjects(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Any, Any]:
        y = self.linear(x)
        return y.sum(-1), Held(y, [Held(x + 1)]), object()


def test_objects_that_hold_tensors_may_be_returned() -> None:
    cost = fxcost.analyze(ReturnsObjects(), "N,S,8")
    assert str(cost.standing) == "exact"
    assert cost.macs(N=3, S=5) == 3 * 5 * 8 * 16
    assert cost.output_bytes(N=3, S=5) == 4 * 3 * 5 * (1 + 16 + 8)  # the sum, and what the object holds


class Remembering(nn.Module):
    """Encodes its prompt in the first run only; what it does next depends on values, so runs are all that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(8, 8), nn.Linear(8, 4)
        self.prompts: dict[tuple[int, ...], torch.Tensor] = {}

    def forward(self, x: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        key = tuple(prompt.shape)
        if key not in self.prompts:
            self.prompts[key] = self.encoder(prompt)
        if float(x.numpy().sum()) == 1e9:
            raise ValueError("never")
        found: torch.Tensor = self.head(x + self.prompts[key].sum(0))
        return found


def test_a_recorded_run_is_the_first_one() -> None:
    model = Remembering()
    cost = fxcost.analyze(model, ("N,8", "M,8"))
    assert cost.macs(N=3, M=6) == 6 * 8 * 8 + 3 * 8 * 4
    assert not model.prompts
