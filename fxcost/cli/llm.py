"""`fxcost llm`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import load_machines
from fxcost.cli.application import app, progress, say
from fxcost.cli.options import AsJson, Dtype, Targets
from fxcost.errors import OutsideDomain


@app.command(epilog="For example: fxcost llm examples/llama-3-8b --target h100-sxm --batch 8 --prompt 4096")
def llm(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A config.json, its folder, or a class of transformers.")
    ],
    target: Targets = None,
    prompt: Annotated[int, typer.Option("--prompt", metavar="S", help="Tokens of a prompt.")] = 1024,
    generate: Annotated[int, typer.Option("--generate", metavar="T", help="Tokens generated after it.")] = 256,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Sequences at once.")] = 1,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="FORMAT", help="Of the blocks' matrices: int8, int4:128 (groups), fp8 ..."),
    ] = None,
    kv_cache: Annotated[
        str | None,
        typer.Option("--kv-cache", metavar="FORMAT", help="Of the cache: fp8, int8, int4:64 (groups), bf16 ..."),
    ] = None,
    absorbed: Annotated[
        bool, typer.Option("--absorbed", help="Latent attention (DeepSeek's) decodes on its compressed cache.")
    ] = False,
    dtype: Dtype = None,
    proof: Annotated[bool, typer.Option("--proof", help="Also say why the largest sizes are the largest.")] = False,
    as_json: AsJson = False,
) -> None:
    """A language model in service: cache, batch, time to each token."""
    from fxcost.report.service import service_json, service_text
    from fxcost.service import check_formats, service
    from fxcost.serving.answers import Load

    machines = load_machines(target, dtype)
    load = Load(prompt, generate, batch, weights, kv_cache, absorbed)
    check_formats(load)
    with progress() as show:
        from fxcost.language import language_model

        model = language_model(config, progress=show)
        show("solving")
        try:
            found = service(model, load, machines, dtype)
        except OutsideDomain as error:
            raise OutsideDomain(f"{error.outside}; choose another --prompt, --generate or --batch") from error
    say(service_json(found) if as_json else service_text(found, proof))
