"""`fxcost ops`."""

from __future__ import annotations

from fxcost.cli.application import app, say


@app.command()
def ops() -> None:
    """List every operator with a cost rule."""
    from fxcost.ops.registry import all_rules

    say("\n".join(f"{op:<52} {rule.kind:<10} {rule.family}" for op, rule in all_rules().items()))
