"""Asking the cache before a model is captured, and telling it afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from fxcost.cache.folder import Damaged, Entry, Folder
from fxcost.cache.question import Question
from fxcost.cache.reads import dependencies, watching
from fxcost.cache.samples import samples_data, samples_of
from fxcost.cost import Cost
from fxcost.ir.text import print_graph
from fxcost.ir.text_reader import Program, parse_program
from fxcost.query.fitted import Sampled


def recalled(
    folder: Folder,
    question: Question,
    capture: Callable[[], Cost],
    rebuild: Callable[[Program, Sampled | None], Cost],
) -> Cost:
    """The cost of a question: rebuilt from the folder's text where it is there, else captured and kept.

    What is to be said about the cache (an entry was damaged, a model cannot be kept) is in `origin.remarks`.
    """
    start, remarks = time.process_time(), list[str]()
    try:
        entry = folder.read(question)
        if entry is not None:
            where = str(folder.path)
            samples = None if entry.samples is None else samples_of(entry.samples, where)
            cost = rebuild(parse_program(entry.text, where), samples)
            origin = replace(cost.origin, seconds={"recall": time.process_time() - start})
            return replace(cost, warnings=entry.warnings, origin=origin)
    except (Damaged, KeyError, TypeError, ValueError) as error:
        remarks.append(f"cache: {error}; the model is captured anew, and the entry replaced")
    with watching() as reads:
        cost = capture()
    files, unknown = dependencies(question.asked["model"], reads)
    if unknown:
        remarks.append(f"cache: {question.asked['model']} is not kept: {unknown}")
    else:
        try:
            samples_kept = None if cost.samples is None else samples_data(cost.samples)
            text = print_graph(cost.graph, variants=cost.variants)
            folder.write(question, Entry(text, cost.warnings, files, samples_kept))
        except OSError as error:
            remarks.append(f"cache: nothing can be written to {folder.path}: {error.strerror or error}")
    return replace(cost, origin=replace(cost.origin, remarks=tuple(remarks)))
