"""Caps and floors on shares: exactly met, just exceeded, and the projection onto them by hand."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.ablate.mixture import bounds, onto
from workbench.errors import InputError

ABC = ("a", "b", "c")


@pytest.mark.parametrize(
    ("caps", "floors", "allowed"),
    [
        ({"a": 0.5, "b": 0.3, "c": 0.2}, None, True),  # they sum to one: one mixture is left
        ({"a": 0.5, "b": 0.3, "c": 0.199}, None, False),
        (None, {"a": 0.5, "b": 0.3, "c": 0.2}, True),
        (None, {"a": 0.5, "b": 0.3, "c": 0.201}, False),
        ({"a": 0.3}, {"a": 0.3}, True),
        ({"a": 0.3}, {"a": 0.301}, False),
        ({"a": 1.0}, {"a": 0.0}, True),
        ({"a": 1.001}, None, False),
        ({"a": -0.001}, None, False),
        ({"d": 0.5}, None, False),
    ],
)
def test_a_cap_that_is_just_exceeded_is_refused(
    caps: dict[str, float] | None, floors: dict[str, float] | None, allowed: bool
) -> None:
    if not allowed:
        with pytest.raises(InputError):
            bounds(ABC, caps, floors)
        return
    low, high = bounds(ABC, caps, floors)
    assert low.tolist() == [(floors or {}).get(name, 0.0) for name in ABC]
    assert high.tolist() == [(caps or {}).get(name, 1.0) for name in ABC]


def test_the_nearest_mixture_within_caps_by_hand() -> None:
    low, high = bounds(ABC, {"a": 0.5})
    # a is cut to its cap; the 0.3 that are left over go to the others in equal parts
    assert onto(np.array([[0.8, 0.1, 0.1]]), low, high)[0] == pytest.approx([0.5, 0.25, 0.25])
    # exactly at the cap nothing moves; just above it, half of the excess goes to each other one
    assert onto(np.array([[0.5, 0.3, 0.2]]), low, high)[0] == pytest.approx([0.5, 0.3, 0.2])
    assert onto(np.array([[0.502, 0.3, 0.198]]), low, high)[0] == pytest.approx([0.5, 0.301, 0.199])
    low, high = bounds(ABC, None, {"c": 0.3})
    assert onto(np.array([[0.6, 0.3, 0.1]]), low, high)[0] == pytest.approx([0.5, 0.2, 0.3])
