"""Ways to feed a picture: crops on it, what survives them, what they cost, and the published comparison"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Rectangle

from ..ablate.microscope import Microscope
from ..errors import InputError
from ..images import open_image
from ..types import ImageLike
from . import style
from .style import INK, SERIES, Figure, columns, panels, plain, titled

__all__ = ["microscope", "published_resolution", "resolution_costs", "survives"]


def microscope(image: ImageLike, record: Microscope, *, height: float = 2.6) -> Figure:
    """The picture once a method, with its crops and two of its tokens' cells drawn on it.

    Args:
        image: the image that the record was made from.
        record: from ``workbench.ablate.microscope``.
        height: of a picture, in inches.

    Raises:
        InputError: for something else, or if the picture has another size than the record's.
    """
    record = style.record(record, Microscope, "workbench.ablate.microscope(image)")
    shown = open_image(image)
    if shown.size != record.size:
        given = f"a picture of {shown.width}x{shown.height} pixels"
        raise InputError(given, f"the record's, of {record.size[0]}x{record.size[1]}")
    wide = max(2.5, height * min(2.0, shown.width / shown.height))
    across = min(2, len(record.readings))
    down = -(-len(record.readings) // across)
    drawn, axes = panels(down, across, width=across * wide + 0.4, height=down * (height + 0.62) + 0.5)
    small = shown.copy()
    small.thumbnail((1000, 1000))
    for panel, reading in zip(axes, record.readings, strict=False):
        extent = (0, shown.width, shown.height, 0)
        panel.imshow(np.asarray(small), extent=extent, aspect="equal", alpha=0.75)
        places = [sorted({crop[side] for crop in reading.feed.crops}) for side in (0, 1)]
        for x1, y1, x2, y2 in reading.feed.crops:
            odd = (places[0].index(x1) + places[1].index(y1)) % 2  # neighbours differ, as on a chessboard
            look = SERIES[odd]
            inset = 0.006 * max(record.size) * odd
            size = x2 - x1 - 2 * inset, y2 - y1 - 2 * inset
            frame = Rectangle(
                (x1 + inset, y1 + inset), *size, fill=False, linewidth=1.5, edgecolor=look.colour,
                linestyle=look.line,
            )  # fmt: skip
            panel.add_patch(frame)
        side = reading.smallest_target
        panel.add_patch(Rectangle((0.02 * shown.width, 0.03 * shown.height), side, side, color="#BB5566"))
        panel.set_xticks([])
        panel.set_yticks([])
        crops = len(reading.feed.crops)
        lines = (
            f"{reading.label}: {reading.feed.tokens} tokens, {crops} crop{'s' * (crops != 1)}",
            f"resized to {reading.feed.resized[0]} x {reading.feed.resized[1]}; "
            f"text {reading.smallest_text:.0f} px, target {side:.0f} px",
        )
        panel.set_title(f"{lines[0]}\n{lines[1]}", fontsize=8, loc="left", color=INK)
    for panel in axes[len(record.readings) :]:
        panel.set_visible(False)
    best = min(record.readings, key=lambda r: r.smallest_text)
    finest = min(record.readings, key=lambda r: r.smallest_target)
    what = f"{record.size[0]} x {record.size[1]} at {record.budget} tokens"
    if best is finest:
        text = f"{best.label} keeps the smallest text and the smallest target (red)"
    else:
        text = f"the smallest text reaches the tower with {best.label}, "
        text += f"the smallest target (red) survives {finest.label}"
    titled(drawn, f"{what}: {text}")
    return drawn


def survives(records: Mapping[str, Microscope]) -> Figure:
    """Smallest text and target of each method, for several pictures, in pixels of the original.

    Args:
        records: name of a picture -> its record.

    Raises:
        InputError: without records.
    """
    if not records:
        raise InputError("no records", "name -> microscope(picture)")
    drawn, axes = panels(1, 2, width=8.6, height=1.6 + 0.5 * len(records), sharey=True)
    names = list(records)
    texts = ("smallest_text", "smallest x-height read (px)"), ("smallest_target", "smallest target (px)")
    best: dict[str, int] = {}
    for panel, (field, label) in zip(axes, texts, strict=True):
        for number, name in enumerate(names):
            readings = records[name].readings
            for kind, reading in enumerate(readings):
                look = SERIES[kind % len(SERIES)]
                place = -number + 0.13 * ((len(readings) - 1) / 2 - kind)
                panel.plot(
                    getattr(reading, field), place, marker=look.marker, color=look.colour, markersize=6.5,
                    markeredgecolor=INK, markeredgewidth=0.4, linestyle="",
                    label=reading.label if number == 0 and field == "smallest_text" else None,
                )  # fmt: skip
            if field == "smallest_text":
                first = min(readings, key=lambda r: r.smallest_text).label
                best[first] = best.get(first, 0) + 1
        panel.set_xlabel(label)
        panel.set_xlim(left=0)
        plain(panel)
    axes[0].set_yticks(
        -np.arange(len(names)), [f"{n}\n{records[n].size[0]} x {records[n].size[1]}" for n in names]
    )
    drawn.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    label, count = max(best.items(), key=lambda item: item[1])
    titled(drawn, f"{label} passes the smallest text to the tower for {count} of {len(names)} pictures")
    return drawn


def resolution_costs(table: object) -> Figure:
    """FLOPs of tower and decoder a method, stacked, with its tokens.

    Args:
        table: rows with label, tokens, tower_flops, projector_flops and decoder_flops.

    Raises:
        InputError: for a table without rows or without a column that is needed.
    """
    needed = ("label", "tokens", "tower_flops", "projector_flops", "decoder_flops")
    found = columns(table, needed, "workbench.ablate.cost_table(...)")
    drawn, (axes,) = panels(1, 1, width=7.6, height=1.6 + 0.42 * len(found))
    left = np.zeros(len(found))
    total = found[list(needed[2:])].sum(axis=1)
    parts = (("tower", "#004488", ""), ("projector", "#BB5566", "//"), ("decoder", "#DDAA33", ".."))
    for part, colour, hatch in parts:
        values = found[f"{part}_flops"].to_numpy(float) / 1e12
        axes.barh(
            -np.arange(len(found)), values, left=left, color=colour, hatch=hatch, edgecolor="white",
            height=0.6, label=part,
        )  # fmt: skip
        left += values
    labels = [
        f"{label}\n{tokens} tokens" for label, tokens in zip(found["label"], found["tokens"], strict=True)
    ]
    axes.set_yticks(-np.arange(len(found)), labels, fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    plain(axes)
    axes.set_xlabel("operations to read the prompt (TFLOP)")
    drawn.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    dear = found.assign(share=found["tower_flops"] / total).sort_values("share").iloc[-1]
    titled(drawn, f"{dear['label']} spends {dear['share']:.0%} of its operations in the tower")
    return drawn


def published_resolution(table: object) -> Figure:
    """The published comparison of the ways to feed a picture, with each score's 95% sampling error.

    Args:
        table: from ``workbench.bench.published.resolution``.

    Raises:
        InputError: as `resolution_costs`.
    """
    needed = ("method", "max_tokens", "benchmark", "score", "low", "high", "items")
    found = columns(table, needed, "workbench.bench.published.resolution()")
    names = list(dict.fromkeys(found["benchmark"]))
    drawn, axes = panels(1, len(names), width=9.2, height=2.9, sharey=True)
    separate = []
    for panel, name in zip(axes, names, strict=True):
        one = found[found["benchmark"] == name]
        for place, row in enumerate(one.to_dict("records")):
            look = SERIES[place % len(SERIES)]
            error = [[row["score"] - row["low"]], [row["high"] - row["score"]]]
            panel.errorbar(
                row["score"], -place, xerr=error, marker=look.marker, color=look.colour, markersize=6,
                markeredgecolor=INK, markeredgewidth=0.4, elinewidth=1.6,
            )  # fmt: skip
        panel.set_title(f"{name} (n={int(one['items'].iloc[0])})", fontsize=9)
        panel.set_xlabel("score (%)")
        plain(panel)
        ranked = one.sort_values("score", ascending=False)
        if ranked["low"].iloc[0] > ranked["high"].iloc[1]:
            separate.append(name)
    first = found[found["benchmark"] == names[0]]
    labels = [f"{m}, {t}" for m, t in zip(first["method"], first["max_tokens"], strict=True)]
    axes[0].set_yticks(-np.arange(len(labels)), labels)
    where = f"only on {', '.join(separate)}" if separate else "nowhere"
    titled(
        drawn, f"The best way to feed a picture stands clear of the next {where} (intervals that do not meet)"
    )
    return drawn
