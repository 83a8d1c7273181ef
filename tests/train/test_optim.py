"""Muon does what PyTorch's own does, in either precision, and takes matrices of one shape together."""

from __future__ import annotations

import pytest
import torch

from workbench.train.optim import Muon, Schedule, orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 48), (3, 48, 16), (1, 24, 24)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    done = orthogonalise(matrices)
    values = torch.linalg.svdvals(done)
    assert values.min() > 0.3
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    turned = u.mT @ done @ v.mT
    off = turned - torch.diag_embed(turned.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-3, "only the singular values change"


def test_bfloat16_turns_almost_alike() -> None:
    matrices = torch.randn(3, 48, 16, generator=torch.Generator().manual_seed(0))
    whole, half = orthogonalise(matrices), orthogonalise(matrices, bf16=True)
    assert half.dtype == matrices.dtype
    assert not torch.equal(whole, half)
    alike = torch.nn.functional.cosine_similarity(whole.flatten(1), half.flatten(1))
    assert alike.min() > 0.999


@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_is_that_of_pytorchs_muon(bf16: bool) -> None:
    def run(make) -> torch.Tensor:  # type: ignore[no-untyped-def]
        torch.manual_seed(0)
        weights = [torch.nn.Parameter(torch.randn(12, 20)), torch.nn.Parameter(torch.randn(20, 12))]
        target = [torch.randn(12, 20), torch.randn(20, 12)]
        optimiser = make(weights)
        for _ in range(5):
            optimiser.zero_grad()
            sum(((w - t) ** 2).sum() for w, t in zip(weights, target, strict=True)).backward()
            optimiser.step()
        return torch.cat([w.detach().flatten() for w in weights])

    options = {"lr": 0.02, "weight_decay": 0.1}
    ours = run(lambda w: Muon(w, bf16=bf16, **options))
    theirs = run(lambda w: torch.optim.Muon(w, adjust_lr_fn="match_rms_adamw", **options))
    torch.manual_seed(0)
    start = torch.cat([torch.randn(12, 20).flatten(), torch.randn(20, 12).flatten()])
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() / moved < 0.02, "theirs computes in bfloat16"


def test_only_matrices_are_taken() -> None:
    with pytest.raises(AssertionError, match="matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))])


def test_schedule_warms_up_stays_and_falls() -> None:
    schedule = Schedule(steps=100, warmup=10, decay=0.5, lr=1.0)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == 0.1
    assert rates[9:50] == [1.0] * 41
    assert all(a > b for a, b in zip(rates[50:], rates[51:], strict=False))
    assert 0 < rates[-1] < 0.05


def test_a_restart_leaves_what_came_before_as_it_was_and_ends_at_zero() -> None:
    alone = Schedule(steps=100, warmup=10, decay=0.5, lr=1.0)
    again = Schedule(steps=150, warmup=10, decay=0.5, lr=1.0, restart=(100, 0.4))
    assert [again.rate(step) for step in range(100)] == [alone.rate(step) for step in range(100)]
    after = [again.rate(step) for step in range(100, 150)]
    assert after[0] == pytest.approx(0.04)
    assert 0.3 < max(after) < 0.4, "it falls from the restart on"
    peak = after.index(max(after))
    assert after == sorted(after[: peak + 1]) + sorted(after[peak + 1 :], reverse=True)
    assert 0 < after[-1] < 0.01
