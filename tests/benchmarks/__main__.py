"""`script/bench SUITE [--json FILE]`: run a suite's comparisons and print them."""

import argparse
import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

SUITES = ("formats", "gpt", "imports", "rlhf", "serve")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="script/bench", description="Speed against a peer, measured in turns; medians."
    )
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows into this file")
    options = parser.parse_args()
    print(f"{'':<20} {'ours':>10} {'peer':>10} {'ratio':>6}")
    rows = []
    for row in import_module(f"tests.benchmarks.{options.suite}").rows():
        print(
            f"{row.name:<20} {figure(row.ours)} {figure(row.peer)} {row.ratio:>6.2f}  {row.unit}; {row.what}",
            flush=True,
        )
        rows.append({**asdict(row), "ratio": row.ratio})
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def figure(value: float) -> str:
    """A figure in its column: whole where it is large."""
    return f"{value:>10.0f}" if value >= 100 else f"{value:>10.3f}"


if __name__ == "__main__":
    main()
