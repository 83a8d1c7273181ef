"""Hostile inputs: a generator a kind gives names, each with a function that hands the workbench the input."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import math
import os
import random
import resource
import shutil
import socket
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import workbench
from workbench import ablate, bench, interpret, synth, viz
from workbench.images import open_image

Case = tuple[str, Callable[[], object]]

ODD = (None, True, -1, 0, 10**9, 1e308, math.nan, "x", "", [], {}, ["x"], {"x": 1}, [[[]]])
"""Values that stand in the place of another."""

DEEP = "[" * 100_000

LOGS = Path(__file__).resolve().parent.parent / "tests" / "data" / "bench"

CONTROL = "as it is"
"""The name of an input that must be taken."""


class Room:
    """What the inputs are tried with: a folder, the built-in model, a picture and an answer about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, name: str = "place") -> Path:
        """A path that nothing stands at."""
        return Path(tempfile.mkdtemp(dir=self.folder)) / name

    def written(self, data: bytes | str, name: str = "file") -> Path:
        """A new file that holds some data."""
        path = self.new(name)
        path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        return path

    @cached_property
    def vlm(self) -> Any:
        return workbench.load(progress=False)

    @cached_property
    def image(self) -> Image.Image:
        return synth.sample("read_sign", 1, seed=5)[0].images[0]

    @cached_property
    def answer(self) -> workbench.Answer:
        return self.vlm.ask(self.image, "What is this?", mode="think", max_tokens=99, capture=True)

    @cached_property
    def results(self) -> workbench.Results:
        return bench.run(self.vlm, "suite", modes=["nothink"], limit=1, folder=self.new(), progress=False)

    def ask(self, image: Any, question: Any = "What is this?", **options: Any) -> workbench.Answer:
        return self.vlm.ask(image, question, **{"max_tokens": 1, "mode": "nothink", **options})


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


# -- pictures --------------------------------------------------------------------------------------


def pictures(room: Room) -> Iterator[Case]:
    """Damaged and odd files, arrays of every type and shape, and what is no picture at all."""
    yield CONTROL, lambda: room.ask(room.image)
    rng = random.Random(0)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "ICO", "TGA", "PCX"):
        whole = encoded(room.image.resize((40, 30)), kind)
        for number in range(20):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 4, 40))):
                data[rng.randrange(len(data))] = rng.randrange(256)
            yield f"{kind} with changed bytes {number}", lambda data=bytes(data): open_image(data)
        for number in range(10):
            cut = whole[: rng.randrange(len(whole))]
            yield f"{kind} cut {number}", lambda cut=cut: open_image(cut)
    for name, value in _odd_pictures(room):
        yield name, lambda value=value: room.ask(value() if callable(value) else value)


def _odd_pictures(room: Room) -> Iterator[tuple[str, Any]]:
    for dtype in (
        "O",
        "U3",
        "S3",
        "complex64",
        "float16",
        "float32",
        "int64",
        "uint64",
        "bool",
        "M8[s]",
        "V4",
    ):
        yield f"array of {dtype}", lambda dtype=dtype: np.zeros((8, 8, 3), dtype)
        yield f"ragged values of {dtype}", lambda dtype=dtype: np.empty((2, 3), dtype)
    for shape in (
        (),
        (0,),
        (5,),
        (0, 0, 3),
        (8, 8, 2),
        (3, 8, 8),
        (1, 1, 3),
        (2, 8, 8, 3),
        (8, 0),
        (1, 3000, 3),
    ):
        yield f"array of shape {shape}", np.zeros(shape, np.uint8)
    for value in (math.nan, math.inf, -1.0, 2.0, 1e308):
        yield f"array that holds {value}", np.full((8, 8, 3), value)
    for mode in (
        "1",
        "L",
        "P",
        "PA",
        "LA",
        "La",
        "I",
        "I;16",
        "I;16B",
        "F",
        "CMYK",
        "YCbCr",
        "HSV",
        "LAB",
        "RGBa",
    ):
        yield f"mode {mode}", lambda mode=mode: Image.new(mode, (20, 20))
    for size in ((1, 1), (1, 2), (3000, 1), (1, 5000), (0, 5), (5, 0)):
        yield f"{size} pixels", lambda size=size: Image.new("RGB", size)
    yield from _no_pictures(room)


def _no_pictures(room: Room) -> Iterator[tuple[str, Any]]:
    fifo, folder, loop = room.new("pipe"), room.new("folder"), room.new("loop")
    os.mkfifo(fifo)
    folder.mkdir()
    loop.symlink_to(loop)
    bomb = encoded(Image.new("L", (1, 1)), "PNG")
    paths = (
        fifo,
        folder,
        loop,
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        "~nobody/x.png",
        "a\0b",
        "x" * 5000,
    )
    paths += (
        "",
        ".",
        "\ud800.png",
        "http://127.0.0.1/x.png",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
    )
    yield from ((f"path {str(path)[-30:]!r}", path) for path in paths)
    texts = {
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        "PDF": b"%PDF-1.7\n%%EOF", "HTML": b"<html>", "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "no bytes": b"", "zeros": bytes(4096), "bomb": bomb[:16] + b"\xff\xff\xff\x7f" * 2 + bomb[24:],
    }  # fmt: skip
    yield from texts.items()
    yield from ((f"a {type(value).__name__} {value!r:.20}", value) for value in ODD[1:])
    yield "a list of everything", [room.image, None, b"", 5]
    yield "lists in lists", [[[room.image]]]
    yield "a list that holds itself", _holds_itself
    yield "a generator", lambda: (room.image for _ in range(2))
    yield "text stream", lambda: io.StringIO("x")
    yield "closed stream", _closed
    yield "an endless stream", _Endless
    yield "closed image", _closed_image
    yield "a lazy image whose file is gone", lambda: _gone(room)
    yield "bad EXIF", encoded(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" * 3)
    yield "a type", Image.Image
    yield "a module", os
    yield "300 images", [room.image] * 300


def _holds_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _closed() -> io.BytesIO:
    stream = io.BytesIO(b"x")
    stream.close()
    return stream


class _Endless(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return bytes(min(size, 2**20)) if size >= 0 else bytes(2**20)


def _closed_image() -> Image.Image:
    image = Image.new("RGB", (8, 8))
    image.close()
    return image


def _gone(room: Room) -> Image.Image:
    path = room.written(encoded(room.image, "PNG"), "x.png")
    image = Image.open(path)
    path.write_bytes(b"")
    return image


# -- checkpoints -----------------------------------------------------------------------------------


def checkpoints(room: Room) -> Iterator[Case]:
    """The built-in model's folder with one thing changed: loaded, planned and asked."""
    yield CONTROL, lambda: _asked(room, {})
    source = workbench.data_path("nano")
    for name in (
        "config.json",
        "preprocessor_config.json",
        "generation_config.json",
        "tokenizer_config.json",
    ):
        document = json.loads((source / name).read_text())
        more = {"config.json": _CONFIG, "generation_config.json": _GENERATION}.get(name, {})
        for key, values in {**dict.fromkeys(document, ODD), **more}.items():
            for value in values:
                changed = json.dumps({**document, key: value})
                yield f"{name}: {key}={value!r:.40}", lambda n=name, c=changed: _asked(room, {n: c})
    vision = json.loads((source / "config.json").read_text())
    for key in vision["vision_config"]:
        for value in ODD:
            changed = json.dumps({**vision, "vision_config": {**vision["vision_config"], key: value}})
            yield f"vision_config: {key}={value!r:.40}", lambda c=changed: _asked(room, {"config.json": c})
    for template in _TEMPLATES:
        yield f"template {template[:40]}", lambda t=template: _asked(room, {"chat_template.jinja": t})
    rng = random.Random(0)
    for path in sorted(source.iterdir()):
        if path.suffix == ".md":
            continue
        for what, data in _damaged(path.read_bytes(), rng):
            yield f"{path.name} {what}", lambda n=path.name, d=data: _asked(room, {n: d})
        yield f"no {path.name}", lambda n=path.name: _asked(room, {n: None})


_CONFIG: dict[str, tuple[Any, ...]] = {
    "num_attention_heads": (3, 10**6, 7.5),
    "num_key_value_heads": (3, 10**6),
    "vocab_size": (5, 10**12),
    "hidden_size": (7, 10**12),
    "num_hidden_layers": (10**9, 2),
    "rope_scaling": ({"type": "yarn"}, {"rope_type": 5}),
    "hidden_act": ("os.system", "gelu"),
    "dtype": ("float7", "int8", ["float32"]),
    "architectures": (["X"], "X"),
    "model_type": ("bert", "qwen2_5_vl", "../x"),
    "image_token_id": (-5, 10**9, "x"),
    "quantization_config": ({}, {"quant_method": "x"}, 5),
    "auto_map": ({"AutoConfig": "x--y.Z"}, 5),
    "layer_types": (["full_attention"], "x"),
    "max_position_embeddings": (1,),
    "text_config": ({}, 5),
    "id2label": (5, {"a": "b"}),
    "torch_dtype": ("x",),
    "_attn_implementation": ("a/b",),
    "tokenizer_class": ("X",),
}
_GENERATION: dict[str, tuple[Any, ...]] = {
    "suppress_tokens": ODD,
    "bad_words_ids": ODD,
    "sequence_bias": ODD,
    "stop_strings": ODD,
    "eos_token_id": ODD,
    "pad_token_id": ODD,
    "guidance_scale": ODD,
    "cache_implementation": ODD,
    "watermarking_config": ODD,
    "dola_layers": ODD,
    "max_time": ODD,
    "constraints": ODD,
    "num_beams": ODD,
    "prompt_lookup_num_tokens": ODD,
    "min_new_tokens": ODD,
    "compile_config": ODD,
}
_TEMPLATES = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(999) %}{{ messages }}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 10**10**9 }}",
    "{{ 'x' * 10**10 }}",
    "{{ range(10**12) }}",
    "{% set ns = namespace(s='xxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{{ messages[0].__class__.__mro__ }}",
    "{{ ''.__class__.__base__.__subclasses__() }}",
    "{{ 1/0 }}",
    "{{ raise_exception('no') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% if",
    "{{ nothing.at.all }}",
    "",
    " ",
    "no messages",
    "{{ messages }}",
    "{{ messages[5].content }}",
    "{{ messages | tojson * 5 }}",
    "\ud800",
    "{% for m in messages %}{{ m.content }}{{ '<image>' * 50 }}{% endfor %}",
    "{{ 'x'.ljust(10000000000) }}",
    "{% for m in messages %}{{ m.content + 1 }}{% endfor %}",
    "{{ '%1000000000d' % 1 }}",
    "{{ messages.append(1) }}",
    "{{ '%s' % messages }}{% for x in messages * 1000000 %}{% endfor %}",
    "{{ cycler.__init__.__globals__ }}",
)


def _damaged(data: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Ways in which a file is not what it was."""
    yield "empty", b""
    yield "cut", data[: len(data) // 2]
    yield "deep", DEEP.encode()
    yield "a list", b"[]"
    yield "a number", b"5"
    yield "zeros", bytes(1000)
    yield "with a BOM", b"\xef\xbb\xbf" + data
    yield "UTF-16", data[:5000].decode("latin-1").encode("utf-16")
    for number in range(5):
        changed = bytearray(data)
        for _ in range(3):
            changed[rng.randrange(min(len(changed), 3000))] = rng.randrange(256)
        yield f"with changed bytes {number}", bytes(changed)


def _asked(room: Room, files: dict[str, bytes | str | None]) -> object:
    """The built-in model's folder with other files, loaded and asked."""
    folder = room.new("model")
    folder.mkdir()
    for path in workbench.data_path("nano").iterdir():
        if path.name not in files:
            (folder / path.name).symlink_to(path)
    for name, data in files.items():
        if data is not None:
            raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
            (folder / name).write_bytes(raw)
    vlm = workbench.load(folder, progress=False)
    answer = vlm.ask(room.image, "What is this?", max_tokens=2)
    return vlm, vlm.modes, answer, workbench.memory_plan(folder)


# -- records ---------------------------------------------------------------------------------------


def records(room: Room) -> Iterator[Case]:
    """Saved records and logs of other harnesses with one thing changed: loaded and shown."""
    rng = random.Random(0)
    for name, write, read in _kept(room):
        place = room.new(name)
        write(place)
        yield CONTROL, lambda p=place, r=read: _shown(r(p))
        for path in [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file()):
            inside = path.relative_to(place)
            for what, data in _changed(path, rng):
                yield (
                    f"{name}: {inside} {what}",
                    lambda p=place, i=inside, d=data, r=read: _shown(r(_with(room, p, i, d))),
                )


def _kept(room: Room) -> Iterator[tuple[str, Callable[[Path], object], Callable[[Path], object]]]:
    """Every record that is written to disk: its name, how it is written, how it is read."""
    vlm, answer, quiet = room.vlm, room.answer, {"progress": False}
    recipe = ablate.Recipe()
    yield "answer", answer.save, workbench.Answer.load
    yield "attention.safetensors", answer.attention.save, type(answer.attention).load
    made = interpret.attribute(vlm, answer, method="occlusion", regions=(2, 2), **quiet)
    yield "attribution", made.save, interpret.Attribution.load
    yield "lens", interpret.logit_lens(vlm, answer, k=1).save, interpret.LogitLens.load
    proof = interpret.counterfactual(vlm, answer, region=(0, 0, 20, 20), controls=1)
    yield "counterfactual", proof.save, interpret.Counterfactual.load
    yield "recipe.yaml", recipe.save, ablate.Recipe.load
    yield (
        "sweep.yaml",
        lambda path: path.write_text("recipe: {budget: 100}\nvary: {reasoning.share: [0, 0.5]}\nseeds: 2\n"),
        ablate.read_sweep,
    )
    yield "results.jsonl", room.results.save, workbench.Results.load
    yield (
        "rows.csv",
        lambda path: path.write_text("index,question,A,B,answer,prediction\n1,q,a,b,A,B\n"),
        _results,
    )
    yield "m_MathVista_MINI.xlsx", _sheet, _results
    yield "x.eval", _eval_log, _results
    for folder in ("vlmevalkit", "lmms_eval", "eureka", "fresh/inspect", "fresh/lmms-eval"):
        yield f"logs {folder}", lambda path, f=folder: shutil.copytree(LOGS / f, path), _results


def _results(path: Path) -> object:
    return bench.load_results(path)


def _sheet(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["index", "question", "answer", "prediction"])
    book.active.append([1, "How many?", "3", "It is 3."])
    book.save(path)


def _eval_log(path: Path) -> None:
    sample = {"id": 1, "epoch": 1, "input": "q", "target": "A", "output": {"completion": "A", "choices": []}}
    sample["scores"] = {"choice": {"value": "C"}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "header.json", json.dumps({"version": 2, "status": "success", "eval": {"task": "mmmu"}})
        )
        archive.writestr("samples/1_epoch_1.json", json.dumps(sample))


def _changed(path: Path, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    data = path.read_bytes()
    yield from _damaged(data, rng)
    with contextlib.suppress(ValueError):
        lines = data.decode().splitlines()
        first = json.loads(lines[0] if path.suffix == ".jsonl" else data)
        rest = b"\n" + "\n".join(lines[1:]).encode() if path.suffix == ".jsonl" else b""
        for where, changed in _altered(first):
            yield where, json.dumps(changed).encode() + rest


def _altered(document: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """A document with each of its values, down to a depth, changed for each odd one, or taken away."""
    for path in list(_paths(document, depth)):
        for value in ODD:
            yield f"{'.'.join(map(str, path))}={value!r:.20}", _put(document, path, value)
        yield f"{'.'.join(map(str, path))} taken away", _put(document, path, _put)


def _paths(value: Any, depth: int, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if depth and isinstance(value, (dict, list)):
        inner = list(value.items())[:25] if isinstance(value, dict) else list(enumerate(value))[:2]
        for key, item in inner:
            yield from _paths(item, depth - 1, (*path, key))


def _put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is _put:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def _with(room: Room, place: Path, inside: Path, data: bytes) -> Path:
    """A copy of a record with one of its files changed."""
    copied = room.new(place.name)
    if place.is_file():
        copied.write_bytes(data)
    else:
        shutil.copytree(place, copied, copy_function=os.link)
        (copied / inside).unlink()
        (copied / inside).write_bytes(data)
    return copied


def _shown(record: Any) -> object:
    """A record as a notebook shows it."""
    show = getattr(record, "_repr_html_", None)
    return record, show() if show else str(record)


# -- servers ---------------------------------------------------------------------------------------


def servers(room: Room) -> Iterator[Case]:
    """Replies of a server that break the protocol, or never end."""
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}
    logprobs = {
        "content": [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "a", "logprob": -0.1}]}]
    }
    delta = {"role": "assistant", "content": "a"}
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": "stop"}
    event = {"id": "x", "object": "chat.completion.chunk", "model": "m", "usage": usage, "choices": [choice]}
    yield CONTROL, lambda: _served(_ok(b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n"))
    for where, changed in _altered(event, depth=5):
        body = b"data: " + json.dumps(changed).encode() + b"\n\ndata: [DONE]\n\n"
        yield f"event {where}", lambda body=body: _served(_ok(body))
    for where, changed in _altered({"data": [{"id": "m", "object": "model"}]}):
        listed = json.dumps(changed).encode()
        yield f"models {where}", lambda listed=listed: _served(_ok(b"data: [DONE]\n\n"), models=listed)
    good = b"data: " + json.dumps(event).encode() + b"\n\n"
    for status in (100, 204, 301, 302, 400, 401, 404, 418, 500, 599, 999):
        for text in (
            b"",
            b"{}",
            b'{"error": 5}',
            b'{"error": {"message": ["x"]}}',
            DEEP.encode(),
            b"\xff\xfe\x1b[2J",
        ):
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\nLocation: /\r\n\r\n".encode()
            yield f"status {status} {text[:12]!r}", lambda h=head, t=text: _served([h, t])
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for name, parts in {
        "nothing": [], "not HTTP": [b"SSH-2.0-x\r\n"], "zeros": [bytes(10000)],
        "half a head": [b"HTTP/1.1 200"],
        "chunk of -5": [chunked, b"-5\r\nx\r\n"], "chunk of fff": [chunked, b"fffffffffffffffff\r\nx"],
        "no end": [_ok(b"")[0].replace(b"Content-Length: 0\r\n", b""), good],
        "BOM": _ok(b"\xef\xbb\xbf" + good),
        "two lengths": [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
        "gzip that is none": [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"],
        "cut": [_ok(good)[0], good[: len(good) // 2]], "deep": _ok(b"data: " + DEEP.encode() + b"\n\n"),
        "long number": _ok(b"data: " + b"9" * 100_000 + b"\n\n"), "no data": _ok(b": keep alive\n\n" * 50),
        "huge header": [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n"],
    }.items():  # fmt: skip
        yield name, lambda parts=parts: _served(parts)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    for name, drop in {
        "text": good,
        "keep alive": b": x\n\n",
        "one line": b"data: " + b"x" * 60000,
        "spaces": b" " * 60000,
    }.items():
        yield f"{name} without end", lambda drop=drop: _served([head], forever=drop)
    for url in (
        "http://",
        "http://[::1",
        "http://exa mple/v1",
        "http://x:99999",
        "http://a:b@c",
        "http://\ud800",
        "ftp://x",
    ):
        yield f"address {url!r}", lambda url=url: workbench.load(url, timeout=1)


def _ok(body: bytes) -> list[bytes]:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode(), body]


def _served(
    parts: list[bytes], *, models: bytes = b'{"data": [{"id": "m"}]}', forever: bytes = b""
) -> object:
    """What is made of a server that answers a question with these bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=reply, args=(listener.accept()[0],), daemon=True).start()

    def reply(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            asked = connection.recv(2**20)
            for part in _ok(models) if asked.startswith(b"GET") else parts:
                connection.sendall(part)
            while forever and asked.startswith(b"POST"):
                connection.sendall(forever)

    threading.Thread(target=serve, daemon=True).start()
    try:
        with _impatient():
            vlm = workbench.load(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout=1)
            return vlm, vlm.ask(None, "What?", max_tokens=5)
    finally:
        listener.close()


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Waits between two requests are short."""
    from workbench.models import server_protocol

    kept = server_protocol.BACKOFF
    server_protocol.BACKOFF = 0.001
    try:
        yield
    finally:
        server_protocol.BACKOFF = kept


# -- disks -----------------------------------------------------------------------------------------


def disks(room: Room) -> Iterator[Case]:
    """Places that cannot be written: each record and each figure is saved to each of them."""
    places: dict[str, Callable[[str], Any]] = {
        "below a file": lambda name: room.written("x") / name,
        "a file that is there": lambda name: room.written("x", name),
        "a folder with other things": lambda name: room.written("x", "other").parent,
        "below /proc": lambda name: Path("/proc/x") / name,
        "/dev/full": lambda name: Path("/dev/full"),
        "a name too long": lambda name: room.new("x" * 300 + name),
        "no name": lambda name: "",
        "half a character": lambda name: room.new("x\ud800" + name),
        "a NUL": lambda name: f"a\0b{name}",
        "a number": lambda name: 5,
        "a pipe": lambda name: _pipe(room, name),
        "a full disk": lambda name: room.new(name),
    }
    results = room.results
    recipe = ablate.Recipe(
        mixture={"general": 1, "maths": 0, "computer_use": 0}, families=("shape_count",), budget=8,
        evaluation=1,
        modes=("nothink",),
    )  # fmt: skip
    made = interpret.attribute(room.vlm, room.answer, method="occlusion", regions=(2, 2), progress=False)
    explorer = workbench.ui.AttentionExplorer(room.answer)
    quiet: dict[str, Any] = {"progress": False, "max_tokens": 2}
    savers: dict[str, tuple[Callable[[Any], object], str]] = {
        "answer": (room.answer.save, "answer"),
        "attention": (room.answer.attention.save, "x.safetensors"),
        "attribution": (made.save, "map"),
        "results": (results.save, "x.jsonl"),
        "recipe": (recipe.save, "x.yaml"),
        "page": (explorer.save_html, "x.html"),
        "report": (lambda path: bench.report(results, path, n_resamples=9, failures=1), "x.html"),
        "run": (lambda path: bench.run(room.vlm, "suite", limit=1, folder=path, **quiet), "run"),
        "training": (lambda path: ablate.run(recipe, path), "runs"),
        "failures": (lambda path: bench.export_failures(results, path), "x.html"),
    }
    for what, (save, name) in savers.items():
        yield CONTROL, lambda s=save, n=name: s(room.new(n))
        for where, place in places.items():
            full = _no_room() if where == "a full disk" else contextlib.nullcontext()
            yield f"{what} to {where}", lambda s=save, p=place, n=name, f=full: _into(s, p(n), f)


def _into(save: Callable[[Any], object], path: Any, full: Any) -> object:
    with full:
        return save(path)


def _pipe(room: Room, name: str) -> Path:
    path = room.new(name)
    os.mkfifo(path)
    return path


@contextlib.contextmanager
def _no_room() -> Iterator[None]:
    """Files end after some bytes, as on a full disk."""
    import signal

    kept, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, handler)


# -- arguments -------------------------------------------------------------------------------------


def arguments(room: Room) -> Iterator[Case]:
    """Every argument of the verbs with each odd value, and verbs without what they need."""
    for name, (function, given) in _calls(room).items():
        yield CONTROL, lambda f=function, g=given: f(**g)
        for argument in given:
            for value in (*ODD, object(), print, b"x", np.zeros(3), "\ud800", "x" * 10_000):
                changed = {**given, argument: value}
                yield f"{name}({argument}={value!r:.20})", lambda f=function, c=changed: f(**c)
            less = {word: value for word, value in given.items() if word != argument}
            yield f"{name} without {argument}", lambda f=function, c=less: f(**c)


def _calls(room: Room) -> dict[str, tuple[Callable[..., object], dict[str, Any]]]:
    """Verbs with arguments that work, quick ones."""
    image, answer = room.image, room.answer
    ask = {
        "images": image, "question": "What is this?", "mode": "nothink", "max_tokens": 1,
        "thinking_budget": None,
        "temperature": 0.0, "seed": 1, "history": (), "capture": False,
    }  # fmt: skip
    many = {"images": [image], "questions": ["What?"], "mode": "auto", "batch_size": 1, "max_tokens": 1}
    load = {"source": "nano", "device": "cpu", "dtype": "auto", "quantize": None, "attention": "auto"}
    load |= dict.fromkeys(
        (
            "family",
            "adapter",
            "thought",
            "template",
            "image_tokens",
            "offload",
            "revision",
            "model",
            "api_key",
        )
    )
    inside, quiet = {"vlm": room.vlm, "answer": answer}, {"progress": False}
    occlusion = {
        "method": "occlusion",
        "regions": (1, 2),
        "target": None,
        "baseline": "mean",
        "batch_size": 4,
    }
    results = room.results
    run = {
        "vlm": room.vlm,
        "tasks": bench.task("suite", n=1),
        "modes": ["nothink"],
        "limit": 1,
        "folder": None,
        "max_tokens": 1,
    }
    scored = {
        "benchmark": "mmmu",
        "prediction": "A",
        "gold": "A",
        "protocol": "workbench",
        "options": {"A": "x"},
    }
    lens = {"k": 1, "place": "answer", "chunk": 8}
    region = {"region": (0, 0, 9, 9), "baseline": "mean", "controls": 1, "seed": 0}
    sweep = room.written("recipe: {budget: 100}", "sweep.yaml")
    log = room.new("log.jsonl")
    results.save(log)
    return {
        "ask": (room.vlm.ask, ask),
        "ask_many": (room.vlm.ask_many, many | quiet),
        "load": (workbench.load, load | quiet),
        "memory_plan": (
            workbench.memory_plan,
            {"source": "nano", "device": "cpu", "context": None, "batch": 1},
        ),
        "attribute": (interpret.attribute, inside | occlusion | quiet),
        "logit_lens": (interpret.logit_lens, inside | lens),
        "knockout": (interpret.knockout, inside | {"sources": "images", "targets": "answer", "layers": None}),
        "counterfactual": (interpret.counterfactual, inside | region),
        "overlay": (viz.overlay, {"answer": answer, "map": None, "image": 0}),
        "answer.plot": (answer.plot, {"tokens": None, "image": 0}),
        "attention.map": (
            answer.attention.map,
            {"tokens": "answer", "layers": None, "heads": None, "image": 0},
        ),
        "explorer": (workbench.ui.AttentionExplorer, {"answer": answer}),
        "sample": (synth.sample, {"family": "shape_count", "n": 1, "seed": 0, "difficulty": 1, "world": 1}),
        "bench.run": (bench.run, run | {"batch_size": 1, "protocol": "workbench", "cache": False} | quiet),
        "load_results": (bench.load_results, {"path": log, "protocol": "workbench"}),
        "rescore": (bench.rescore, {"results": results, "protocol": "workbench"}),
        "score": (bench.score, scored),
        "report": (
            bench.report,
            {"results": results, "path": str(room.new("report.html")), "n_resamples": 2, "failures": 1},
        ),
        "compare": (bench.compare, {"first": results, "second": results, "test": "auto", "level": 0.95}),
        "Recipe": (ablate.Recipe, {f.name: f.default for f in dataclasses.fields(ablate.Recipe)}),
        "read_sweep": (ablate.read_sweep, {"path": sweep}),
    }


KINDS: dict[str, Callable[[Room], Iterator[Case]]] = {
    kind.__name__: kind for kind in (pictures, checkpoints, records, servers, disks, arguments)
}
