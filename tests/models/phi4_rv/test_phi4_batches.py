"""Padding, mixed rows, several turns, caches and attention implementations."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from workbench.errors import InputError
from workbench.models.phi4_rv import Phi4RVForConditionalGeneration

ATOL = 1e-4


@pytest.fixture(scope="module")
def mixed(processor, picture, chat):
    """Rows with one, no and two pictures: (all in one batch, each by itself)."""
    prompts = [
        chat("What is this, and which colour has it?", 1),
        chat("Hello."),
        chat("Compare the two.", 2),
    ]
    images = [[picture(90, 60)], [], [picture(40, 100, 1), picture(64, 64, 2)]]
    batch = processor(text=prompts, images=images, padding_side="left", return_tensors="pt")
    singles = [
        processor(text=[p], images=[i], padding_side="left", return_tensors="pt")
        for p, i in zip(prompts, images)
    ]
    return batch, singles


@torch.no_grad()
def test_left_padded_rows_equal_single_runs(model, mixed):
    batch, singles = mixed
    assert (batch["attention_mask"] == 0).any(), "the rows must differ in length"
    logits = model(**batch).logits
    for row, single in zip(logits, singles, strict=True):
        alone = model(**single).logits[0]
        torch.testing.assert_close(row[-len(alone) :], alone, atol=ATOL, rtol=0)


@torch.no_grad()
def test_right_padded_rows_equal_single_runs_in_training(model, processor, picture, chat):
    prompts, images = [chat("Longer than the other one.", 1), chat("Short.", 1)], [[picture(80, 80)]] * 2
    batch = processor(text=prompts, images=images, padding_side="right", return_tensors="pt")
    short = processor(text=prompts[1:], images=images[1:], return_tensors="pt")
    alone = model(**short).logits[0]
    torch.testing.assert_close(model(**batch).logits[1, : len(alone)], alone, atol=ATOL, rtol=0)


def test_batched_generation_equals_single_runs(model, mixed):
    batch, singles = mixed
    length = batch["input_ids"].shape[1]
    together = model.generate(**batch, do_sample=False, max_new_tokens=10)[:, length:]
    for row, single in zip(together, singles, strict=True):
        alone = model.generate(**single, do_sample=False, max_new_tokens=10)
        alone = alone[0, single["input_ids"].shape[1] :].tolist()
        assert row[: len(alone)].tolist() == alone


def test_static_and_dynamic_cache_agree(model, mixed):
    batch, _ = mixed
    runs = []
    for cache in ("dynamic", "static"):
        out = model.generate(
            **batch,
            do_sample=False,
            max_new_tokens=8,
            cache_implementation=cache,
            disable_compile=True,
            output_logits=True,
            return_dict_in_generate=True,
        )
        runs.append((out.sequences.tolist(), torch.stack(out.logits)))
    assert runs[0][0] == runs[1][0]
    torch.testing.assert_close(runs[0][1], runs[1][1], atol=ATOL, rtol=0)


def test_generation_without_a_cache_agrees(model, mixed):
    _, singles = mixed
    with_cache = model.generate(**singles[2], do_sample=False, max_new_tokens=6)
    assert torch.equal(
        with_cache, model.generate(**singles[2], do_sample=False, max_new_tokens=6, use_cache=False)
    )


@torch.no_grad()
def test_rows_are_repeated_with_all_their_pictures(model, mixed):
    """For beams or several replies; pictures repeated one by one would end up in other places."""
    batch, singles = mixed
    ids, rest = model._expand_inputs_for_generation(expand_size=2, **batch)
    expected = model(**batch).logits.repeat_interleave(2, dim=0)
    torch.testing.assert_close(model(input_ids=ids, **rest).logits, expected, atol=ATOL, rtol=0)
    options = {"do_sample": False, "num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 6}
    options |= {"return_dict_in_generate": True, "output_scores": True}
    together = model.generate(**batch, **options).sequences_scores
    alone = torch.cat([model.generate(**single, **options).sequences_scores for single in singles])
    torch.testing.assert_close(together, alone, atol=ATOL, rtol=0)


def test_generation_continues_a_cache_with_a_new_picture(model, processor, picture, chat):
    first, second = chat("What is this?", 1) + "A square.<|im_end|>", chat("And this?", 1)
    images = [picture(70, 50), picture(50, 70, 1)]
    one = processor(text=[first], images=[images[:1]], return_tensors="pt")
    whole = processor(text=[first + second], images=[images], return_tensors="pt")
    with torch.no_grad():
        cache = model(**one, use_cache=True).past_key_values
    options = {"do_sample": False, "max_new_tokens": 6}
    assert torch.equal(
        model.generate(**whole, past_key_values=cache, **options), model.generate(**whole, **options)
    )


def test_a_cache_that_ends_inside_a_picture_is_refused(model, processor, picture, chat):
    whole = processor(text=[chat("What?", 1)], images=[[picture(70, 50)]], return_tensors="pt")
    with torch.no_grad():
        cache = model(input_ids=whole["input_ids"][:, :8], use_cache=True).past_key_values
    with pytest.raises(InputError, match="ends inside a picture"):
        model.generate(**whole, past_key_values=cache, do_sample=False, max_new_tokens=2)


def test_rows_must_hold_whole_pictures(model, mixed):
    batch = dict(mixed[0])
    batch["spatial_shapes"] = batch["spatial_shapes"].flip(0)
    with pytest.raises(InputError, match="each row with the placeholders of its own pictures"):
        model.generate(**batch, num_beams=2, do_sample=False, max_new_tokens=2)


@pytest.mark.parametrize("device_map", [{"": "disk"}, {"model": "disk", "lm_head": "cpu"}])
@torch.no_grad()
def test_weights_offloaded_to_disk(model, mixed, checkpoint, device_map, tmp_path):
    offloaded = Phi4RVForConditionalGeneration.from_pretrained(
        checkpoint, device_map=device_map, offload_folder=tmp_path
    )
    expected = model(**mixed[1][2]).logits
    torch.testing.assert_close(offloaded.eval()(**mixed[1][2]).logits, expected, atol=ATOL, rtol=0)


def test_pictures_are_encoded_once_per_generation(model, mixed, monkeypatch):
    calls = []
    original = type(model.model).get_image_features

    def counted(self, *args, **kwargs):
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(model.model), "get_image_features", counted)
    model.generate(**mixed[1][0], do_sample=False, max_new_tokens=5, min_new_tokens=5)
    assert len(calls) == 1


@torch.no_grad()
def test_a_later_turn_continues_the_cache(model, processor, picture, chat):
    """Two turns in one prompt equal the second turn run on the first one's cache, with a new picture."""
    first, second = chat("What is this?", 1) + "A square.<|im_end|>", chat("And this?", 1)
    images = [picture(70, 50), picture(50, 70, 1)]
    whole = processor(text=[first + second], images=[images], return_tensors="pt")
    one = processor(text=[first], images=[images[:1]], return_tensors="pt")
    two = processor(text=[second], images=[images[1:]], return_tensors="pt")
    cache = model(**one, use_cache=True).past_key_values
    two["attention_mask"] = torch.ones_like(whole["input_ids"])
    later = model(**two, past_key_values=cache).logits
    torch.testing.assert_close(later, model(**whole).logits[:, -later.shape[1] :], atol=ATOL, rtol=0)


@torch.no_grad()
def test_eager_agrees_with_sdpa(model, mixed, checkpoint):
    eager = Phi4RVForConditionalGeneration.from_pretrained(checkpoint, attn_implementation="eager").eval()
    assert eager.model.vision_tower.config._attn_implementation == "eager"
    assert eager.model.language_model.config._attn_implementation == "eager"
    keep = mixed[0]["attention_mask"].bool()
    out = eager(**mixed[0], output_attentions=True)
    torch.testing.assert_close(out.logits[keep], model(**mixed[0]).logits[keep], atol=ATOL, rtol=0)
    assert len(out.attentions) == 3
    rows = out.attentions[0].sum(-1).transpose(1, 2)[keep]
    torch.testing.assert_close(rows, torch.ones_like(rows))


@pytest.mark.slow
@torch.no_grad()
def test_flex_agrees_with_sdpa(model, mixed, checkpoint):
    flex = Phi4RVForConditionalGeneration.from_pretrained(checkpoint, attn_implementation="flex_attention")
    assert flex.model.vision_tower.config._attn_implementation == "flex_attention"
    try:
        logits = flex.eval()(**mixed[0]).logits
    except Exception as error:
        if type(error).__module__.startswith("torch._"):  # no compiler, or one that lacks flex on this CPU
            pytest.skip(f"flex attention does not compile here: {type(error).__name__}")
        raise
    keep = mixed[0]["attention_mask"].bool()
    torch.testing.assert_close(logits[keep], model(**mixed[0]).logits[keep], atol=ATOL, rtol=0)


@torch.no_grad()
def test_a_registered_attention_reaches_tower_and_decoder(model, mixed, checkpoint):
    seen = []

    def watch(module, *args, **kwargs):
        seen.append(type(module).__name__)
        return sdpa_attention_forward(module, *args, **kwargs)

    AttentionInterface.register("phi4_rv_watch", watch)
    AttentionMaskInterface.register("phi4_rv_watch", sdpa_mask)
    watched = Phi4RVForConditionalGeneration.from_pretrained(checkpoint).eval()
    watched.set_attn_implementation("phi4_rv_watch")
    logits = watched(**mixed[0]).logits
    assert seen == ["Siglip2Attention"] * 2 + ["Phi3Attention"] * 3  # the tower's last layer is not run
    keep = mixed[0]["attention_mask"].bool()
    torch.testing.assert_close(logits[keep], model(**mixed[0]).logits[keep], atol=ATOL, rtol=0)


@torch.no_grad()
def test_padding_patches_do_not_matter(model, mixed):
    """More padding columns, and noise in them, change nothing."""
    single = copy.deepcopy(mixed[1][0])
    before = model(**single).logits
    patches = int(single["spatial_shapes"].prod())
    single["pixel_values"][:, patches:] = 100.0
    assert torch.equal(model(**single).logits, before)
    single["pixel_values"] = torch.nn.functional.pad(single["pixel_values"], (0, 0, 0, 7), value=9.0)
    single["pixel_attention_mask"] = torch.nn.functional.pad(single["pixel_attention_mask"], (0, 7))
    assert torch.equal(model(**single).logits, before)


@torch.no_grad()
def test_logits_to_keep(model, mixed):
    batch, _ = mixed
    full = model(**batch).logits
    torch.testing.assert_close(model(**batch, logits_to_keep=3).logits, full[:, -3:], atol=1e-5, rtol=0)
    wanted = torch.tensor([5, 9])
    torch.testing.assert_close(
        model(**batch, logits_to_keep=wanted).logits, full[:, wanted], atol=1e-5, rtol=0
    )


def test_too_few_placeholders_are_named(model, mixed):
    single = dict(mixed[1][0])
    places = (single["input_ids"] == model.config.image_token_id).nonzero()
    single["input_ids"] = single["input_ids"].clone()
    single["input_ids"][tuple(places[0])] = 7
    with pytest.raises(
        InputError, match=f"{len(places) - 1} image placeholders .* for {len(places)} image patches"
    ):
        model(**single)


def test_a_mask_that_disagrees_with_the_grid_is_refused(model, mixed):
    single = dict(mixed[1][0])
    single["spatial_shapes"] = single["spatial_shapes"] + 1
    with pytest.raises(InputError, match="rows \\* cols"):
        model(**single)
    with pytest.raises(InputError, match="pixel_values alone"):
        model(input_ids=single["input_ids"], pixel_values=single["pixel_values"])


def test_nothing_to_read_is_refused(model):
    with pytest.raises(InputError, match="neither input_ids nor inputs_embeds"):
        model()


def test_generation_from_embeddings(model, processor, chat):
    """What soft prompts and prompt tuning need."""
    inputs = processor(text=[chat("What is this?")], return_tensors="pt")
    plain = model.generate(**inputs, max_new_tokens=6, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    mask = inputs["attention_mask"]
    soft = model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=6, do_sample=False)
    assert soft.tolist() == plain.tolist()


def test_generation_from_embeddings_with_pictures(model, processor, picture, chat):
    inputs = processor(text=[chat("What?", 1)], images=[[picture(64, 64)]], return_tensors="pt")
    plain = model.generate(**inputs, max_new_tokens=6, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
    soft = model.generate(**inputs, inputs_embeds=embeds, max_new_tokens=6, do_sample=False)
    assert soft.tolist() == plain.tolist()


def test_what_is_looked_up_in_the_prompt_is_text_and_the_reply_is_greedys(model, processor, picture, chat):
    """The prompt ends as the question begins, which is where the placeholders stand."""
    images = [picture(90, 60), picture(64, 64, 1)]
    inputs = processor(text=[chat("Compare the two.", 2)], images=[images], return_tensors="pt")
    own, looked_up = PromptLookupCandidateGenerator.get_candidates, []

    def spy(self, ids, *args, **kwargs):
        found = own(self, ids, *args, **kwargs)
        looked_up.extend(found[0][0, ids.shape[1] :].tolist())
        return found

    greedy = model.generate(**inputs, do_sample=False, max_new_tokens=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PromptLookupCandidateGenerator, "get_candidates", spy)
        quick = model.generate(**inputs, do_sample=False, max_new_tokens=24, prompt_lookup_num_tokens=5)
    assert torch.equal(quick, greedy)
    assert looked_up, "something of the prompt was tried"
    assert model.config.image_token_id not in looked_up
