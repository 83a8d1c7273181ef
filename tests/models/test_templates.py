"""Chat templates are programs of strangers: they end, and take no more memory than a prompt needs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import tiny_families

from workbench.errors import InputError
from workbench.models.families import prompt
from workbench.models.families.prompt import render

GROWS = (
    "{{% set ns = namespace(v={0}) %}}{{% for i in range(60) %}}"
    "{{% set ns.v = {1} %}}{{% endfor %}}{{{{ ns.v }}}}"
)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_families.tokenizer(["<pad>", "<end>"], eos_token="<end>", pad_token="<pad>")


def rendered(tokenizer, template: str) -> str:
    processor = SimpleNamespace(chat_template=template, tokenizer=tokenizer)
    return render(processor, [{"role": "user", "content": "Hello"}])


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not watched there")
@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ 10**10**9 }}", "huge numbers"),
        ("{{ 'a' * 10000000 }}", "huge numbers"),
        ("{{ '{:>9999999999}'.format(1) }}", "huge numbers"),
        ("{% set n = 100000 %}{{ 'a' * n * n }}", "multiplies without bound"),
        ("{{ 'a' * 1000 * 1000 * 1000 }}", "multiplies without bound"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        (GROWS.format("'a'", "ns.v + ns.v"), "memory"),
        (GROWS.format("'a'", "ns.v ~ ns.v"), "memory"),
        (GROWS.format("[1]", "ns.v + ns.v"), "memory"),
    ],
)
def test_a_template_that_could_fill_memory_is_refused(
    tokenizer, template: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "MOST_MEMORY", 50_000_000)
    with pytest.raises(InputError, match=says):
        rendered(tokenizer, template)


def test_a_template_without_end_is_refused(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "MOST_STEPS", 10_000)
    with pytest.raises(InputError, match="does not end within 10,000 steps"):
        rendered(
            tokenizer, "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
        )


def test_what_real_templates_compute_is_let_through(tokenizer) -> None:
    plain = "{% for m in messages %}{{ '=' * 20 }}{{ m.content }}{{ loop.index0 * 2 % 3 }}{% endfor %}"
    assert rendered(tokenizer, plain) == "=" * 20 + "Hello0"
