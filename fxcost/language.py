"""Language models: one configuration, captured as it prefills and as it decodes, with the cache's length as a size.

The graphs are those of the whole model. Where its blocks repeat, few of them are captured, compared with each other, and
put together in full (`fxcost.serving.stack`); where they turn out to differ, the model is captured whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fxcost import api
from fxcost.cost import Cost
from fxcost.errors import InternalError, SpecError, nearest
from fxcost.formulas import Origin
from fxcost.ir.caches import CacheLayer
from fxcost.ir.expr import minimum, symbol
from fxcost.ir.graph import Graph
from fxcost.ir.rebind import rebound
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.tidy import without_idle_slices, without_unread_constants
from fxcost.ir.widths import Width
from fxcost.pipeline import Options
from fxcost.serving.stack import NotRepeatable, stacked
from fxcost.serving.view import serving_view

if TYPE_CHECKING:
    from fxcost.capture.blocks import Blocks

Progress = Callable[[str], None]
CACHES = ("dynamic", "static")


@dataclass(frozen=True)
class LanguageModel:
    """A model's two steps as captured, for N sequences with S tokens.

    `decode` adds a token to S that are cached, `prefill` reads S tokens into an empty cache. `layers` say what is kept of
    the past; `stack` is the path of the blocks; `seconds` is the CPU time by stage.
    """

    name: str
    decode: Cost
    prefill: Cost
    layers: tuple[CacheLayer, ...]
    stack: str = ""
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def serving(
        self,
        step: str,
        kept: Width | None = None,
        weights: tuple[tuple[str, str], ...] = (),
        absorbed: bool = False,
    ) -> Cost:
        """A step as a serving engine runs it, with the cache in the caller's memory, see `fxcost.serving.view`.

        `kept` is how the cache is stored, `weights` widths by pattern; with `absorbed` a decoding step reads a
        compressed cache as it is (a prompt is expanded, as engines do). Raises SpecError for another step, or where
        nothing can be absorbed.
        """
        steps = {"decode": self.decode, "prefill": self.prefill}
        if step not in steps:
            raise SpecError(f"step {step!r} is not one of decode, prefill{nearest(step, steps)}")
        windows = tuple(layer.window for layer in self.layers)
        cost = steps[step]
        absorbed = absorbed and step == "decode"
        variants = tuple(replace(v, graph=serving_view(v.graph, windows, kept, absorbed)) for v in cost.variants)
        options = Options(inputs="excluded", weights=weights)
        graph = serving_view(cost.graph, windows, kept, absorbed)
        return replace(
            cost, graph=graph, options=options, variants=variants, origin=Origin(seconds=cost.origin.seconds)
        )

    @cached_property
    def experts(self) -> tuple[int, int] | None:
        """How many experts a layer has, and to how many of them a token is sent; None without experts."""
        from fxcost.passes.experts import chosen_of

        return chosen_of(self.decode.graph)


def language_model(
    model: Any,
    *,
    cache: str = "dynamic",
    whole: bool = False,
    check: bool = True,
    name: str | None = None,
    progress: Progress = lambda _: None,
) -> LanguageModel:
    """Capture a language model of transformers as it prefills and decodes.

    Args:
        model: the folder or file of a configuration (`config.json`), a class of transformers, or a model.
        cache: which cache of transformers decodes: dynamic (grows by concatenation) or static (written in place).
        whole: capture all blocks, even where few would do.
        check: compare the counts of the captured part with an eager run at another size.
        name: what to call the model.
        progress: called with a line at each stage.

    Raises SpecError for what is no language model, FileError for an unreadable configuration, CaptureError for a model
    that cannot be captured with its cache.
    """
    if cache not in CACHES:
        raise SpecError(f"cache={cache!r} is not one of {', '.join(CACHES)}{nearest(cache, CACHES)}")
    from fxcost.capture import cached
    from fxcost.capture.blocks import blocks_of, shortened

    start = time.process_time()
    label = name or (model if isinstance(model, str) else type(model).__name__)
    progress(f"building {label}")
    built, stated = cached.load_decoder(model, label)
    elements = sum(p.numel() for p in built.parameters())
    blocks = None if whole else blocks_of(built)
    seconds = {"build": time.process_time() - start}
    if blocks is not None and not blocks.is_whole:
        try:
            with shortened(built, blocks) as short:
                found = _captured(short, blocks, label, cache, check, seconds, progress)
        except NotRepeatable as error:
            progress(f"{error}; capturing all blocks")
        else:
            if found.decode.params() != elements:
                raise InternalError(
                    f"{label}: {found.decode.params():,} parameters put together, the model has {elements:,}"
                )
            return replace(found, notes=(*stated, *found.notes))
    found = _captured(built, None, label, cache, check, seconds, progress)
    return replace(found, notes=(*stated, *found.notes))


def _captured(
    model: Any,
    blocks: Blocks | None,
    label: str,
    cache: str,
    check: bool,
    seconds: dict[str, float],
    progress: Progress,
) -> LanguageModel:
    from fxcost.capture import cached
    from fxcost.capture.blocks import stack_path

    start = time.process_time()
    layers = cached.cache_layers(model, label)
    if cache == "static" and any(layer.window is not None for layer in layers):
        raise SpecError(
            f"{label}: a static cache of a sliding window changes its code once it is full, which is not captured; take "
            "cache='dynamic'"
        )
    steps: dict[str, Cost] = {}
    for step in ("decode", "prefill"):
        progress(f"capturing how {label} runs: {step}")
        kind = cache if step == "decode" else "dynamic"
        decoding = step == "decode"
        wrapped = cached.CachedStep(model, kind, True) if decoding else cached.FirstStep(model, True)
        cost = api.analyze(wrapped, _specs(layers, step, kind), name=label, check=check, progress=progress)

        def finished(graph: Graph) -> Graph:
            found = without_unread_constants(without_idle_slices(_in_tokens(_named(graph), layers)))
            return found if blocks is None else stacked(found, blocks.path, blocks.templates)

        variants = tuple(replace(v, graph=finished(v.graph)) for v in cost.variants)
        origin = replace(cost.origin, again=None) if blocks is None else Origin(seconds=cost.origin.seconds)
        steps[step] = replace(cost, graph=finished(cost.graph), variants=variants, origin=origin)
        seconds[step] = time.process_time() - start
        start = time.process_time()
    whole = tuple(layers[t] for t in blocks.templates) if blocks is not None else layers
    notes = () if blocks is None else (blocks.note,)
    stack = blocks.path if blocks is not None else stack_path(model)
    return LanguageModel(label, steps["decode"], steps["prefill"], whole, stack, notes, seconds)


def _specs(layers: tuple[CacheLayer, ...], step: str, kind: str) -> tuple[str, ...]:
    """Input specs: tokens, then keys and values of every layer; S cached tokens, or what a window keeps of them."""
    if step == "prefill":
        return ("i64[N,S]",)
    texts = ["i64[N,1]"]
    for layer in layers:
        length = "S" if layer.window is None else f"S{layer.window}=1..{layer.window - 1}"
        for heads, channels in ((layer.key_heads, layer.key_channels), (layer.value_heads, layer.value_channels)):
            texts.append(f"{layer.dtype.short}[N,{heads},{length},{channels}]")
    return (*texts, *(("i64[]",) if kind == "static" else ()))


def _named(graph: Graph) -> Graph:
    """The graph with the paths of the model itself."""

    def bare(path: str) -> str:
        return "" if path == "wrapped" else path.removeprefix("wrapped.")

    states = tuple(replace(s, paths=tuple(map(bare, s.paths))) for s in graph.states)
    nodes = tuple(replace(n, module=bare(n.module)) for n in graph.nodes)
    return replace(graph, states=states, nodes=nodes)


def _in_tokens(graph: Graph, layers: tuple[CacheLayer, ...]) -> Graph:
    """What a window keeps, in the number of tokens that are past."""
    windows = {layer.window for layer in layers if layer.window is not None}
    sizes = {f"S{w}": minimum(symbol("S"), w - 1) for w in windows}
    names = {s.name for s in graph.symbols}
    if not sizes.keys() & names:
        return graph
    kept = tuple(s for s in graph.symbols if s.name not in sizes)
    symbols = kept if "S" in names else (*kept, SymbolInfo("S", hint=37))
    return rebound(graph, sizes, symbols)
