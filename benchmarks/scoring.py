"""Speed of scoring and importing: 10,000 items scored again, and a log of 100 MB of each harness imported.

python benchmarks/scoring.py --out data/benchmarks/scoring.json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from result import keep

LETTERS = "ABCD"
WORDS = "the bar for coal in 2010 is higher than that of wind so the share must be larger"


def items(n: int, rng: random.Random, *, words: int) -> Iterator[dict[str, Any]]:
    """Invented items of six benchmarks, with replies of about ``words`` words."""
    kinds = ("ChartQA", "MMStar", "MMMU", "MathVista", "ScreenSpot_Pro", "OCRBench")
    texts = [" ".join(rng.choices(WORDS.split(), k=words)) for _ in range(500)]
    for number in range(n):
        kind = kinds[number % len(kinds)]
        said = rng.choice(texts)
        options = {letter: f"option {said[:12]} {letter.lower()}" for letter in LETTERS}
        letter, figure = rng.choice(LETTERS), rng.randint(1, 999)
        row: dict[str, Any] = {
            "benchmark": kind,
            "item": str(number),
            "mode": "auto",
            "model": "m",
            "question": said,
        }
        if kind in ("MMStar", "MMMU"):
            row.update(gold=rng.choice(LETTERS), response=f"{said}. The answer is ({letter}).")
            row["details"] = {"options": options}
        elif kind == "ScreenSpot_Pro":
            row.update(gold="[100, 100, 300, 200]", response=f"{said} [{figure}, {figure}]")
            row["details"] = {"image_size": [1920, 1080]}
        else:
            row.update(gold=str(figure), response=f"{said}. The answer is {rng.randint(1, 999)}.")
            row["details"] = {"answer_type": "integer"} if kind == "MathVista" else {}
        yield row


def write_log(kind: str, path: Path, size: int, seed: int) -> int:
    """A log of about ``size`` bytes in the layout of a harness; returns its number of items."""
    rng, n = random.Random(seed), 0
    rows = items(10**9, rng, words=150)
    if kind == "vlmevalkit tsv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL)
            writer.writerow(("index", "question", "answer", "prediction", "split"))
            while file.tell() < size:
                row = next(rows)
                writer.writerow((n, row["question"], row["gold"], row["response"], "human"))
                n += 1
    elif kind == "lmms-eval jsonl":
        with path.open("w", encoding="utf-8") as file:
            while file.tell() < size:
                row = next(rows)
                sample = {
                    "doc_id": n,
                    "target": row["gold"],
                    "input": row["question"],
                    "relaxed_overall": 1.0,
                }
                sample |= {"filtered_resps": row["response"], "token_counts": [{"output_tokens": 200}]}
                file.write(json.dumps({**sample, "doc_hash": f"{n:064x}"}) + "\n")
                n += 1
    elif kind == "eureka jsonl":
        with path.open("w", encoding="utf-8") as file:
            while file.tell() < size:
                row = next(rows)
                line = {
                    "uid": n,
                    "prompt": row["question"],
                    "model_output": row["response"],
                    "is_valid": True,
                }
                line |= {"ground_truth": row["gold"], "response_time": 1.5, "n_output_tokens": 200}
                file.write(json.dumps(line) + "\n")
                n += 1
    else:
        n = write_eval(path, rows, size)
    return n


def write_eval(path: Path, rows: Iterator[dict[str, Any]], size: int) -> int:
    """An Inspect archive whose members are about ``size`` bytes unpacked."""
    written = n = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        while written < size:
            row = next(rows)
            message = {"message": {"role": "assistant", "content": row["response"]}, "stop_reason": "stop"}
            sample = {"id": n, "epoch": 1, "input": row["question"], "target": row["gold"], "total_time": 1.5}
            sample |= {"output": {"choices": [message]}, "scores": {"match": {"value": "C", "answer": "x"}}}
            text = json.dumps({**sample, "events": [{"event": "model", "text": row["question"] * 4}]})
            archive.writestr(f"samples/{n}_epoch_1.json", text)
            written, n = written + len(text), n + 1
        archive.writestr(
            "header.json", json.dumps({"status": "success", "eval": {"task": "chartqa", "model": "m"}})
        )
    return n


def measure_import(path: Path) -> dict[str, Any]:
    """Time and peak memory of one import, in a process of its own."""
    code = (
        "import json, resource, sys, time\n"
        "from workbench.bench import load_results\n"
        "import pandas\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "started, cpu = time.perf_counter(), time.process_time()\n"
        "results = load_results(sys.argv[1], benchmark='ChartQA')\n"
        "facts = {'seconds': time.perf_counter() - started, 'cpu_seconds': time.process_time() - cpu}\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "facts |= {'rows': len(results), 'peak_mib': peak / 1024, 'before_mib': before / 1024}\n"
        "print(json.dumps(facts))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parent.parent,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


def measure_rescoring(n: int, seed: int, rounds: int) -> dict[str, Any]:
    """Seconds to score ``n`` items again under each protocol; the best and all of several rounds."""
    from workbench.bench import PROTOCOLS, Results, rescore

    results = Results.of(items(n, random.Random(seed), words=60))
    out: dict[str, Any] = {"items": n}
    for protocol in PROTOCOLS:
        wall, cpu = [], []
        for _ in range(rounds):
            started, used = time.perf_counter(), time.process_time()
            rescore(results, protocol)
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - used)
        out[protocol] = {"seconds": wall, "cpu_seconds": cpu}
    return out


def main() -> None:
    """Measure both and print, or write, the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {
            "cpus": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            # processes that wanted to run: above the number of cpus, wall time is longer than work
            "load_at_start": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
        "seed": options.seed,
        "rescoring": measure_rescoring(options.items, options.seed, options.rounds),
        "importing": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("vlmevalkit tsv", "lmms-eval jsonl", "eureka jsonl", "inspect eval"):
            path = Path(folder) / f"log.{kind.split()[1]}"
            n = write_log(kind, path, options.megabytes * 1_000_000, options.seed)
            facts["importing"][kind] = {
                "items": n, "file_mb": path.stat().st_size / 1e6, **measure_import(path),
            }  # fmt: skip
            path.unlink()
    facts["peak_of_this_process_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    keep(facts, options.out)


if __name__ == "__main__":
    main()
