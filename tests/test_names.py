"""Old names work and warn; unknown ones are answered with the name that was meant."""

from __future__ import annotations

import copy
import pickle

import pytest

from workbench.errors import ArgumentError, InputError, UnknownNameError, WorkbenchError
from workbench.names import Named, refuse_argument, verb


@verb("method", fill="baseline")
def attribute(
    vlm: object, answer: object, *, method: str = "occlusion", baseline: str = "mean"
) -> tuple[object, ...]:
    return vlm, answer, method, baseline


class Proof(Named, how="baseline"):
    """A record whose attribute was renamed."""

    def __init__(self, baseline: str) -> None:
        self.baseline = baseline

    @verb(rules="protocol")
    def rescore(self, *, protocol: str = "workbench", seed: int = 0) -> tuple[str, str]:
        return self.baseline, protocol


def test_a_verb_is_called_as_it_is_written() -> None:
    assert attribute(1, 2, method="lime", baseline="blur") == (1, 2, "lime", "blur")
    assert attribute.__name__ == "attribute"
    with pytest.raises(
        ArgumentError, match=r"attribute\(...\) without answer. Expected: attribute\(vlm, answer\)"
    ):
        attribute(1)  # type: ignore[call-arg]


def test_an_old_argument_works_and_warns_where_it_is_used() -> None:
    with pytest.warns(DeprecationWarning, match=r"with fill= is now attribute\(..., baseline=") as caught:
        assert attribute(1, 2, fill="blur") == (1, 2, "occlusion", "blur")  # type: ignore[call-arg]
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="method by place is now"):
        assert attribute(1, 2, "lime") == (1, 2, "lime", "mean")  # type: ignore[misc]
    with pytest.warns(DeprecationWarning, match="protocol="):
        assert Proof("mean").rescore(rules="field") == ("mean", "field")  # type: ignore[call-arg]


def test_a_value_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ArgumentError, match="fill= and baseline="):
        attribute(1, 2, fill="blur", baseline="mean")  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match="method= alone"):
        attribute(1, 2, "lime", method="lime")  # type: ignore[misc]
    with pytest.warns(DeprecationWarning, match="by place"), pytest.raises(TypeError, match="positional"):
        attribute(1, 2, "lime", "blur")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "meant"),
    [({"baselines": "blur"}, "baseline"), ({"metod": "lime"}, "method"), ({"model": 1}, "vlm")],
)
def test_an_unknown_argument_is_told_the_word_that_was_meant(given: dict[str, object], meant: str) -> None:
    with pytest.raises(ArgumentError, match=f"did you mean {meant}\\?") as caught:
        attribute(1, 2, **given)  # type: ignore[arg-type]
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, InputError)


def test_an_argument_like_no_other_is_told_what_there_is() -> None:
    with pytest.raises(ArgumentError, match="method, baseline") as caught:
        refuse_argument("attribute", "qqq", ("method", "baseline"))
    assert "did you mean" not in str(caught.value)


def test_an_old_attribute_works_and_an_unknown_one_is_told_the_word() -> None:
    proof = Proof("blur")
    with pytest.warns(DeprecationWarning, match="Proof.how is now baseline"):
        assert proof.how == "blur"
    with pytest.raises(UnknownNameError, match="did you mean rescore") as caught:
        proof.rescor  # noqa: B018
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value, WorkbenchError)
    with pytest.raises(UnknownNameError, match="workbench.load"):
        proof.from_pretrained  # noqa: B018
    assert not hasattr(proof, "nothing")
    assert copy.copy(proof).baseline == pickle.loads(pickle.dumps(proof)).baseline == "blur"
