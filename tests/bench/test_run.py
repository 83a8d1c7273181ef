"""A run: every reply kept as it comes, resumed without loss, taken from the cache, asked again on demand."""

from __future__ import annotations

import json
import math
import time
from collections import Counter

import pytest
from bench_fakes import FakeVLM, yes_no
from PIL import Image

import workbench
from workbench import bench
from workbench.errors import ContextLengthError, InputError, ModeError
from workbench.files import locked
from workbench.journal import Journal

MODES = ("auto", "think", "nothink")


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_every_item_is_asked_once_in_every_mode_and_every_response_is_kept(tmp_path) -> None:
    vlm = FakeVLM()
    results = bench.run(vlm, yes_no(5), folder=tmp_path / "run", batch_size=2, progress=False)
    table = results.frame()
    assert len(table) == 15
    assert Counter(table["mode"]) == dict.fromkeys(MODES, 5)
    assert set(Counter(vlm.asked).values()) == {1}
    assert max(vlm.batches) == 2
    row = table[(table["item"] == "1") & (table["mode"] == "think")].iloc[0]
    assert (row["response"], row["thought"], row["gold"], row["value"]) == ("yes", "so it is", "no", 0.0)
    assert (row["thought_tokens"], row["answer_tokens"], row["tokens"], row["seconds"]) == (3, 1, 4, 0.5)
    assert (row["p_think"], row["model"], row["harness"]) == (0.75, "fake", "workbench")
    assert table.groupby("mode")["value"].mean().tolist() == [0.6] * 3
    assert len(lines(tmp_path / "run")) == 15
    assert results.warnings == ()


def test_the_same_call_again_asks_nothing(tmp_path) -> None:
    first = bench.run(FakeVLM(), yes_no(4), folder=tmp_path, progress=False)
    vlm = FakeVLM(reply=lambda *_: "changed")
    second = bench.run(vlm, yes_no(4), folder=tmp_path, progress=False)
    assert vlm.asked == []
    assert second.frame().equals(first.frame())


def test_a_longer_run_into_the_same_folder_asks_only_what_is_new(tmp_path) -> None:
    bench.run(FakeVLM(), yes_no(6), modes=["think"], folder=tmp_path, limit=2, progress=False)
    vlm = FakeVLM()
    results = bench.run(vlm, yes_no(6), modes=["think", "nothink"], folder=tmp_path, progress=False)
    assert len(results) == 12
    assert len(vlm.asked) == 10
    assert not {("Is 0 even?", "think"), ("Is 1 even?", "think")} & set(vlm.asked)


def test_what_differs_is_asked_anew(tmp_path) -> None:
    def asked(**options) -> int:
        vlm = FakeVLM()
        bench.run(
            vlm, options.pop("task", yes_no(1)), modes=["auto"], folder=tmp_path, progress=False, **options
        )
        return len(vlm.asked)

    assert asked() == 1
    assert asked() == 0
    assert asked(batch_size=3) == 0  # a reply in a batch is the one that would come alone
    assert asked(max_tokens=9) == 1
    assert asked(thinking_budget=2) == 1
    assert asked(temperature=0.5, seed=1) == 1
    assert asked(temperature=0.5, seed=2) == 1
    framed = bench.Task("questions", yes_no(1).items, prompt="{question} Say.")
    assert asked(task=framed) == 1
    for number, colour in enumerate(("red", "blue")):
        shown = (Image.new("RGB", (4, 4), colour),)
        item = bench.Item("0", "Is 0 even?", "yes", shown, scoring={"rule": "words"})
        assert asked(task=bench.Task("questions", [item])) == 1, number


def test_pictures_tell_items_apart_and_are_kept_once(tmp_path) -> None:
    red, blue = (Image.new("RGB", (6, 4), colour) for colour in ("red", "blue"))
    rule = {"rule": "words"}
    shown = enumerate((red, blue, red.copy()))
    items = [bench.Item(str(i), "Colour?", "red", (picture,), scoring=rule) for i, picture in shown]
    vlm = FakeVLM()
    results = bench.run(vlm, bench.Task("colours", items), modes=["auto"], folder=tmp_path, progress=False)
    assert len(vlm.asked) == 2  # the same question about the same picture is one question
    assert len(results) == 3
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    assert results.images(1)[0].getpixel((0, 0)) == (0, 0, 255)


def test_replies_come_from_the_cache_in_another_folder_unless_it_is_off(tmp_path) -> None:
    bench.run(FakeVLM(), yes_no(3), folder=tmp_path / "a", progress=False)
    vlm = FakeVLM()
    results = bench.run(vlm, yes_no(3), folder=tmp_path / "b", progress=False)
    assert vlm.asked == []
    assert all(details["cached"] for details in results.frame()["details"])
    bench.run(vlm, yes_no(3), folder=tmp_path / "c", cache=False, progress=False)
    assert len(vlm.asked) == 9
    bench.run(vlm, yes_no(3), folder=tmp_path / "d", cache=tmp_path / "other", progress=False)
    assert len(vlm.asked) == 18


def test_one_item_can_be_asked_again_and_its_new_reply_counts(tmp_path) -> None:
    task = yes_no(3)
    bench.run(FakeVLM(), task, modes=["auto"], folder=tmp_path, progress=False)
    vlm = FakeVLM(reply=lambda *_: "no")
    results = bench.run(vlm, task, modes=["auto"], folder=tmp_path, again="1", progress=False)
    assert vlm.asked == [("Is 1 even?", "auto")]
    assert results.frame().set_index("item")["response"].to_dict() == {"0": "yes", "1": "no", "2": "yes"}
    assert len(lines(tmp_path)) == 4  # the first reply is still in the journal
    bench.run(vlm, task, modes=["auto"], folder=tmp_path, again=["questions/2"], progress=False)
    assert len(vlm.asked) == 2
    bench.run(vlm, task, modes=["auto"], folder=tmp_path, again=True, progress=False)
    assert len(vlm.asked) == 5
    with pytest.raises(InputError, match="again='9'"):
        bench.run(vlm, task, modes=["auto"], folder=tmp_path, again="9", progress=False)


def test_ctrl_c_keeps_what_was_answered_and_the_same_call_goes_on(tmp_path) -> None:
    def stops(images, question, mode):
        return None if question.startswith("Is 3") else "yes"

    with pytest.raises(KeyboardInterrupt) as stopped:
        bench.run(FakeVLM(stops), yes_no(6), modes=["auto"], folder=tmp_path, batch_size=4, progress=False)
    assert any("3 of 6 replies are kept" in note for note in stopped.value.__notes__)
    so_far = bench.open_run(tmp_path)
    assert sorted(so_far.frame()["item"]) == ["0", "1", "2"]
    assert any("not asked yet: 3 of 6" in warning for warning in so_far.warnings)
    vlm = FakeVLM()
    results = bench.run(vlm, yes_no(6), modes=["auto"], folder=tmp_path, progress=False)
    assert sorted(vlm.asked) == [(f"Is {i} even?", "auto") for i in (3, 4, 5)]
    assert len(results) == 6


def test_an_item_that_cannot_be_asked_is_a_counted_row_and_not_the_end(tmp_path) -> None:
    def refuses(vlm, questions):
        if any(question.startswith("Is 2") for question in questions):
            raise ContextLengthError("5000 tokens", "at most 4096")

    vlm = FakeVLM(before=refuses)
    results = bench.run(vlm, yes_no(4), modes=["auto"], folder=tmp_path, batch_size=4, progress=False)
    row = results.frame().set_index("item").loc["2"]
    assert row["response"] is None
    assert math.isnan(row["value"])
    assert "ContextLengthError" in row["why"]
    assert any("failed: 1 of 4" in warning for warning in results.warnings)
    assert len(vlm.asked) == 3
    again = FakeVLM()
    results = bench.run(again, yes_no(4), modes=["auto"], folder=tmp_path, progress=False)
    assert again.asked == [("Is 2 even?", "auto")]  # only what failed, and it is not in the cache
    assert results.warnings == ()


def test_a_mode_that_the_model_lacks_is_left_out_with_a_warning(tmp_path) -> None:
    vlm = FakeVLM(modes=("nothink",))
    results = bench.run(vlm, yes_no(2), folder=tmp_path, progress=False)
    assert set(results.frame()["mode"]) == {"nothink"}
    assert sum("does not have it" in warning for warning in results.warnings) == 2
    with pytest.raises(ModeError):
        bench.run(vlm, yes_no(2), modes=["think"], folder=tmp_path, progress=False)
    with pytest.raises(ModeError, match="fast"):
        bench.run(vlm, yes_no(2), modes=["fast"], folder=tmp_path, progress=False)


@pytest.mark.parametrize("blind", ["blind", "grey"])
def test_without_the_picture_the_same_question_is_another_asking(blind: str, tmp_path) -> None:
    seen = []
    item = bench.Item("0", "Colour?", "red", (Image.new("RGB", (6, 4), "red"),), scoring={"rule": "words"})
    task = bench.Task("colours", [item])
    bench.run(FakeVLM(), task, modes=["auto"], folder=tmp_path / "seeing", progress=False)
    vlm = FakeVLM(reply=lambda images, *_: seen.append(images) or "red")
    results = bench.run(vlm, task, modes=["auto"], folder=tmp_path / blind, blind=blind, progress=False)
    assert results.frame()["control"].tolist() == [blind]
    if blind == "grey":
        assert [(image.size, image.getcolors()) for image in seen[0]] == [((6, 4), [(24, (128, 128, 128))])]
    else:
        assert seen == [None]
    assert results.images(0)[0].getpixel((0, 0)) == (255, 0, 0)  # a reader still sees what was asked about
    with pytest.raises(InputError, match="blind="):
        bench.run(vlm, task, folder=tmp_path, blind="black", progress=False)


def test_sampled_replies_have_a_seed_for_each_item_whatever_the_batch(tmp_path) -> None:
    def seeds(batch_size: int) -> dict:
        vlm = FakeVLM()
        options = {"folder": tmp_path / str(batch_size), "cache": False, "progress": False}
        bench.run(vlm, yes_no(4), modes=["auto"], temperature=0.7, batch_size=batch_size, **options)
        return {question: given["seed"] for (question, _), given in zip(vlm.asked, vlm.options)}

    alone = seeds(1)
    assert alone == seeds(8)
    assert len(set(alone.values())) == 4


def test_a_torn_last_line_is_asked_again_and_a_damaged_one_in_the_middle_is_named(tmp_path) -> None:
    bench.run(FakeVLM(), yes_no(3), modes=["auto"], folder=tmp_path, cache=False, progress=False)
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert len(bench.open_run(tmp_path)) == 2
    vlm = FakeVLM()
    bench.run(vlm, yes_no(3), modes=["auto"], folder=tmp_path, cache=False, progress=False)
    assert len(vlm.asked) == 1
    assert len(lines(tmp_path)) == 3
    path.write_bytes(whole[: len(whole) // 2].rsplit(b"\n", 1)[0][:-9] + b"\n" + whole)
    with pytest.raises(InputError, match="line 1 .* damaged"):
        bench.open_run(tmp_path)


def test_a_shared_journal_passes_over_what_another_process_left(tmp_path) -> None:
    path = tmp_path / "shared.jsonl"
    path.write_text('{"key": "a"}\n{"key": "torn')
    first = Journal(path, shared=True)
    first.append([{"key": "b", "text": "\udc9f line\u2028 separator"}])
    first.close()
    assert set(Journal(path, shared=True).entries) == {"a", "b"}


def test_two_runs_do_not_write_into_one_folder(tmp_path) -> None:
    pytest.importorskip("fcntl")
    with locked(tmp_path), pytest.raises(InputError, match="another process"):
        bench.run(FakeVLM(), yes_no(1), folder=tmp_path, progress=False)


def test_a_folder_without_a_run_or_with_a_damaged_one_says_so(tmp_path) -> None:
    with pytest.raises(InputError, match="no run in"):
        bench.open_run(tmp_path)
    (tmp_path / "run.jsonl").write_text('{"format": "something"}\n')
    with pytest.raises(InputError, match="another format"):
        bench.open_run(tmp_path)
    bench.run(FakeVLM(), yes_no(1), folder=tmp_path, progress=False)
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"key": ')
    with pytest.raises(InputError, match="damaged"):
        bench.open_run(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"workers": True}, {"limit": 0}, {"engine": "dask"}, {"max_tokens": 0}, {"seed": -1}],
)
def test_settings_that_cannot_be_used_are_refused_before_anything_is_asked(options: dict, tmp_path) -> None:
    vlm = FakeVLM()
    with pytest.raises(InputError, match=next(iter(options))):
        bench.run(vlm, yes_no(1), folder=tmp_path, progress=False, **options)
    assert vlm.asked == []


def test_tasks_are_given_by_name_one_or_several_but_not_twice(tmp_path) -> None:
    vlm = FakeVLM()
    results = bench.run(
        vlm, ["synth:chain@1", yes_no(2)], modes=["auto"], limit=2, folder=tmp_path, progress=False
    )
    assert list(results.frame()["benchmark"].unique()) == ["synth:chain@1", "questions"]
    for tasks, told in (([], "no tasks"), ([yes_no(), yes_no()], "two tasks"), ("nothing", "task 'nothing'")):
        with pytest.raises(InputError, match=told):
            bench.run(vlm, tasks, folder=tmp_path, progress=False)


def test_the_built_in_model_runs_its_own_folder_and_a_batch_is_like_one_by_one(tmp_path) -> None:
    vlm = workbench.load(progress=False)
    asked = (vlm, "synth:read_sign@1", ["nothink"])
    together = bench.run(*asked, limit=5, batch_size=4, progress=False)
    apart = {"cache": False, "folder": tmp_path / "alone"}
    alone = bench.run(*asked, limit=5, batch_size=1, progress=False, **apart)
    assert together.frame()["response"].tolist() == alone.frame()["response"].tolist()
    assert together.frame()["value"].mean() > 0.5
    assert together.folder.parent == tmp_path / "own-cache" / "runs"
    again = bench.run("nano", "synth:read_sign@1", modes=["nothink"], limit=5, progress=False)
    assert again.frame().equals(together.frame())


def test_a_retrained_model_of_the_same_name_is_another_model() -> None:
    import copy

    import torch

    from workbench.bench.store import model_fingerprint

    vlm = workbench.load(progress=False)
    before = model_fingerprint(vlm)
    assert model_fingerprint(vlm) == before
    other = object.__new__(type(vlm))
    other.__dict__.update(vlm.__dict__)
    other._model = copy.deepcopy(vlm.model)
    other.__dict__.pop("_fingerprint", None)
    assert model_fingerprint(other) == before
    with torch.no_grad():
        next(iter(other._model.parameters())).add_(0.01)
    other.__dict__.pop("_fingerprint", None)
    assert model_fingerprint(other) != before


def test_the_time_left_is_reckoned_by_mode(monkeypatch) -> None:
    from workbench.bench.engines import Asking
    from workbench.bench.run import Progress

    clock = iter([0.0, 10.0, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    item = bench.Item("a", "?", "x")
    think = [Asking(f"t{i}", "task", item, "?", "think") for i in range(3)]
    direct = [Asking(f"d{i}", "task", item, "?", "nothink") for i in range(4)]
    bar = Progress([*think, *direct], 0, show=False)
    bar.note(think[:1])  # 10 s for a thought; nothing is known of direct replies yet
    assert bar.seconds_left() == pytest.approx(6 * 10)
    bar.note(direct[:2])  # 1 s each
    assert bar.seconds_left() == pytest.approx(2 * 10 + 2 * 1)
    bar.close()


def test_the_folder_of_a_run_is_opened_by_the_importers_door_too(tmp_path) -> None:
    run = bench.run(FakeVLM(), yes_no(2), folder=tmp_path, progress=False)
    assert bench.load_results(tmp_path).frame().equals(run.frame())
    assert set(bench.load_results(tmp_path, run="mine").frame()["run"]) == {"mine"}


def test_results_of_a_run_are_saved_and_loaded_with_their_pictures(tmp_path) -> None:
    results = bench.run(
        FakeVLM(), "synth:shape_colour@1", modes=["auto"], limit=2, folder=tmp_path / "r", progress=False
    )
    path = results.save(tmp_path / "r" / "results.jsonl")
    loaded = bench.Results.load(path)
    assert loaded.frame().equals(results.frame())
    assert loaded.images(0)[0].size == results.images(0)[0].size
