"""Will it fit? MobileNetV2 in int8 on a microcontroller and on a GPU: memory, the largest image, latency and energy.

python examples/05_will_it_fit.py
"""

from __future__ import annotations

from textwrap import fill

import fxcost

IMAGE = {"N": 1, "H": 224, "W": 224}
TARGETS = ("stm32h743", "t4")

LATENCIES = {  # four answers that are never mixed
    "lecture": "the larger of computing and moving, whole network",
    "bound": "no machine with these figures is faster",
    "roofline": "the larger of the two op by op, added up",
    "calibrated": "roofline at the efficiency that was measured",
}


def main() -> None:
    """Count as a microcontroller's runtime does, then ask two machines."""
    # int8 everywhere; batch norms and activations folded into their convolutions.
    cost = fxcost.analyze("torchvision:mobilenet_v2", "N,3,H,W", accounting="fused", weights="int8", activations="int8")

    owner = cost.peak_owner(**IMAGE)
    print("MobileNetV2 in int8, one image of 224 x 224")
    print(f"  weights          {cost.model_bytes():>10,} B")
    print(f"  peak activation  {owner.nbytes:>10,} B, while {owner.module} runs:")
    for name, size in owner.alive:
        print(f"    {name:<15}{size:>10,} B")

    for target in TARGETS:
        ask(cost, target)

    # The captured graph can be counted again in other widths.
    narrow = fxcost.analyze(cost.graph, accounting="fused", weights="int4", activations="int8")
    largest = narrow.fit(TARGETS[0], at=IMAGE).largest
    print(f"\nWith weights in int4, {narrow.model_bytes():,} B, {TARGETS[0]} takes images up to")
    print(f"  {largest.max} x {largest.max}" if largest is not None and largest.max else "  none")

    # The same question without a machine: any budget, any quantity, several at once.
    budget = [cost.peak_memory <= 320 * fxcost.KiB, cost.macs <= 100 * 10**6]
    found = cost.solve(budget, wrt="H", at={"N": 1}, tie={"W": "H"})
    print(f"\nThe largest square image within 320 KiB and 100 MMAC: {found.max} x {found.max}")
    print(wrapped(found.proof))


def ask(cost: fxcost.Cost, target: str) -> None:
    """Does the model fit, how large may the image be, how long does it take and how much energy?"""
    fit = cost.fit(target, at=IMAGE)  # without `wrt=` the unknown is H, and W follows it
    print(f"\n{target}: does it fit at 224 x 224? {fit.verdict}")
    print(f"  {'':<34}{'need, B':>11}{'have, B':>16}  fits {'largest H':>10}")
    for row in fit.rows:
        largest = "-" if row.largest is None or row.largest.max is None else f"{row.largest.max:,}"
        have = "unknown" if row.have_bytes is None else f"{row.have_bytes:,}"
        verdict = row.verdict if row.decides else f"({row.verdict})"  # in brackets: matters to some runtimes only
        print(f"  {row.what:<34}{row.need_bytes:>11,}{have:>16}  {verdict:<5}{largest:>9}")
        if row.largest is not None and row.largest.max is not None and row.decides:
            print(wrapped(row.largest.proof, "    "))

    estimate = cost.on(target, dtype="int8", at=IMAGE)
    for name, meaning in LATENCIES.items():
        print(f"  {name:<11}{milli(getattr(estimate, name), 's'):>13}  {meaning}")
    print(f"  {'energy':<11}{milli(estimate.energy, 'J'):>13}  the lecture's 45 nm figures for operations and bytes")
    for term in estimate.dropped_terms:
        print(wrapped(f"left out: {term}"))


def milli(value: object, unit: str) -> str:
    """A number in thousandths of a unit; a dash where the machine states too little."""
    return f"{value * 1000:,.3f} m{unit}" if isinstance(value, float) else "-"


def wrapped(text: str, indent: str = "  ") -> str:
    """Text in lines of at most 79 characters."""
    return fill(text, 79, initial_indent=indent, subsequent_indent=indent)


if __name__ == "__main__":
    main()
