#!/usr/bin/env python3
"""Hostile inputs by kind, counted: each under a time limit, and no error may come out raw.

    python tools/hostile.py [KIND ...] [--every N] [--limit SECONDS] [--write]

An input ends *clear* when the workbench takes it, or refuses it with an error of its own; *raw* with any
other error, or the end of the process; it *hangs* when it takes longer than the limit.  What is not clear
is printed.  Among them stand inputs that are not hostile ("as it is"), which must be taken.  ``--every 20``
tries a twentieth; ``--write`` puts the table into docs/robustness.md.

The inputs run in a process of their own with a limit of memory, which is started anew after a hang.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "robustness.md"
KINDS = ("pictures", "checkpoints", "records", "servers", "disks", "arguments")
LIMIT = 60.0  # seconds for one input
STARTING = 120.0  # seconds for the imports and the first model
MEMORY = 8 * 2**30
BEGIN, END = "<!-- table: python tools/hostile.py --write -->", "<!-- end of the table -->"


def count(kind: str, *, every: int = 1, limit: float = LIMIT) -> dict[str, Any]:
    """Try the inputs of a kind; how many ended in which way, and those that were not clear."""
    found: dict[str, Any] = {"tried": 0, "clear": 0, "raw": 0, "hang": 0, "seconds": 0.0, "unclear": []}
    began = time.monotonic()
    for name, outcome, why in outcomes(kind, every, limit):
        found["tried"] += 1
        found[outcome] += 1
        if outcome != "clear":
            found["unclear"].append((name, outcome, why))
            print(f"{kind}: {outcome}: {name}: {why}", flush=True)
    found["seconds"] = time.monotonic() - began
    return found


def outcomes(kind: str, every: int, limit: float) -> Iterator[tuple[str, str, str]]:
    """(name, outcome, why) of each input, in order."""
    first: int | None = 0
    while first is not None:
        first = yield from _one_process(kind, first, every, limit)


def _one_process(kind: str, first: int, every: int, limit: float) -> Iterator[tuple[str, str, str]]:
    """Inputs from the first on, until one ends the process; returns the next one, or None at the end."""
    command = [sys.executable, __file__, kind, "--from", str(first), "--every", str(every)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        number, name, ready = first, "the start", False
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pass_on, args=(process, lines), daemon=True).start()
        try:
            while True:
                line = lines.get(timeout=limit if ready else STARTING)
                if not line and name == "the start":
                    raise SystemExit(f"{kind}: no inputs; see python tools/hostile.py {kind} --from {first}")
                if not line:
                    yield name, "raw", f"the process ended with {process.wait()}"
                    return number + 1
                said = json.loads(line)
                if said is None:
                    return None
                number, name = said["number"], said["name"]
                ready = ready or "outcome" in said  # the first input loads the model
                if "outcome" in said:
                    yield name, said["outcome"], said["why"]
        except queue.Empty:
            yield name, "hang", f"more than {limit:g} s"
            return number + 1
        finally:
            process.kill()


def _pass_on(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Put a process's lines into a queue, and an empty one at its end."""
    for line in process.stdout:
        lines.put(line)
    lines.put("")


def work(kind: str, first: int, every: int) -> None:
    """Try inputs in this process; a line before each and one after it."""
    import hostile_inputs

    from workbench.errors import WorkbenchError

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an input prints is no outcome

    def say(**facts: Any) -> None:
        print(json.dumps(facts or None), file=out, flush=True)

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = folder
        cases = hostile_inputs.KINDS[kind](hostile_inputs.Room(Path(folder)))
        for number, (name, run) in enumerate(cases):
            if number < first or (number % every and name != hostile_inputs.CONTROL):
                continue
            say(number=number, name=name)
            outcome, why = "clear", ""
            try:
                repr(run())
            except WorkbenchError as error:
                if name == hostile_inputs.CONTROL:
                    outcome, why = "raw", str(error)
            except BaseException as error:
                outcome, why = "raw", f"{type(error).__name__}: {str(error)[:150]} ({_place(error)})"
            say(number=number, name=name, outcome=outcome, why=why)
        say()


def _place(error: BaseException) -> str:
    """The last line of ours that an error came through."""
    place, frame = "", error.__traceback__
    while frame is not None:
        path = Path(frame.tb_frame.f_code.co_filename)
        if "workbench" in path.parts and "site-packages" not in path.parts:
            place = f"{path.name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def table(found: dict[str, dict[str, Any]]) -> str:
    """The counts as Markdown."""
    rows = ["| kind | tried | clear | raw | hang |", "|---|---|---|---|---|"]
    columns = ("tried", "clear", "raw", "hang")
    for kind, counts in found.items():
        rows.append(f"| {kind} | " + " | ".join(f"{counts[name]:,}" for name in columns) + " |")
    total = " | ".join(f"{sum(counts[name] for counts in found.values()):,}" for name in columns)
    return "\n".join([*rows, f"| all | {total} |"])


def main() -> int:
    """Count what was asked for; 1 where anything was not clear."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--every", type=int, default=1, help="try every n-th input")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one input")
    parser.add_argument("--write", action="store_true", help="put the table into docs/robustness.md")
    parser.add_argument("--from", type=int, dest="first", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.first is not None:
        work(asked.kinds[0], asked.first, asked.every)
        return 0
    found = {}
    for kind in asked.kinds or KINDS:
        found[kind] = count(kind, every=asked.every, limit=asked.limit)
        print(f"{kind}: {found[kind]['seconds']:.0f} s", flush=True)
    print(table(found))
    if asked.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{after}", encoding="utf-8")
    return int(any(counts["unclear"] for counts in found.values()))


if __name__ == "__main__":
    sys.exit(main())
