"""Numbers as text: for labels, sentences and tables."""


def format_number(value: float) -> str:
    """A number for an axis or a label, with three or four significant digits."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 0.001 or abs(value) >= 100_000:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def format_bytes(count: float) -> str:
    """A size with its unit, 1000 bytes to a kB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def pluralise(count: int, one: str, many: str = "") -> str:
    """`1 prompt`, `2 prompts`, `2 people`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
