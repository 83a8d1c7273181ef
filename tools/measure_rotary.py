"""What rounding the rotary frequencies changes: python tools/measure_rotary.py [FOLDER ...]

Drawn questions are read in bfloat16 with the frequencies in float32 (the port) and rounded (the published
code): the largest difference of a logit, beside that of bfloat16 and float32, and how many greedy replies
agree.
"""

from __future__ import annotations

import copy
import sys

import torch

from workbench import data_path, synth
from workbench.models.phi4_rv import Phi4RVForConditionalGeneration, Phi4RVProcessor, round_rotary

SEED, QUESTIONS, TOKENS = 3, 12, 30


@torch.no_grad()
def main(source: str) -> None:
    """Print one line for a checkpoint."""
    processor = Phi4RVProcessor.from_pretrained(source)
    exact = Phi4RVForConditionalGeneration.from_pretrained(source, dtype=torch.float32).eval()
    ours = copy.deepcopy(exact).bfloat16()
    ours.model.language_model.rotary_emb = copy.deepcopy(exact.model.language_model.rotary_emb)
    theirs = round_rotary(copy.deepcopy(ours))
    rounded = half = agree = 0.0
    for sample in synth.sample("chain", QUESTIONS, seed=SEED):
        turn = {"role": "user", "content": f"<image>\n{sample.question}"}
        text = processor.apply_chat_template([turn], add_generation_prompt=True)
        inputs = processor(text=text, images=sample.images, return_tensors="pt")
        found = [model(**inputs).logits.float() for model in (ours, theirs, exact)]
        rounded = max(rounded, (found[0] - found[1]).abs().max().item())
        half = max(half, (found[0] - found[2]).abs().max().item())
        replies = [
            model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS) for model in (ours, theirs)
        ]
        agree += replies[0].tolist() == replies[1].tolist()
    print(
        f"{source}: rounded frequencies move a logit by up to {rounded:.2f} (bfloat16 itself by {half:.2f}); "
        f"{agree:.0f} of {QUESTIONS} greedy replies agree (seed {SEED})"
    )


if __name__ == "__main__":
    for folder in sys.argv[1:] or [str(data_path("nano"))]:
        main(folder)
