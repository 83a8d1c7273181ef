"""Make small logs with the harnesses' own packages, for tests of the importers.

``python tools/fresh_logs.py inspect lmms-eval`` makes a virtual environment for each harness, runs it there
on a few invented items with a model that replies from a list, and puts what it wrote into ``--into``, with
the version that wrote it in ``VERSIONS.txt``.  ``tests/data/bench/fresh`` was made so.  Nothing is asked of a
network but the packages themselves.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = {
    "inspect": ["inspect_ai", "pillow"],
    "lmms-eval": ["torch==2.13.0", "filelock<3.21", "lmms-eval"],
}
QUESTIONS = (
    # question, options, the right letter, what the model replies
    ("What colour is the square?", ("red", "blue", "green", "grey"), "A", "ANSWER: A"),
    ("Which word is written?", ("Start", "Stop", "Save", "Send"), "C", "ANSWER: B"),
    ("How many bars are there?", ("2", "3", "4", "5"), "B", "ANSWER: B"),
    ("Which bar is the tallest?", ("left", "middle", "right", "none"), "D", ""),
)


def main() -> None:
    """Make the logs of the harnesses that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "harness", nargs="*", default=list(REQUIREMENTS), help=f"of {', '.join(REQUIREMENTS)}"
    )
    parser.add_argument("--into", type=Path, default=Path("fresh"), help="folder for the logs")
    parser.add_argument("--environments", type=Path, default=Path("environments"), help="folder of the venvs")
    parser.add_argument("--neutral", type=Path, default=Path("/srv/eval"), help="where the harnesses run")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        os.chdir(given.neutral)
        {"inspect": inspect_logs, "lmms-eval": lmms_logs}[given.harness[0]]()
        return
    for harness in given.harness:
        python = environment(harness, given.environments)
        place = given.neutral / harness
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        told = [str(python), os.path.abspath(__file__), "--inside", harness, "--neutral", str(place)]
        subprocess.run(told, check=True, env={**os.environ, "INSPECT_DISABLE_MODEL_API": "0"})
        target = given.into / harness
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(place / "logs", target)
        print(f"{harness}: {sum(p.is_file() for p in target.rglob('*'))} files in {target}")


def environment(harness: str, folder: Path) -> Path:
    """The Python of a harness's own environment, made where it is not there yet."""
    place = (folder / harness).absolute()
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *REQUIREMENTS[harness]], check=True)
    return python


def picture(colour: str = "red") -> bytes:
    """A small picture."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(out, "PNG")
    return out.getvalue()


def note_version(package: str) -> None:
    """Write down which version made the logs."""
    from importlib.metadata import version

    Path("logs").mkdir(exist_ok=True)
    Path("logs/VERSIONS.txt").write_text(f"{package} {version(package)}, Python {sys.version.split()[0]}\n")


# -------------------------------------------------------------------------------------------------- inspect


def inspect_logs() -> None:
    """Two runs of one choice task with pictures, one graded by another model, one without samples."""
    from inspect_ai import Task
    from inspect_ai import eval as run
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, get_model
    from inspect_ai.scorer import choice
    from inspect_ai.solver import generate, multiple_choice

    note_version("inspect_ai")
    uri = "data:image/png;base64," + base64.b64encode(picture()).decode()
    samples = [
        Sample(
            id=f"q{number}",
            input=[ChatMessageUser(content=[ContentText(text=question), ContentImage(image=uri)])],
            choices=list(options),
            target=letter,
            metadata={"category": "colour" if number == 0 else "other"},
        )
        for number, (question, options, letter, _) in enumerate(QUESTIONS)
    ]
    replies = [reply for *_, reply in QUESTIONS]
    for thoughts in (None, "It is drawn so."):
        model = get_model("mockllm/model", custom_outputs=[_output(reply, thoughts) for reply in replies])
        task = Task(MemoryDataset(samples), name="mmstar", solver=multiple_choice(), scorer=choice())
        run(task, model=model, log_dir="logs", display="none", max_samples=1)
    task = Task(MemoryDataset(samples[:2]), name="graded", solver=generate(), scorer=_graded())
    model = get_model("mockllm/model", custom_outputs=[_output("a red square"), _output("the word Stop")])
    run(task, model=model, log_dir="logs", display="none", max_samples=1)
    model = get_model("mockllm/model", custom_outputs=[_output("a red square"), _output("the word Stop")])
    run(task, model=model, log_dir="logs", display="none", max_samples=1, log_samples=False)


def _output(reply: str, thought: str | None = None):  # noqa: ANN202
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ContentReasoning,
        ContentText,
        ModelOutput,
        ModelUsage,
    )

    content = reply if thought is None else [ContentReasoning(reasoning=thought), ContentText(text=reply)]
    message = ChatMessageAssistant(content=content, model="model", source="generate")
    usage = ModelUsage(input_tokens=40, output_tokens=5, total_tokens=45)
    if thought is not None:
        usage = ModelUsage(input_tokens=40, output_tokens=9, total_tokens=49, reasoning_tokens=4)
    return ModelOutput(
        model="model", choices=[ChatCompletionChoice(message=message, stop_reason="stop")], usage=usage
    )


def _graded():  # noqa: ANN202
    """A scorer that asks a second model for a mark of 0 to 10."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import Score, mean, scorer

    def mark(text: str):  # noqa: ANN202
        output = ModelOutput.from_content("grader", text)
        output.usage = ModelUsage(input_tokens=900, output_tokens=400, total_tokens=1300)
        return output

    @scorer(metrics=[mean()])
    def marks():  # noqa: ANN202
        grader = get_model("mockllm/grader", custom_outputs=[mark("8"), mark("3"), mark("8"), mark("3")])

        async def score(state, target):  # noqa: ANN001, ANN202
            said = await grader.generate(f"Mark 0 to 10: {state.output.completion}")
            return Score(value=float(said.completion), answer=state.output.completion)

        return score

    return marks()


# ------------------------------------------------------------------------------------------------- lmms-eval


def lmms_logs() -> None:
    """Two runs of one model, with and without thinking, on four items of MMStar's layout."""
    note_version("lmms-eval")
    task = Path("tasks")
    task.mkdir()
    rows = []
    for number, (question, options, letter, _) in enumerate(QUESTIONS):
        listed = ", ".join(f"{name}: {text}" for name, text in zip("ABCD", options))
        rows.append(
            {
                "index": number,
                "question": f"{question}\nOptions: {listed}",
                "answer": letter,
                "category": "instance reasoning" if number % 2 else "math",
                "l2_category": "localization" if number % 2 else "geometry",
                "image": base64.b64encode(picture()).decode(),
            }
        )
    Path("rows.json").write_text(json.dumps(rows), "utf-8")
    package = importlib.util.find_spec("lmms_eval")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent / "tasks" / "mmstar"
    for name in ("utils.py", "_default_template_yaml"):
        shutil.copy(installed / name, task)
    (task / "mmstar_local.yaml").write_text(LMMS_TASK, "utf-8")
    for arguments in ("response=A,enable_thinking=True", "response=<think>Look.</think>B"):
        subprocess.run(
            [
                sys.executable, "-m", "lmms_eval", "--model", "dummy", "--model_args", arguments, "--tasks",
                "mmstar_local", "--include_path", "tasks", "--output_path", "logs", "--log_samples",
                "--batch_size", "1",
            ],
            check=True, env={**os.environ, "HF_DATASETS_OFFLINE": "1", "HF_HOME": os.path.abspath("hub")},
        )  # fmt: skip


LMMS_TASK = """\
include: _default_template_yaml
task: mmstar_local
dataset_path: json
dataset_kwargs:
  data_files: {val: rows.json}
doc_to_visual: !function utils.mmstar_oc_doc_to_visual
doc_to_text: !function utils.mmstar_doc_to_text
process_results: !function utils.mmstar_process_results
metric_list:
  - metric: average
    aggregation: !function utils.mmstar_aggregate_results
    higher_is_better: true
  - metric: math
    aggregation: !function utils.mmstar_aggregate_results
    higher_is_better: true
  - metric: instance reasoning
    aggregation: !function utils.mmstar_aggregate_results
    higher_is_better: true
"""


if __name__ == "__main__":
    main()
