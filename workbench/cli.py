"""The workbench's verbs from a shell: ask, look, memory-plan, doctor, bench, ablate, runs, lab.

Each command takes the arguments of the function of the same name, calls it and prints what it returns.
The answer goes to standard output; the thought, the facts and errors go to standard error.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from PIL.Image import Image

import workbench

from .errors import CapabilityError, InputError
from .files import data_path, local_path, open_regular, write_bytes
from .images import open_images
from .terminal import FAILED, INTERRUPTED, Verb, example, run, waiting, write, write_json
from .types import Mode, Piece

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["app", "main"]

RECORD = (
    *("question", "text", "thought", "mode", "p_think", "prompt_tokens", "image_tokens", "thought_tokens"),
    *("answer_tokens", "seconds", "seconds_to_first_token", "stopped"),
    *("model", "source", "settings", "created"),
)
PICTURES = (
    *(".avif", ".bmp", ".gif", ".ico", ".jpeg", ".jpg", ".jp2", ".pcx", ".png", ".ppm", ".tga", ".tif"),
    *(".tiff", ".webp", ".xbm", ".svg", ".heic", ".pdf"),
)
WEB = ("http://", "https://")
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
PACKAGE = Path(__file__).resolve().parent
BROUGHT = PACKAGE / "_notebooks"  # in a wheel
NOTEBOOKS = "workbench-notebooks"  # the user's copy of them

app = typer.Typer(
    help="A workbench for vision-language models that think or answer directly.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
bench = typer.Typer(
    help="Run benchmarks, score them under other protocols, compare and report them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench", epilog=example("workbench bench run suite --folder runs/suite"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, 2 for a mistake that can be acted on, 130 after Ctrl-C.
    """
    return run(app, arguments, name="workbench")


# -- options that several commands share -----------------------------------------------------------

Source = Annotated[
    str, typer.Option(metavar="SOURCE", help="Built-in 'nano', a folder, a Hub id, or a server's address.")
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Which model of a server.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps.")]
Quantize = Annotated[Literal["int8", "int4"] | None, typer.Option(help="Fewer bits for the decoder.")]
MaxTokens = Annotated[int | None, typer.Option(metavar="N", help="Most tokens of a reply.")]
ThinkingBudget = Annotated[int | None, typer.Option(metavar="N", help="Close the thought after N tokens.")]


def _version(asked: bool) -> None:
    if asked:
        write(f"workbench {workbench.__version__}")
        raise typer.Exit


@app.callback(epilog=example('workbench ask picture.png "What is red?" --mode think'))
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A workbench for vision-language models that think or answer directly."""


# -- models ----------------------------------------------------------------------------------------


@app.command(
    cls=Verb,
    epilog=example(
        'workbench ask picture.png "What is red plus blue?" --mode think',
        'workbench ask before.png after.png "What has changed?" --json',
        'workbench ask "Why is the sky blue?" --source http://127.0.0.1:8000/v1',
    ),
)
def ask(
    *,
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE", help="Picture files, in order, or none.")
    ] = None,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask, in quotes.")],
    mode: Annotated[Mode, typer.Option(help="How to reply.")] = Mode.AUTO,
    max_tokens: MaxTokens = None,
    thinking_budget: ThinkingBudget = None,
    temperature: Annotated[float, typer.Option(metavar="T", help="0 is greedy.")] = 0.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="For a temperature above 0.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")] = False,
    save: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Save it, for workbench.Answer.load.")
    ] = None,
    source: Source = "nano",
    model: Model = None,
    quantize: Quantize = None,
    device: Device = "auto",
) -> int:
    """Ask a model about one picture, several, or none."""
    pictures = _pictures(images or [], question)
    vlm = _load(source, device=device, quantize=quantize, model=model)
    with waiting("reading the question"):
        stream = vlm.stream(
            pictures,
            question,
            mode=mode,
            max_tokens=max_tokens,
            thinking_budget=thinking_budget,
            temperature=temperature,
            seed=seed,
        )
    if json:
        with waiting("answering"):
            answer = stream.answer
        write_json({**{name: getattr(answer, name) for name in RECORD}, "mode": str(answer.mode)})
    else:
        answer = _show(stream)
    if save:
        answer.save(save)
    return INTERRUPTED if answer.stopped == "interrupted" else 0


@app.command(
    cls=Verb,
    epilog=example(
        'workbench look picture.png "What is red plus blue?" --mode think --out page.html',
    ),
)
def look(
    *,
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Picture files, in order.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask, in quotes.")],
    mode: Annotated[Mode, typer.Option(help="How to reply.")] = Mode.AUTO,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The page.")] = "look.html",
    max_tokens: MaxTokens = None,
    thinking_budget: ThinkingBudget = None,
    source: Source = "nano",
    quantize: Quantize = None,
    device: Device = "auto",
) -> int:
    """Ask about pictures, and save where each word of the reply looked as one page that works offline."""
    pictures = _pictures(images, question)
    vlm = _load(source, device=device, quantize=quantize)
    with waiting("reading the question"):
        stream = vlm.stream(
            pictures,
            question,
            mode=mode,
            max_tokens=max_tokens,
            thinking_budget=thinking_budget,
            capture=True,
        )
    answer = _show(stream)
    with waiting("writing the page"):
        path = workbench.ui.AttentionExplorer(answer).save_html(out)
    write(f"workbench look: the page is {path}", file=sys.stderr)
    return INTERRUPTED if answer.stopped == "interrupted" else 0


def _pictures(images: Sequence[str], question: str) -> list[Image] | None:
    """The pictures of a question, opened before a model is loaded for them.

    Raises:
        InputError: if one cannot be opened, or if what stands last is no question.
    """
    if _is_picture(question):
        raise InputError(
            f"no question: the last word is the picture {question!r}",
            "pictures first, then the question in quotes",
            'workbench ask picture.png "What is this?"',
        )
    for word in images:
        if not (_is_picture(word) or word.lower().startswith(WEB)):
            raise InputError(
                f"no file {word!r}",
                f"pictures first, then the question in quotes, seen from {os.getcwd()}",
                'workbench ask picture.png "What is this?"',
            )
    return open_images(images) if images else None


def _is_picture(word: str) -> bool:
    """Whether a word names something on disk, or is a name that only a picture has."""
    named = word.lower().endswith(PICTURES) and not any(c.isspace() for c in word)
    return named or os.path.exists(os.path.expanduser(word))


def _load(source: str, **options: Any) -> Any:
    with waiting(f"loading {source}"):
        return workbench.load(source, progress=sys.stderr.isatty(), **options)


def _show(stream: workbench.models.Stream) -> workbench.Answer:
    """Write the reply while it comes: the thought dimmed, then the answer, then what it cost."""
    kind = ""
    try:
        for piece in _begun(stream):
            if kind == "thought" and piece.kind == "answer":
                write("", file=sys.stderr)
            kind = piece.kind
            thought = kind == "thought"
            write(piece.text, file=sys.stderr if thought else sys.stdout, end="", dim=thought)
    except KeyboardInterrupt:  # it came while a piece was printed, outside of the stream's own handling
        stream.stop()
    answer = stream.answer
    write("", file=sys.stderr if kind == "thought" else sys.stdout)
    counts = (answer.prompt_tokens, answer.thought_tokens, answer.answer_tokens)
    prompt, thinking, answering = ("unknown" if count is None else str(count) for count in counts)
    facts = [f"mode {answer.mode}", f"{prompt} prompt tokens"]
    facts.append(f"{thinking} thought + {answering} answer tokens")
    facts += [f"{answer.seconds:.2f} s", f"stopped: {answer.stopped}"]
    write(f"({', '.join(facts)})", file=sys.stderr, dim=True)
    return answer


def _begun(stream: workbench.models.Stream) -> Iterator[Piece]:
    """The pieces of a reply; waiting for the first of them is told."""
    pieces = iter(stream)
    with waiting("reading the question"):
        first = next(pieces, None)
    if first is not None:
        yield first
        yield from pieces


@app.command(
    "memory-plan",
    cls=Verb,
    epilog=example(
        "workbench memory-plan microsoft/Phi-4-reasoning-vision-15B",
        "workbench memory-plan owner/name --device cuda --context 8192 --batch 4",
    ),
)
def memory_plan(
    *,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Built-in 'nano', a folder or a Hub id.")
    ] = "nano",
    device: Device = "auto",
    context: Annotated[int | None, typer.Option(metavar="N", help="Tokens of prompt and reply.")] = None,
    image_tokens: Annotated[int | None, typer.Option(metavar="N", help="Most tokens of a picture.")] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Sequences at a time.")] = 1,
) -> None:
    """Say what a model needs, what fits here, and which call to make."""
    with waiting(f"planning for {source}"):
        made = workbench.memory_plan(
            source, device=device, context=context, image_tokens=image_tokens, batch=batch
        )
    write(made)


app.command("plan", cls=Verb, hidden=True)(memory_plan)  # its name until 0.2


@app.command(cls=Verb, epilog=example("workbench doctor"))
def doctor() -> None:
    """Say what this machine can run, and what to install."""
    with waiting("looking at this machine"):
        report = workbench.doctor()
    write(report)


# -- benchmarks ------------------------------------------------------------------------------------


@bench.command(
    "run",
    cls=Verb,
    epilog=example(
        "workbench bench run suite --folder runs/suite",
        "workbench bench run MMStar AI2D --source owner/name --modes think nothink --limit 200",
    ),
)
def bench_run(
    *,
    tasks: Annotated[list[str], typer.Argument(metavar="TASK", help="suite, synth:chain@2, MMStar, ...")],
    source: Source = "nano",
    model: Model = None,
    device: Device = "auto",
    quantize: Quantize = None,
    data: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where a benchmark of the field lies (else the Hub).")
    ] = None,
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Of the run; the same call goes on there.")
    ] = None,
    modes: Annotated[
        list[Mode], typer.Option(metavar="MODE", help="auto, think and nothink, or some of them.")
    ] = list(Mode),  # noqa: B006
    limit: Annotated[int | None, typer.Option(metavar="N", help="Only the first N items a task.")] = None,
    max_tokens: MaxTokens = None,
    thinking_budget: ThinkingBudget = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Questions at a time.")] = 8,
    workers: Annotated[int, typer.Option(metavar="N", help="Requests at a time, to a server.")] = 8,
    blind: Annotated[
        Literal["blind", "grey"] | None, typer.Option(help="Without the picture, or with a grey one.")
    ] = None,
    thought_tests: Annotated[
        list[str] | None, typer.Option(metavar="TEST", help="Of the thoughts: early_answering, ...")
    ] = None,
    again: Annotated[list[str] | None, typer.Option(metavar="ITEM", help="Items to ask anew.")] = None,
    cache: Annotated[bool, typer.Option(help="Take replies from earlier runs, and keep them.")] = True,
    engine: Annotated[
        Literal["local", "ray", "here"], typer.Option(metavar="NAME", help="local, or ray for a cluster.")
    ] = "local",  # "here": its name until 0.2
) -> None:
    """Ask a model every item of some tasks.  A run that was stopped goes on where it was."""
    with waiting("preparing the tasks"):  # before the model, so that a wrong name costs no waiting
        chosen = _tasks(tasks, data)
        tests = _thought_tests(thought_tests or [], blind)
    vlm = _load(source, device=device, quantize=quantize, model=model)
    with waiting(f"asking {vlm.name}"):
        results = workbench.bench.run(
            vlm,
            chosen,
            modes=modes,
            folder=folder,
            limit=limit,
            max_tokens=max_tokens,
            thinking_budget=thinking_budget,
            batch_size=batch_size,
            workers=workers,
            blind=blind or False,
            thought_tests=tests,
            again=again or False,
            cache=cache,
            engine=engine,
            progress=sys.stderr.isatty(),
        )
    _warn(results)
    said = f"\n\n{results.about['thoughts']['verdict']}" if tests else ""
    write(f"{_scores(results)}{said}\n\nkept in {results.folder}")


def _thought_tests(names: Sequence[str], blind: str | None) -> tuple[str, ...]:
    """The names of tests, which may be separated by commas as well."""
    from .bench.thoughts import check_thought_tests  # pandas

    return check_thought_tests(",".join(names).replace(",", " ").split(), blind=blind or "")


def _tasks(names: Sequence[str], data: str | None) -> list[workbench.bench.Task]:
    from .bench.tasks.catalog import resolve  # NumPy

    if data is None:
        return resolve(names)
    if len(names) != 1:
        raise InputError(f"--data with {len(names)} tasks", "one task a folder", "run them one after another")
    return [workbench.bench.task(names[0], folder=data)]


@bench.command(
    cls=Verb,
    epilog=example(
        "workbench bench rescore runs/suite --protocol lmms-eval",
        "workbench bench rescore model_ChartQA_TEST.xlsx --protocol vlmevalkit --save again.jsonl",
    ),
)
def rescore(
    *,
    results: Annotated[
        str, typer.Argument(metavar="RESULTS", help="Folder of a run, saved results, or a harness's log.")
    ],
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="workbench, vlmevalkit or lmms-eval.")
    ] = "workbench",
    rules: Annotated[str | None, typer.Option(hidden=True)] = None,  # its name until 0.2
    save: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the new results (.jsonl or .parquet).")
    ] = None,
) -> None:
    """Score a run or a log under another protocol, and list the items that flip."""
    protocol = rules or protocol
    with waiting(f"reading {results}"):
        before = _results(results)
        after = workbench.bench.rescore(before, protocol)
    _warn(after)
    if save:
        after.save(save)
    flips = after.flips[["benchmark", "item", "mode", "gold", "response", "before", "after"]]
    listed = flips.to_string(index=False, max_colwidth=40) if len(flips) else "none"
    write(f"{before.protocol or 'the log'}:\n{_scores(before)}\n\n{protocol}:\n{_scores(after)}")
    write(f"\nflips ({len(flips)}):\n{listed}")


@bench.command(cls=Verb, epilog=example("workbench bench compare runs/think runs/direct"))
def compare(
    *,
    first: Annotated[str, typer.Argument(metavar="FIRST", help="Folder of a run, saved results or a log.")],
    second: Annotated[str, typer.Argument(metavar="SECOND", help="What it is compared with.")],
) -> None:
    """Compare two runs item by item: differences with intervals, corrected over benchmarks."""
    with waiting("reading both"):
        table = workbench.bench.compare(_results(first), _results(second))
    names = [n for n in ("benchmark", "mode") if n in table]
    told = table[[*names, "n", "first", "second", "difference", "low", "high", "p_holm", "says"]]
    write(_table(told))


@bench.command(
    cls=Verb,
    epilog=example("workbench bench report runs/suite", "workbench bench report runs/a runs/b -o both.html"),
)
def report(
    *,
    results: Annotated[
        list[str], typer.Argument(metavar="RESULTS", help="Folders of runs, saved results or logs.")
    ],
    path: Annotated[
        str, typer.Option("--path", "-o", metavar="FILE", help="Where to write it.")
    ] = "report.html",
    output: Annotated[str | None, typer.Option(hidden=True)] = None,  # its name until 0.2
    title: Annotated[str, typer.Option(metavar="TEXT", help="Heading of the page.")] = "Benchmark report",
    failures: Annotated[int, typer.Option(metavar="N", help="Most items with pictures.")] = 100,
) -> None:
    """Write one HTML file of runs or logs that opens without a network."""
    path = output or path
    with waiting(f"writing {path}"):
        parts = [_results(each, name=Path(each).stem if len(results) > 1 else "") for each in results]
        together = parts[0] if len(parts) == 1 else workbench.bench.Results.concat(parts)
        written = workbench.bench.report(together, path, title=title, failures=failures)
    write(written)


def _results(path: str, *, name: str = "") -> workbench.bench.Results:
    """Results from a run's folder, a file that `Results.save` wrote, or another harness's log.

    Raises:
        InputError: if it is none of these, or damaged.
    """
    place = local_path(path)
    results = workbench.bench.Results.load(place) if _is_saved(place) else workbench.bench.load_results(place)
    return results.replaced(results.frame().assign(run=name)) if name else results


def _is_saved(place: Path) -> bool:
    """Whether `Results.save` wrote a file: its header says so."""
    if not place.is_file() or place.suffix not in (".jsonl", ".parquet"):
        return False
    with open_regular(place) as file:
        return place.suffix == ".parquet" or b'"workbench.results"' in file.readline(200)


def _scores(results: workbench.bench.Results) -> str:
    if not results.table["value"].notna().any():
        return "no row has a score"
    table = workbench.bench.scores(results)
    names = [n for n in ("run", "benchmark", "mode") if n in table and (n != "run" or table[n].nunique() > 1)]
    return _table(table[[*names, "n", "value", "low", "high"]])


def _warn(results: workbench.bench.Results) -> None:
    for warning in results.warnings:
        write(f"workbench bench: {warning}", file=sys.stderr)


# -- ablations -------------------------------------------------------------------------------------

TOLD = ("run", "state", "domain", "mode", "n", "accuracy", "low", "high", "tokens", "problem")


@app.command(
    cls=Verb,
    epilog=example("workbench ablate sweep.yaml --folder runs", "workbench ablate sweep.yaml --workers 4"),
)
def ablate(
    *,
    file: Annotated[str, typer.Argument(metavar="SWEEP.yaml", help="A recipe or a sweep, YAML or JSON.")],
    folder: Annotated[
        str, typer.Option(metavar="FOLDER", help="Of all runs; the same call goes on there.")
    ] = "runs",
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Here, or on a Ray cluster.")] = "local",
    workers: Annotated[int | None, typer.Option(metavar="N", help="Runs at the same time.")] = None,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of a Ray cluster (one is started here).")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu or cuda.")] = "cpu",
    checkpoint: Annotated[int, typer.Option(metavar="N", help="Steps between checkpoints.")] = 100,
    wait: Annotated[float, typer.Option(metavar="S", help="Seconds for a run that is worked at.")] = 0.0,
) -> int:
    """Train and measure a recipe or a sweep of them.  Finished runs are kept, stopped ones go on."""
    with waiting(f"running {file} in {folder}"):
        made = workbench.ablate.sweep(
            workbench.ablate.read_sweep(file),
            folder,
            engine=engine,
            workers=workers,
            address=address,
            device=device,
            checkpoint=checkpoint,
            wait=wait,
            progress=sys.stderr.isatty(),
        )
    failures = [f"run {name} failed: {why}" for name, why in made.failed.items()]
    write("\n".join([_table(_told(made.frame())), "", str(made), *failures]))
    return FAILED if made.failed else 0


@app.command(cls=Verb, epilog=example("workbench runs", "workbench runs studies --save studies.csv"))
def runs(
    *,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Of the runs.")] = "runs",
    save: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write every field too (.csv or .parquet).")
    ] = None,
) -> None:
    """Show all runs of a folder as a table."""
    with waiting(f"reading {folder}"):
        table = workbench.ablate.runs(folder)
    if save:
        _save(table, local_path(save))
    write(_table(_told(table)) if len(table) else f"no runs in {folder!r}")


def _told(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[[name for name in TOLD if name in table]]
    return shown.drop(columns=[n for n in ("problem",) if n in shown and not shown[n].any()])


def _table(table: pd.DataFrame) -> str:
    return str(table.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep=""))


def _save(table: pd.DataFrame, path: Path) -> None:
    """Write a table in one step, as CSV or Parquet."""
    if path.suffix == ".parquet":
        data = table.to_parquet()
    elif path.suffix == ".csv":
        data = table.rename(columns=_inert).map(_inert).to_csv(index=False).encode()
    else:
        raise InputError(f"--save {str(path)!r}", "a name that ends in .csv or .parquet")
    write_bytes(path, data)


def _inert(cell: object) -> Any:
    """A cell that no spreadsheet takes for a formula: text that looks like one begins with an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell


# -- JupyterLab ------------------------------------------------------------------------------------


@app.command(
    cls=Verb,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=example("workbench lab", "workbench lab my-notebooks --no-browser --port=9999"),
)
def lab(
    ctx: typer.Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="Of notebooks (the workbench's own).")
    ] = None,
) -> None:
    """Open JupyterLab on the notebooks; its own options may follow."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise CapabilityError("JupyterLab is not installed", "JupyterLab", "pip install jupyterlab")
    more = list(ctx.args)
    if folder is not None and folder.startswith("-"):  # an option of JupyterLab, which has values of its own
        more.insert(0, folder)
        folder = None
    root, first = _notebooks() if folder is None else (local_path(folder).resolve(), "00_tour.ipynb")
    if not root.is_dir():
        raise InputError(f"{folder} is no folder", "a folder of notebooks", "workbench lab")
    command: list[str] = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None",
    ]
    if (root / first).is_file():
        command.append(f"--LabApp.default_url=/lab/tree/{first}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # as one is in a container; it listens on localhost only
        command.append("--allow-root")
    sys.stdout.flush()
    os.execv(sys.executable, [*command, *more])


def _notebooks() -> tuple[Path, str]:
    """Where JupyterLab opens, and the first notebook there: the checkout's, else a copy in this folder.

    The samples lie beside the notebooks, and the user's own files are in reach.
    """
    if not BROUGHT.is_dir():
        return PACKAGE.parent, "notebooks/00_tour.ipynb"
    here = Path.cwd()
    folder = here / NOTEBOOKS
    kept = _copy(BROUGHT.glob("*.ipynb"), folder)
    kept += _copy(data_path("samples").iterdir(), folder / "samples")
    write(f"workbench lab: the notebooks are in {folder}", file=sys.stderr)
    if kept:
        write(f"workbench lab: {kept} files were there already and are as they were", file=sys.stderr)
    return here, f"{NOTEBOOKS}/00_tour.ipynb"


def _copy(files: Iterable[Path], folder: Path) -> int:
    """Copy files to where none of that name is; how many were there already."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = 0
    for file in files:
        place = folder / file.name
        if os.path.lexists(place):
            kept += 1
        else:
            write_bytes(place, file.read_bytes())
    return kept


if __name__ == "__main__":
    sys.exit(main())
