"""A recipe is checked field by field, has one hash, and survives its file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from workbench.ablate import Mixture, Recipe
from workbench.ablate.recipe import reasoning_rates
from workbench.ablate.stream import make_plan
from workbench.ablate.sweep import expand, read_sweep
from workbench.errors import InputError

COUNTS = {"general": 4000, "maths": {"records": 1000, "repeat": 3, "cap": 5}, "computer_use": 3000}


def test_counts_and_repetition_give_the_shares() -> None:
    shares = Recipe(mixture=COUNTS).mixture.shares()
    assert shares == {"general": 0.4, "maths": 0.3, "computer_use": 0.3}
    assert Recipe(mixture={"general": 0.7, "maths": 0.3}).mixture.shares()["computer_use"] == 0


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_recipe_survives_its_file(tmp_path, suffix) -> None:
    recipe = Recipe(mixture=COUNTS, reasoning=0.4, architecture={"width": 64}, seed=3)
    again = Recipe.load(recipe.save(tmp_path / f"recipe{suffix}"))
    assert again == recipe
    assert again.hash == recipe.hash


def test_the_hash_tells_recipes_apart_and_nothing_else() -> None:
    recipe = Recipe(mixture=COUNTS)
    assert recipe.hash == Recipe(mixture={**COUNTS, "general": {"records": 4000, "repeat": 1.0}}).hash
    assert recipe.hash == Recipe(mixture=COUNTS, optimiser={"lr": "2e-3"}).hash
    changed = [recipe.replace(seed=1), recipe.replace(reasoning=0.3), recipe.replace(optimiser={"lr": 1e-3})]
    assert len({recipe.hash, *(r.hash for r in changed)}) == 4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"mixtur": {}}, "did you mean 'mixture'"),
        ({"architecture": {"widht": 32}}, "did you mean 'width'"),
        ({"mixture": {"math": 3}}, "did you mean 'maths'"),
        ({"mixture": {"general": 0.5, "maths": 0.4}}, "sum to 0.9"),
        ({"mixture": {"general": 0.5, "maths": 100}}, "shares .* beside counts"),
        ({"mixture": {"general": -3}}, "mixture.general.*-3"),
        ({"mixture": {"general": 0, "maths": 0}}, "without any record"),
        ({"mixture": {"general": {"share": 1.0, "repeat": 2}}}, "repeat"),
        ({"budget": 0}, "budget.samples=0"),
        ({"budget": {"samples": 10, "flops": 1e9}}, "one of the two"),
        ({"budget": {}}, "one of the two"),
        ({"mixture": {"maths": {"records": 10, "cap": 3}}}, "at most 30 samples"),
        ({"reasoning": 1.5}, "reasoning.share=1.5"),
        ({"reasoning": {"share": 0.5, "domains": ["maths"]}}, "at most 0.33"),
        ({"reasoning": {"share": 0.5, "domains": ["mathss"]}}, "did you mean 'maths'"),
        ({"stages": [{"kind": "al", "share": 1}]}, "did you mean 'all'"),
        ({"stages": [{"kind": "all", "share": 0.5}]}, "sum to 0.5"),
        ({"architecture": {"width": 30}}, "multiple of 8"),
        ({"optimiser": {"lr": "fast"}}, "optimiser.lr='fast'"),
        ({"optimiser": {"batch": 0}}, "optimiser.batch=0"),
        ({"families": ["chan"]}, "did you mean 'chain'"),
        ({"families": ["chain"]}, "a family of general"),
        ({"difficulty": 4}, "difficulty=4"),
        ({"seed": -1}, "seed=-1"),
        ({"evaluation": True}, "evaluation=True"),
        (
            {"architecture": {"freeze_encoder": True}, "stages": [{"kind": "all", "share": 1}]},
            "freeze_encoder",
        ),
        (
            {
                "start": "nano",
                "start_parts": ["decoder"],
                "architecture": {"freeze_encoder": True},
                "stages": [{"kind": "all", "share": 1}],
            },
            r"fresh encoder.*start_parts=\['decoder'\]",
        ),
        ({"architecture": {"fusion": "early"}}, "fusion='early' with vision_layer=4"),
        ({"architecture": {"vision_layer": 0}}, "vision_layer=0 with fusion='mid'"),
        ({"architecture": {"fusion": "late"}}, "one of mid, early"),
        (
            {"architecture": {"fusion": "early", "vision_layer": 0, "freeze_encoder": True}},
            "freeze_encoder with fusion='early'",
        ),
        ({"architecture": {"image_attention": "bidirectionl"}}, "did you mean 'bidirectional'"),
        ({"architecture": {"feeding": "multicrop"}}, "did you mean 'multi_crop'"),
        ({"architecture": {"tile": 4}}, "tile=4 with feeding='dynamic_resolution'"),
        ({"architecture": {"feeding": "multi_crop", "tile": 3}}, "even number of patches"),
        ({"architecture": {"feeding": "multi_crop", "tile": 8, "token_budget": 40}}, "at least 64 tokens"),
        ({"architecture": {"token_budget": 8}}, "at least 16 tokens"),
        ({"architecture": {"projector_depth": 0}}, "projector_depth=0"),
        ({"start_parts": ["decoder"]}, "start_parts.*start='fresh'"),
        ({"start": "nano-2"}, "nano-2.*second drawn world.*'nano'"),
        ({"start": "nano", "start_parts": []}, "at least one"),
        ({"modes": ["thinking"]}, "did you mean 'think'"),
        ({"stages": [{"kind": "encoder", "share": 1, "reasoning": 0.5}]}, "nothing is replied"),
        ({"stages": [{"kind": "all", "share": 1, "reasoning": 2}]}, "reasoning of stage all=2"),
        (
            {
                "families": ["icon_name"],
                "mixture": {"computer_use": 1.0},
                "stages": [{"kind": "text", "share": 1}],
            },
            "cannot be written out",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, told) -> None:
    with pytest.raises(InputError, match=told):
        Recipe.from_dict(fields)


@pytest.mark.parametrize("text", ["recipe: [", "- 1", "", "[" * 5000])
def test_a_file_without_a_recipe_is_refused(tmp_path, text) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        Recipe.load(path)
    with pytest.raises(InputError, match="No such file"):
        Recipe.load(tmp_path / "none.yaml")


def test_records_are_seen_in_whole_passes_and_in_the_mixtures_shares() -> None:
    recipe = Recipe(mixture={"general": 100, "maths": {"records": 50, "repeat": 2}}, budget=1000)
    plan = make_plan(recipe, 1000)
    for domain, records in ((0, 100), (1, 50)):
        numbers = plan.numbers[plan.domains == domain].tolist()
        assert 430 < len(numbers) < 570
        assert sorted(numbers[:records]) == list(range(records)), "all of a pass before the next"
    assert not (plan.domains == 2).any()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_reasoning_reaches_its_share_and_begins_with_what_takes_steps(share) -> None:
    recipe = Recipe(reasoning=share, mixture={"general": 0.5, "maths": 0.5})
    rates, several = reasoning_rates(recipe), {"general": 1 / 9, "maths": 2 / 4}
    total = sum(0.5 * (f * rates[d, True] + (1 - f) * rates[d, False]) for d, f in several.items())
    assert total == pytest.approx(share)
    assert rates["maths", True] == 1 or rates["maths", False] == 0


def test_a_sweep_file_gives_every_combination(tmp_path) -> None:
    path = tmp_path / "sweep.yaml"
    vary = "{reasoning.share: [0, 0.2], optimiser.lr: [1e-3]}"
    path.write_text(f"recipe: {{budget: 100}}\nvary: {vary}\nseeds: 3\n")
    recipes = read_sweep(path)
    assert [(r.reasoning.share, r.seed) for r in recipes] == [(s, i) for s in (0, 0.2) for i in range(3)]
    assert {r.optimiser.lr for r in recipes} == {1e-3}
    assert expand({"budget": 7})[0].budget.samples == 7


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"recipe": {}, "varry": {}}, "did you mean 'vary'"),
        ({"vary": {"reasoning.share": 3}}, "list of values"),
        ({"vary": {"reasoning.shar": [0.1]}}, "did you mean 'share'"),
        ({"seeds": 0}, "seeds=0"),
        ({"recipe": {"seed": 1}, "seeds": 2}, "seed beside seeds"),
    ],
)
def test_a_sweep_file_with_a_typo_is_refused(fields, told) -> None:
    with pytest.raises(InputError, match=told):
        expand(fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sed": 1}, "did you mean 'seed'"),
        ({"mixture": {"general": {"recrods": 3}}}, "mixture.general.*did you mean 'records'"),
        ({"stages": [{"kind": "all"}]}, "Stage without share"),
        ({"budget": 10.5}, "budget.samples=10.5"),
        ({"budget": "many"}, "budget='many'"),
        ({"mixture": {"general": 1, "maths": 1}}, "or single records"),
        ({"evaluation": 2.5}, "evaluation=2.5"),
    ],
)
def test_by_keyword_too_a_field_is_refused_by_its_name(fields, told) -> None:
    with pytest.raises(InputError, match=told):
        Recipe(**fields)


def test_a_number_is_the_same_however_it_is_written() -> None:
    plain = Recipe(budget=10_000, seed=3, mixture={"general": 4000, "maths": 0, "computer_use": 4000})
    for budget in (1e4, "1e4", np.int64(10_000), np.float32(1e4), {"samples": "1e4"}):
        other = plain.replace(budget=budget)
        assert other.hash == plain.hash
        assert type(other.budget.samples) is int
    numpy = Recipe(
        budget=np.int32(10_000), seed=np.int64(3), mixture={"general": np.int64(4000), "computer_use": 4e3}
    )
    assert numpy.hash == plain.hash
    assert Recipe(optimiser={"lr": np.float64(2e-3)}, reasoning=np.float64(0.2)).hash == Recipe().hash
    assert (
        plain.replace(architecture={"width": np.int64(64)}).hash
        == plain.replace(architecture={"width": 64.0}).hash
    )


def test_one_is_a_share_where_nothing_else_says_so_and_a_record_where_it_is_meant() -> None:
    assert Recipe(mixture={"general": 1}).mixture == Recipe(mixture={"general": 1.0}).mixture
    assert Recipe(mixture={"general": 1, "maths": 0}).mixture.shares()["general"] == 1
    assert Recipe(mixture={"general": {"records": 1}}).mixture.general.records == 1
    assert Recipe(mixture={"general": 1, "maths": 3}).mixture.general.records == 1, "counts, as maths says"


def test_a_mixture_changes_only_where_it_is_told_to() -> None:
    counted = Recipe(mixture=COUNTS)
    more = counted.replace(mixture={"maths": 40})
    assert more.mixture.general == counted.mixture.general
    assert more.mixture.computer_use == counted.mixture.computer_use
    assert more.mixture.maths.records == 40
    shared = Recipe(mixture={"general": 0.7, "maths": 0.3})
    assert shared.replace(mixture={"general": 0.5, "maths": 0.5}).mixture.shares()["maths"] == 0.5
    with pytest.raises(InputError, match="sum to 1.2"):
        shared.replace(mixture={"maths": 0.5})
    with pytest.raises(InputError, match="beside counts"):
        counted.replace(mixture={"maths": 0.5})
    assert counted.replace(mixture=Mixture(general=1.0)).mixture.shares()["general"] == 1
    assert counted.replace(budget={"flops": 1e12}).budget.samples is None


def test_what_was_given_in_short_is_varied_field_by_field() -> None:
    made = expand({"recipe": {"reasoning": 0.1}, "vary": {"reasoning.domains": [["maths"], ["general"]]}})
    assert [r.reasoning.share for r in made] == [0.1, 0.1]
    assert [r.reasoning.domains for r in made] == [("maths",), ("general",)]
    made = expand(
        {"recipe": {"mixture": {"general": 40, "maths": 60}}, "vary": {"mixture.general.repeat": [1, 2]}}
    )
    assert [r.mixture.general.records for r in made] == [40, 40]
    assert [r.mixture.general.repeat for r in made] == [1, 2]
    made = expand({"recipe": {"seed": 4}, "rows": [{"optimiser.lr": 1e-3}, {"seed": 5}]})
    assert [(r.seed, r.optimiser.lr) for r in made] == [(4, 1e-3), (5, 2e-3)], "a row is a variant"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("budget: 10\nseed: 1\nbudget: 20", "'budget' stands twice, with 10 and 20"),
        ("recipe: {budget: 10}\nvary: {seed: [1], seed: [2]}", "'seed' stands twice"),
        ("recipe: {reasoning: 0.3}\nvary: {reasoning.share: [0.1]}", "reasoning.share is varied, and is 0.3"),
        ("recipe: {optimiser: {lr: 1}}\nvary: {optimiser.lr: [1e-3]}", "optimiser.lr is varied, and is 1"),
        ("rows: [{seed: 3}]\nvary: {seed: [1, 2]}", "seed is varied, and is 3 in recipe or rows"),
        ("recipe: {mixture: {maths: 10}}\nvary: {mixture: [{maths: 20}]}", "mixture is varied"),
        ("recipe: {stages: []}\nvary: {stages.share: [1]}", "stages.share beside stages"),
        ("recipe: [1]\nseeds: 2", "fields of a recipe"),
    ],
)
def test_a_sweep_file_loses_nothing_silently(tmp_path, text, told) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_sweep(path)


def test_equal_keys_are_refused_in_json_and_merged_keys_are_none_in_yaml(tmp_path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"seed": 1, "seed": 2}')
    with pytest.raises(InputError, match="'seed' stands twice"):
        Recipe.load(path)
    path = tmp_path / "sweep.yaml"
    path.write_text("recipe: &base {budget: 10}\nrows:\n- {seed: 1}\n- {seed: 2, reasoning.share: 1e-1}\n")
    assert [(r.seed, r.reasoning.share) for r in read_sweep(path)] == [(1, 0.2), (2, 0.1)]
    path.write_text("rows:\n- &one {seed: 1, evaluation: 5}\n- {<<: *one, seed: 2}\n")
    assert [(r.seed, r.evaluation) for r in read_sweep(path)] == [(1, 5), (2, 5)]
    path.write_text("rows:\n- &one {seed: 1}\n- {<<: *one, seed: 2, seed: 3}\n")
    with pytest.raises(InputError, match="'seed' stands twice, with 2 and 3"):
        read_sweep(path)


def test_recipes_and_recorded_runs_need_no_torch() -> None:
    code = (
        "import sys; from workbench import ablate; ablate.Recipe(); ablate.Run; ablate.runs; ablate.sweep;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("start", ["nan", "nanoo", "Fresh", "frsh", "", ".", 5, None])
def test_a_start_that_can_be_none_is_refused(start: object) -> None:
    with pytest.raises(InputError, match="start="):
        Recipe(start=start)
