"""Make the README's picture: one question in three modes, and what thinking buys, from the model card.

python tools/readme_picture.py
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import workbench
from workbench import synth

ROOT = Path(__file__).resolve().parent.parent
INK, FAINT = "#222222", "#777777"
MARKS = {"nothink": ("direct", "o", "#ddaa33"), "think": ("thinking", "^", "#004488")}


def main() -> None:
    """Ask, draw and write docs/workbench.png."""
    sample = synth.sample("gui_links", 1, seed=7, difficulty=2)[0]
    answers = workbench.load().compare_modes(sample.images, sample.question).answers
    figure = Figure(figsize=(11, 4.2), dpi=130)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.45, 1.25))
    left.imshow(sample.images[0], interpolation="nearest")
    left.set_title("a picture and a question", fontsize=10, color=FAINT, loc="left")
    left.set_xlabel(textwrap.fill(sample.question, 34), fontsize=9, color=INK)
    left.set_xticks([])
    left.set_yticks([])
    middle.axis("off")
    middle.set_title("the built-in model in its three modes", fontsize=10, color=FAINT, loc="left")
    lines = []
    for mode, answer in answers.items():
        verdict = "right" if sample.correct(answer.text) else "wrong"
        tokens = answer.thought_tokens + answer.answer_tokens
        lines.append(f'mode="{mode}"')
        if answer.thought:
            lines += textwrap.wrap(f"thought: {answer.thought}", 50)
        lines += [f"answer:  {answer.text}   ({verdict}, {tokens} token{'s' * (tokens > 1)})", ""]
    middle.text(0, 0.97, "\n".join(lines), va="top", fontsize=8, family="monospace", color=INK)
    scores = pd.DataFrame(
        json.loads(workbench.data_path("nano", "card.json").read_text())["evaluation"]["scores"]
    )
    several = scores[scores["several_steps"]]
    families = list(dict.fromkeys(several["family"]))
    for mode, (name, marker, colour) in MARKS.items():
        rows = several[several["mode"] == mode].set_index("family").loc[families] * 1
        error = [100 * (rows["accuracy"] - rows["low"]), 100 * (rows["high"] - rows["accuracy"])]
        right.errorbar(
            100 * rows["accuracy"], range(len(rows)), xerr=error, fmt=marker, color=colour, label=name
        )
    right.set_yticks(range(len(families)), families, fontsize=9)
    right.set_xlim(0, 103)
    right.invert_yaxis()
    right.set_xlabel("right (%), 500 questions each, 95% interval", fontsize=9)
    right.set_title("several-step questions", fontsize=10, color=FAINT, loc="left")
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=9, loc="lower center")
    figure.tight_layout()
    figure.savefig(ROOT / "docs" / "workbench.png")


if __name__ == "__main__":
    main()
