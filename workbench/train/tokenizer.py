"""The built-in model's own small tokenizer: byte-level BPE over the words of the drawn world.

It has the same control tokens as Phi-4-reasoning-vision.  Up to three digits stand together, as in
GPT-4's tokenizer; a coordinate with four decimals may become one token; words keep their space.
Every name of the drawn world is one token, so that what a patch shows can be told in one.
Training is deterministic: the same corpus gives the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .. import synth
from ..names import verb
from ..synth.words import COLOURS, KINDS, TEXTS

__all__ = [
    "CHAT_TEMPLATE",
    "CONTROL",
    "THINKING",
    "build_tokenizer",
    "corpus",
    "save_tokenizer",
    "tokenizer_config",
]

CONTROL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>",
    "<|dummy_80|>", "<|dummy_81|>", "<|dummy_82|>", "<|dummy_83|>", "<|dummy_84|>", "<|dummy_85|>",
)  # fmt: skip
THINKING = ("<think>", "</think>")

#: ChatML with the control tokens of Phi-4-reasoning-vision, without its long system prompt.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "<|im_start|>{{ message['role'] }}<|im_sep|>{{ message['content'] }}<|im_end|>"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<|im_sep|>{% endif %}"
)

#: A coordinate, up to three digits, a word, a sign, or white space: each with the space before it.
PIECES = r"[ ]?\d\.\d{4}|[ ]?\d{1,3}|[ ]?[A-Za-z]+|[ ]?[^\sA-Za-z\d]|\s"

EVERYDAY = (
    "Hello! Who are you? I am a small model. What do you see in t"
    "his picture? I see a chart, a table, a\n"
    "screen, a sign. Please answer yes or no. Thank you. I do not"
    " know. How are the numbers and the words different?"
)


def corpus(pictures: int = 300, world: synth.World = synth.WORLD_1) -> Iterable[str]:
    """Questions, answers and traces of every family, in a fixed order; of the second world also in small
    letters."""
    yield EVERYDAY
    for name in (*TEXTS, *KINDS, *COLOURS):
        yield f" {name}" * 50
        if world.version == 2:
            yield f" {name.lower()}" * 50
    for family in synth.FAMILIES if world.version == 1 else (*synth.FAMILIES, *synth.FREE):
        for i in range(pictures):
            drawing, _ = synth.draw(family, seed=f"tokenizer/{i}", world=world)
            for question in drawing.questions:
                if family != "read_text":  # whose made-up words are to be written letter by letter
                    yield f"{question.text} {question.answer} {question.trace}"
                yield question.text


@verb(pictures="n_images")
def build_tokenizer(
    vocab_size: int = 1280, *, n_images: int = 300, world: synth.World = synth.WORLD_1
) -> Tokenizer:
    """Train the tokenizer on a world's words; the control tokens take the last ids."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = len(CONTROL) + len(THINKING)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - added,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(n_images, world), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in THINKING])
    return tokenizer


def tokenizer_config(context: int) -> dict:
    """The companions of tokenizer.json, in the official layout."""
    return {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|dummy_85|>",
        "unk_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def save_tokenizer(
    folder: Path, *, context: int, vocab_size: int = 1280, world: synth.World = synth.WORLD_1
) -> Tokenizer:
    """Train the tokenizer and write its four files into a folder."""
    tokenizer = build_tokenizer(vocab_size, world=world)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = tokenizer_config(context)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({n: settings[n] for n in names}, indent=2) + "\n"
    )
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    return tokenizer
