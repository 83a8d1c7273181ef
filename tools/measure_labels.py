"""How well the encoder of a run of the second recipe names what each patch shows, world by world.

    python tools/measure_labels.py RUN                 # the folder that --work of workbench.train names

It reads the run's last checkpoint, draws conversations that training never saw, and prints the share of
patches whose text, owner (of a value) and characters are named rightly.  A text counts where its word is one
of the drawn world's; characters count where there is one.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from workbench.stats import wilson
from workbench.synth import FAMILIES, FREE, World
from workbench.synth.wordings import ASPECTS
from workbench.train.data import Mix, batches
from workbench.train.loop import phased_trainer
from workbench.train.losses import Forward
from workbench.train.nano import EDITIONS, build_nano, nano_encoder

WORLDS = {
    "world 1, as drawn": World(1),
    "only moved": World(2, plain=1.0),
    "free": World(2),
    "free, held-out typefaces": World(2, held_out=("fonts",)),
    "free and worn": World(2, worn=True),
}
SEED, CONVERSATIONS = "labels", 96


def main(run: Path) -> None:
    """Print a table for the last checkpoint of a run."""
    edition = EDITIONS[2]
    tokenizer = Tokenizer.from_file(str(run / "model" / "tokenizer.json"))
    encoder = nano_encoder(tokenizer, edition)
    model = build_nano(
        tokenizer, tower=edition.tower, places=edition.places, most_patches=edition.most_patches
    )
    with TemporaryDirectory() as empty:
        trainer = phased_trainer(model, encoder, config=edition.recipe, folder=Path(empty))
    tensors = load_file(run / "checkpoint.safetensors")
    model.load_state_dict(_part(tensors, "model."))
    trainer.heads.load_state_dict(_part(tensors, "heads."))
    model.eval()
    print((run / "checkpoint.json").read_text())
    for name, world in WORLDS.items():
        families = FAMILIES if world.version == 1 else (*FAMILIES, *FREE)
        mix = Mix(weights=dict.fromkeys(families, 1.0), world=world)
        drawn = next(batches(encoder, mix, seed=SEED, size=CONVERSATIONS, pool=1))
        right: dict[str, list[bool]] = defaultdict(list)
        for batch in drawn:
            with torch.no_grad():
                seen = Forward(model, batch, image_token=encoder.image_token)
                _count(trainer.heads, seen, right)
        print(f"{name:26}", *(f"{aspect} {_share(right[aspect])}" for aspect in sorted(right)), sep="  ")


def _part(tensors: dict[str, torch.Tensor], head: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)}


def _count(heads: torch.nn.Module, seen: Forward, right: dict[str, list[bool]]) -> None:
    """Add for each label whether it is named rightly."""
    content = seen.batch.content
    told = content[(content != -100).any(-1)]
    features, words = seen.features, seen.model.get_input_embeddings().weight
    for aspect in ("text", "kind", "colour", "key"):
        column = told[:, ASPECTS.index(aspect)]
        for patch in torch.nonzero(column >= 0)[:, 0].split(256):
            alone = torch.full_like(told[patch], -100)
            alone[:, ASPECTS.index(aspect)] = column[patch]
            _, share = heads(features[patch], alone, words)
            hits = round(share[aspect] * len(patch))
            right[aspect] += [True] * hits + [False] * (len(patch) - hits)
    spelt = told[:, len(ASPECTS) :]
    patch = torch.nonzero(spelt[:, 0] > 0)[:, 0]
    if len(patch):
        alone = torch.full_like(told[patch], -100)
        alone[:, len(ASPECTS)] = spelt[patch, 0]
        _, share = heads(features[patch], alone, words)
        hits = round(share["letter_1"] * len(patch))
        right["first character"] += [True] * hits + [False] * (len(patch) - hits)


def _share(hits: list[bool]) -> str:
    low, high = wilson(sum(hits), len(hits))
    return f"{100 * sum(hits) / len(hits):.1f}% ({100 * low:.0f} to {100 * high:.0f}, {len(hits)})"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
