"""The workbench's verbs from a shell: ask, plan, doctor, bench, ablate, runs, lab.

Arguments are parsed here and nothing else: each command calls the function of the same name.
The answer goes to standard output; the thought, the facts and errors go to standard error.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import workbench

from .errors import CapabilityError, WorkbenchError
from .types import Mode

if TYPE_CHECKING:
    from .answer import Answer
    from .models.asking import Stream

__all__ = ["main"]

FAILED, INTERRUPTED = 2, 130
RECORD = (
    *("question", "text", "thought", "mode", "p_think", "prompt_tokens", "image_tokens", "thought_tokens"),
    *("answer_tokens", "seconds", "seconds_to_first_token", "stopped"),
    *("model", "source", "settings", "created"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, 2 for a mistake that can be acted on, 130 after Ctrl-C.
    """
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    if more and options.run is not _lab:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.more = more
    try:
        return int(options.run(options))
    except WorkbenchError as error:
        print(f"workbench {options.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as stopped:
        notes = " ".join(["interrupted", *getattr(stopped, "__notes__", ())])
        print(f"workbench {options.command}: {notes}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader went away (`workbench plan | head`); nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="workbench", description="A workbench for vision-language models.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {workbench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    ask = commands.add_parser("ask", help="ask a model about a picture, several, or none")
    ask.add_argument("images", nargs="*", metavar="IMAGE", help="picture files, in order")
    ask.add_argument("question", help="what to ask, in quotes")
    ask.add_argument("--mode", default="auto", choices=[m.value for m in Mode], help="how to reply (auto)")
    ask.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the reply")
    ask.add_argument("--thinking-budget", type=int, metavar="N", help="close the thought after N tokens")
    ask.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 (default) is greedy")
    ask.add_argument("--seed", type=int, metavar="N", help="for a temperature above 0")
    ask.add_argument("--json", action="store_true", help="print the whole record as JSON")
    ask.add_argument("--save", metavar="FOLDER", help="save the answer, for workbench.Answer.load")
    ask.add_argument(
        "--source", default="nano", help="built-in 'nano', a folder, a Hub id, a server's address"
    )
    ask.add_argument("--model", metavar="NAME", help="which model of a server")
    ask.add_argument("--quantize", metavar="HOW", help="int8 or int4")
    ask.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    ask.set_defaults(run=_ask)

    plan = commands.add_parser("plan", help="what a model needs, what fits here, and which call to make")
    plan.add_argument("source", nargs="?", default="nano", help="built-in 'nano', a folder or a Hub id")
    plan.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    plan.add_argument("--context", type=int, metavar="N", help="tokens of prompt and reply")
    plan.add_argument("--image-tokens", type=int, metavar="N", help="most tokens of one picture")
    plan.add_argument("--batch", type=int, default=1, metavar="N", help="sequences at a time")
    plan.set_defaults(run=_plan)

    doctor = commands.add_parser("doctor", help="what this machine can run, and what to install")
    doctor.set_defaults(run=_doctor)

    _bench_parser(commands)
    _ablate_parser(commands)

    lab = commands.add_parser("lab", help="open JupyterLab on the notebooks; its own options may follow")
    lab.add_argument("folder", nargs="?", type=Path, help="folder of notebooks (the workbench's own)")
    lab.set_defaults(run=_lab)
    return parser


def _bench_parser(commands: Any) -> None:
    """The verbs of ``workbench bench``."""
    bench = commands.add_parser("bench", help="run benchmarks, re-score, compare and report them")
    verbs = bench.add_subparsers(dest="verb", required=True, metavar="VERB")

    run = verbs.add_parser("run", help="ask a model every item of some tasks, resumable")
    run.add_argument("tasks", nargs="+", metavar="TASK", help="suite, synth:FAMILY@LEVEL, MMStar, ...")
    run.add_argument("--source", default="nano", help="built-in 'nano', a folder, a Hub id, an address")
    run.add_argument("--model", metavar="NAME", help="which model of a server")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    run.add_argument("--quantize", metavar="HOW", help="int8 or int4")
    run.add_argument("--data", metavar="FOLDER", help="where a benchmark of the field lies (else the Hub)")
    run.add_argument("--folder", help="of the run; the same call goes on there")
    run.add_argument("--modes", nargs="+", default=[m.value for m in Mode], metavar="MODE", help="(all)")
    run.add_argument("--limit", type=int, metavar="N", help="only the first N items of each task")
    run.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of a reply")
    run.add_argument("--thinking-budget", type=int, metavar="N", help="close the thought after N tokens")
    run.add_argument("--batch-size", type=int, default=8, metavar="N", help="questions at a time (8)")
    run.add_argument("--workers", type=int, default=8, metavar="N", help="requests at a time to a server (8)")
    run.add_argument("--blind", choices=["blind", "grey"], help="without the picture, or with a grey one")
    run.add_argument("--again", nargs="+", metavar="ITEM", help="items to ask anew")
    run.add_argument("--no-cache", action="store_true", help="take no reply from earlier runs, keep none")
    run.add_argument("--engine", default="here", choices=["here", "ray"], help="here, or a Ray cluster")
    run.set_defaults(run=_bench_run)

    rescore = verbs.add_parser("rescore", help="score a run or a log under other rules; what flips")
    rescore.add_argument("results", help="folder of a run, saved results, or another harness's log")
    rescore.add_argument("--rules", default="workbench", help="workbench, vlmevalkit or lmms-eval")
    rescore.add_argument("--save", metavar="FILE", help="write the new results (.jsonl or .parquet)")
    rescore.set_defaults(run=_bench)

    compare = verbs.add_parser("compare", help="two runs, item by item")
    compare.add_argument("first")
    compare.add_argument("second")
    compare.set_defaults(run=_bench)

    report = verbs.add_parser("report", help="one HTML file that opens without a network")
    report.add_argument("results", nargs="+", help="folders of runs, saved results or logs")
    report.add_argument("-o", "--output", default="report.html", metavar="FILE", help="(report.html)")
    report.add_argument("--title", default="Benchmark report")
    report.add_argument("--failures", type=int, default=100, metavar="N", help="most items with pictures")
    report.set_defaults(run=_bench)


def _ablate_parser(commands: Any) -> None:
    """The verbs ``workbench ablate`` and ``workbench runs``."""
    ablate = commands.add_parser("ablate", help="run a recipe or a sweep of them, resumable")
    ablate.add_argument("file", metavar="SWEEP.yaml", help="a recipe or a sweep, YAML or JSON")
    ablate.add_argument("--folder", default="runs", help="of all runs (runs); the same call goes on there")
    ablate.add_argument("--engine", default="local", choices=["local", "ray"], help="here, or a Ray cluster")
    ablate.add_argument("--workers", type=int, metavar="N", help="runs at the same time (1)")
    ablate.add_argument("--address", metavar="HOST:PORT", help="of a Ray cluster (one is started here)")
    ablate.add_argument("--device", default="cpu", help="cpu or cuda")
    ablate.add_argument("--checkpoint", type=int, default=100, metavar="N", help="steps between them (100)")
    ablate.add_argument("--wait", type=float, default=0.0, metavar="S", help="for a run that is worked at")
    ablate.set_defaults(run=_ablate)

    runs = commands.add_parser("runs", help="all runs of a folder, as a table")
    runs.add_argument("folder", nargs="?", default="runs", help="of the runs (runs)")
    runs.add_argument("--save", metavar="FILE", help="write the whole table (.csv or .parquet)")
    runs.set_defaults(run=_runs)


def _ablate(options: argparse.Namespace) -> int:
    from .ablate.shell import run_sweep

    names = ("folder", "engine", "workers", "address", "device", "checkpoint", "wait")
    told, failed = run_sweep(options.file, **{name: getattr(options, name) for name in names})
    print(_printable(told))
    return FAILED if failed else 0


def _runs(options: argparse.Namespace) -> int:
    from .ablate.shell import list_runs

    print(_printable(list_runs(options.folder, save=options.save)))
    return 0


def _bench_run(options: argparse.Namespace) -> int:
    from .bench.shell import run_tasks

    def load() -> Any:
        return workbench.load(
            options.source,
            device=options.device,
            quantize=options.quantize,
            model=options.model,
            progress=sys.stderr.isatty(),
        )

    told = run_tasks(
        load,
        options.tasks,
        data=options.data,
        modes=options.modes,
        folder=options.folder,
        limit=options.limit,
        max_tokens=options.max_tokens,
        thinking_budget=options.thinking_budget,
        batch_size=options.batch_size,
        workers=options.workers,
        blind=options.blind or False,
        again=options.again or False,
        cache=not options.no_cache,
        engine=options.engine,
        progress=sys.stderr.isatty(),
    )
    print(_printable(told))
    return 0


def _bench(options: argparse.Namespace) -> int:
    from .bench import shell

    if options.verb == "rescore":
        told = shell.rescore_results(options.results, options.rules, save=options.save)
    elif options.verb == "compare":
        told = shell.compare_results(options.first, options.second)
    else:
        told = shell.report_results(
            options.results, options.output, title=options.title, failures=options.failures
        )
    print(_printable(told))
    return 0


def _ask(options: argparse.Namespace) -> int:
    vlm = workbench.load(
        options.source,
        device=options.device,
        quantize=options.quantize,
        model=options.model,
        progress=sys.stderr.isatty(),
    )
    stream = vlm.stream(
        options.images or None,
        options.question,
        mode=options.mode,
        max_tokens=options.max_tokens,
        thinking_budget=options.thinking_budget,
        temperature=options.temperature,
        seed=options.seed,
    )
    answer = stream.answer if options.json else _show(stream)
    if options.json:
        record = {name: getattr(answer, name) for name in RECORD}
        print(json.dumps({**record, "mode": str(answer.mode)}, ensure_ascii=False, indent=2))
    if options.save:
        answer.save(options.save)
    return INTERRUPTED if answer.stopped == "interrupted" else 0


def _show(stream: Stream) -> Answer:
    """Write the reply while it comes: the thought dimmed, then the answer, then what it cost."""
    kind = ""
    try:
        for piece in stream:
            if kind == "thought" and piece.kind == "answer":
                print(file=sys.stderr, flush=True)
            kind = piece.kind
            text = _printable(piece.text)
            if kind == "thought":
                print(_dim(text, sys.stderr), end="", file=sys.stderr, flush=True)
            else:
                print(text, end="", flush=True)
    except KeyboardInterrupt:  # it came while a piece was printed, outside of the stream's own handling
        stream.stop()
    answer = stream.answer
    print(file=sys.stderr if kind == "thought" else sys.stdout, flush=True)
    facts = [f"mode {answer.mode}", f"{answer.prompt_tokens} prompt tokens"]
    facts.append(f"{answer.thought_tokens} thought + {answer.answer_tokens} answer tokens")
    facts += [f"{answer.seconds:.2f} s", f"stopped: {answer.stopped}"]
    print(_dim(f"({', '.join(facts)})", sys.stderr), file=sys.stderr)
    return answer


def _plan(options: argparse.Namespace) -> int:
    made = workbench.plan(
        options.source,
        device=options.device,
        context=options.context,
        image_tokens=options.image_tokens,
        batch=options.batch,
    )
    print(made)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    print(workbench.doctor())
    return 0


def _lab(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("jupyterlab") is None:
        raise CapabilityError("JupyterLab is not installed", "JupyterLab", "pip install jupyterlab")
    own = Path(__file__).resolve().parent.parent / "notebooks"
    folder = (options.folder or (own if own.is_dir() else Path())).resolve()
    if not folder.is_dir():
        raise WorkbenchError(f"{options.folder} is no folder", "a folder of notebooks", "workbench lab")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    if (folder / "01_ask.ipynb").is_file():
        command.append("--LabApp.default_url=/lab/tree/01_ask.ipynb")
    if (
        hasattr(os, "geteuid") and os.geteuid() == 0
    ):  # in a container one is root; it listens on localhost only
        command.append("--allow-root")
    sys.stdout.flush()
    os.execv(sys.executable, [*command, *options.more])


def _printable(text: str) -> str:
    """Text of a model without the control characters that a terminal would obey."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def _dim(text: str, stream: TextIO) -> str:
    plain = not stream.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[2m{text}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
