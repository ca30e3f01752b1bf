"""How answers look in a notebook: as they print."""


class Shown:
    """An answer that prints as plain text of one line or several, and so is shown."""

    def _repr_markdown_(self) -> str:
        return f"```text\n{self}\n```"
