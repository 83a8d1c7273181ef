"""A worker of a local sweep: reads a job a line from standard input, writes its outcome a line"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

from .engines import attempt
from .recipe import Recipe

__all__ = ["main"]


def main() -> None:
    """Work until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed must not come between the outcomes
    for line in sys.stdin:
        job = json.loads(line)
        outcome = attempt(Recipe.from_dict(job["recipe"]), Path(job["root"]), job["options"])
        answers.write(json.dumps(dataclasses.asdict(outcome)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
