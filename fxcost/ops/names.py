"""Operator names, written short: rules that serve many operators list them as words."""

from __future__ import annotations


def aten(words: str, suffix: str = "") -> list[str]:
    """`aten("cat stack")` is `["aten.cat", "aten.stack"]`; a suffix goes to every word."""
    return [f"aten.{word}{suffix}" for word in words.split()]
