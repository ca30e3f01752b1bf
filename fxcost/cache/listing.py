"""What a cache holds, for people and for programs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from fxcost.cache.folder import Folder, Listed
from fxcost.query.table import Table
from fxcost.query.units import human


def listing_text(folder: Folder) -> str:
    """The folder, its room, and one line an entry, the one used last first."""
    entries = folder.entries()
    used = sum(entry.bytes for entry in entries)
    room = f"{human(used, 'bytes')} of {human(folder.most_bytes, 'bytes')}"
    head = f"{folder.path}: {len(entries)} {'graph' if len(entries) == 1 else 'graphs'}, {room}"
    if not entries:
        return head
    rows = tuple(
        {**_row(entry), "size": human(entry.bytes, "bytes"), "used": f"{datetime.fromtimestamp(entry.used_s):%F %H:%M}"}
        for entry in entries
    )
    return f"{head}\n{Table(('model', 'inputs', 'size', 'used'), rows)}".rstrip()


def listing_json(folder: Folder) -> str:
    """The same as JSON, sizes in bytes and times in ISO 8601."""
    entries = [
        {
            "file": str(entry.path),
            **_row(entry),
            "bytes": entry.bytes,
            "used": datetime.fromtimestamp(entry.used_s).astimezone().isoformat(timespec="seconds"),
        }
        for entry in folder.entries()
    ]
    found = {"folder": str(folder.path), "most_bytes": folder.most_bytes, "entries": entries}
    return json.dumps(found, indent=1, ensure_ascii=False)


def _row(entry: Listed) -> dict[str, Any]:
    """What was asked; an entry that is damaged does not say."""
    asked = entry.asked
    if not asked:
        return {"model": "damaged", "inputs": ""}
    named = asked["kwargs"] if asked["kwargs"] != "{}" else ""
    inputs = " ".join(filter(None, (asked["specs"], named, "" if asked["train"] is None else "training")))
    return {"model": asked["model"], "inputs": inputs}
