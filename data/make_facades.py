"""Makes a paired data set of drawn facades, laid out as the pix2pix facades set.

A random generator designs each building as a list of rectangles, which is painted twice. In the
colours of the CMP label classes it is the label map (B, the right half). In materials, then lit,
shaded and blurred as by a camera, it is the photo (A, the left half).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from PIL import Image

try:
    from tqdm import tqdm
except ImportError:  # its bar is a comfort, not a need
    tqdm = None

SPLITS = ("train", "val", "test")
SIZES = range(32, 16385)
SUFFIXES = {".png", ".jpg", ".jpeg"}
SAVE_OPTIONS = {"png": {"compress_level": 3}, "jpg": {"quality": 95, "subsampling": 0}}
LINE_EVERY = 100  # pictures between two lines of progress where there is no terminal

# The label colours of the pix2pix facades set, and how far each class stands out of the wall, as a
# part of the picture's height: that decides the shadows.
CLASSES = {
    "background": ((0, 0, 170), -1.0),
    "facade": ((0, 0, 255), 0.0),
    "molding": ((255, 85, 0), 0.010),
    "cornice": ((0, 255, 255), 0.032),
    "pillar": ((255, 0, 0), 0.010),
    "window": ((0, 85, 255), -0.016),
    "door": ((0, 170, 255), -0.020),
    "sill": ((85, 255, 170), 0.014),
    "blind": ((170, 255, 85), 0.004),
    "balcony": ((255, 255, 0), 0.028),
    "shop": ((170, 0, 0), -0.008),
    "deco": ((255, 170, 0), 0.007),
}
COLOURS = np.array([colour for colour, _ in CLASSES.values()], np.uint8)
RELIEF = np.array([relief for _, relief in CLASSES.values()], np.float32)


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """Returns a colour in [0, 1] that spreads over a (3, h, w) patch: float32 (3, 1, 1)."""
    return np.array((red, green, blue), np.float32)[:, None, None]


WALLS = {
    "brick": [rgb(0.60, 0.32, 0.25), rgb(0.52, 0.28, 0.22), rgb(0.67, 0.42, 0.31)],
    "plaster": [rgb(0.88, 0.76, 0.54), rgb(0.90, 0.83, 0.70), rgb(0.86, 0.66, 0.55)],
    "stone": [rgb(0.72, 0.68, 0.61), rgb(0.66, 0.65, 0.64), rgb(0.77, 0.71, 0.61)],
}
TRIMS = [rgb(0.84, 0.80, 0.71), rgb(0.93, 0.91, 0.86), rgb(0.83, 0.80, 0.74)]
FRAMES = [rgb(0.94, 0.94, 0.92), rgb(0.92, 0.90, 0.85), rgb(0.42, 0.28, 0.18)]
PAINTS = [rgb(0.18, 0.36, 0.26), rgb(0.45, 0.24, 0.15), rgb(0.20, 0.30, 0.45), rgb(0.5, 0.16, 0.15)]
SKIES = [rgb(0.50, 0.68, 0.92), rgb(0.62, 0.75, 0.92), rgb(0.80, 0.83, 0.87)]
CLOTH, LETTERS, IRON = rgb(0.80, 0.76, 0.66), rgb(0.92, 0.88, 0.74), rgb(0.12, 0.12, 0.13)


class Part(NamedTuple):
    """A rectangle of a building: its look, a key of LOOKS, and its edges in [0, 1], y down."""

    look: str
    x0: float
    y0: float
    x1: float
    y1: float

    def pixels(self, size: int) -> tuple[int, int, int, int]:
        """Returns x0, y0, x1, y1 in a size x size picture; no part is less than a pixel."""
        x0, y0, x1, y1 = (min(max(round(edge * size), 0), size) for edge in self[1:])
        x0, y0 = min(x0, size - 1), min(y0, size - 1)
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


@dataclass(frozen=True)
class Style:
    """What all parts of a building share. Colours are float32 (3, 1, 1) in [0, 1]."""

    material: str  # a key of WALLS
    wall: np.ndarray
    trim: np.ndarray
    frame: np.ndarray
    paint: np.ndarray  # of doors, shutters and shops
    awning: np.ndarray
    sky: np.ndarray
    panes: tuple[int, int]  # columns, rows
    has_shutters: bool  # else its blinds are let down from the windows' tops
    sun: float  # from -1, far to the left, to 1, far to the right
    contrast: float  # the part of the light that a shadow takes


def make_picture(seed: int, split: str, number: int, size: int) -> np.ndarray:
    """Returns uint8 (size, 2 * size, 3), photo left and labels right, the same for the same call.

    The building does not depend on the size: a smaller picture shows it smaller.
    """
    keys = [(SPLITS.index(split), number, stage) for stage in range(3)]
    design, paint, camera = (default_rng(SeedSequence(seed, spawn_key=key)) for key in keys)
    style = draw_style(design)
    parts = design_building(style, design)
    labels = paint_labels(parts, size)
    surface = paint_surface(parts, style, size, paint)
    photo = take_photo(surface * light_on(labels, style), camera)
    return np.concatenate([photo, COLOURS[labels]], axis=1)


def draw_style(rng: Generator) -> Style:
    """Draws the material, the colours and the light of one building."""

    def one_of(colours: list[np.ndarray]) -> np.ndarray:
        tint = rng.uniform(0.96, 1.04, (3, 1, 1)).astype(np.float32)
        return colours[rng.integers(len(colours))] * tint

    material = ("brick", "plaster", "stone")[rng.choice(3, p=[0.35, 0.4, 0.25])]
    return Style(
        material=material,
        wall=one_of(WALLS[material]),
        trim=one_of(TRIMS),
        frame=one_of(FRAMES),
        paint=one_of(PAINTS),
        awning=one_of(PAINTS),
        sky=one_of(SKIES),
        panes=((2, 3), (2, 2), (2, 4), (1, 2))[rng.integers(4)],
        has_shutters=bool(material == "plaster" and rng.random() < 0.55),
        sun=float(rng.choice([-1, 1]) * rng.uniform(0.3, 1)),
        contrast=float(rng.uniform(0.3, 0.5)),
    )


def design_building(style: Style, rng: Generator) -> list[Part]:
    """Draws the parts of one building, back to front."""
    left, right = rng.choice([0, 0.04, 0.09], 2) * rng.uniform(0.6, 1.2, 2)
    x0, x1, top, bottom = left, 1 - right, rng.uniform(0.03, 0.15), rng.uniform(0.93, 0.98)
    floors, bays = rng.integers(2, 6), rng.integers(3, 7)
    eaves = top + rng.uniform(0.028, 0.045)
    street = bottom - (bottom - eaves) / (floors + 1) * rng.uniform(0.95, 1.3)
    storeys, columns = np.linspace(eaves, street, floors + 1), np.linspace(x0, x1, bays + 1)

    parts = [Part("sky", 0, 0, 1, 0.35), Part("ground", 0, bottom, 1, 1)]
    for inner, outer in ((0, x0), (x1, 1)):
        if inner < outer:
            parts.append(Part("neighbour", inner, top + rng.uniform(-0.03, 0.15), outer, bottom))
    parts.append(Part("wall", x0, top, x1, bottom))
    parts += design_trim(style, storeys, columns, rng)
    parts += design_windows(style, storeys, columns, rng)
    parts += design_ground_floor(street, bottom, columns, rng)
    return [*parts, Part("cornice", x0 - 0.012, top, x1 + 0.012, eaves)]


def design_trim(
    style: Style, storeys: np.ndarray, columns: np.ndarray, rng: Generator
) -> list[Part]:
    """Draws the pillars at the bays' edges and the moldings between the floors."""
    parts = []
    left, right, storey, bay = columns[0], columns[-1], np.diff(storeys)[0], np.diff(columns)[0]
    if rng.random() < {"brick": 0.1, "plaster": 0.2, "stone": 0.7}[style.material]:
        half = bay * rng.uniform(0.05, 0.09)
        places = columns if rng.random() < 0.5 else columns[[0, -1]]
        places = np.clip(places, left + half, right - half)  # those at the ends stay whole
        parts += [Part("pillar", x - half, storeys[0], x + half, storeys[-1]) for x in places]
    if rng.random() < 0.6:
        height = storey * rng.uniform(0.04, 0.07)
        parts += [Part("molding", left, y - height, right, y) for y in storeys[1:-1]]
    band = "cornice" if rng.random() < 0.4 else "molding"
    return [*parts, Part(band, left, storeys[-1] - storey * 0.08, right, storeys[-1])]


def design_windows(
    style: Style, storeys: np.ndarray, columns: np.ndarray, rng: Generator
) -> list[Part]:
    """Draws the windows above the ground floor with all that hangs on them."""
    storey, bay, bays = np.diff(storeys)[0], np.diff(columns)[0], len(columns) - 1
    half = min(bay * rng.uniform(0.21, 0.29), storey * 0.36)
    share = rng.uniform(0.5, 0.64)  # of the storey's height
    blinds = 1.0 if style.has_shutters else rng.choice([0, 0.35])
    has_deco = rng.random() < {"brick": 0.35, "plaster": 0.4, "stone": 0.7}[style.material]
    has_sill = rng.random() < 0.85
    rail = "balustrade" if style.material == "stone" else "rail"
    first = rng.integers(0, (bays + 1) // 2)
    balconies = {first, bays - 1 - first} if rng.random() < 0.55 else {}

    windows, railings = [], []
    for floor, y in enumerate(storeys[:-1]):
        y0, y1 = y + storey * (0.83 - share), y + storey * 0.83
        for number, x in enumerate((columns[:-1] + columns[1:]) / 2):
            if rng.random() < 0.02:
                continue  # a bay left blank
            windows.append(Part("window", x - half, y0, x + half, y1))
            if has_deco:
                high = y0 - storey * 0.12
                windows.append(Part("deco", x - half * 1.2, high, x + half * 1.2, y0))
            if has_sill:
                low = y1 + storey * 0.05
                windows.append(Part("sill", x - half * 1.15, y1, x + half * 1.15, low))
            has_blind = rng.random() < blinds
            if has_blind and style.has_shutters:
                reach = half + min(half * 0.75, (bay / 2 - half) * 0.75)
                windows.append(Part("blind", x - reach, y0, x - half, y1))
                windows.append(Part("blind", x + half, y0, x + reach, y1))
            elif has_blind:
                drop = (y1 - y0) * rng.uniform(0.2, 0.7)
                windows.append(Part("blind", x - half, y0, x + half, y0 + drop))
            if number in balconies and floor > 0:
                reach = half + min(half * 0.6, (bay / 2 - half) * 0.7)
                high, low = y1 - storey * 0.3, y1 + storey * 0.06
                railings.append(Part(rail, x - reach, high, x + reach, low))
    return windows + railings


def design_ground_floor(
    top: float, bottom: float, columns: np.ndarray, rng: Generator
) -> list[Part]:
    """Draws a door, and shops or windows in the other bays."""
    height, bay, bays = bottom - top, np.diff(columns)[0], len(columns) - 1
    door, has_shops = rng.choice([bays // 2, 0, bays - 1]), rng.random() < 0.6
    half = min(bay * 0.25, height * 0.28)
    y0, y1 = top + height * 0.25, top + height * 0.68
    parts = []
    for number, x in enumerate((columns[:-1] + columns[1:]) / 2):
        if number == door:
            parts.append(Part("door", x - half, top + height * 0.22, x + half, bottom))
        elif has_shops:
            parts.append(Part("shop", x - bay * 0.44, top + height * 0.1, x + bay * 0.44, bottom))
        else:
            parts.append(Part("window", x - half, y0, x + half, y1))
            parts.append(Part("sill", x - half * 1.15, y1, x + half * 1.15, y1 + height * 0.04))
    return parts


def paint_labels(parts: list[Part], size: int) -> np.ndarray:
    """Returns the class of each pixel, its place in CLASSES: uint8 (size, size)."""
    classes = list(CLASSES)
    labels = np.zeros((size, size), np.uint8)
    for part in parts:
        x0, y0, x1, y1 = part.pixels(size)
        labels[y0:y1, x0:x1] = classes.index(LOOKS[part.look][0])
    return labels


def paint_surface(parts: list[Part], style: Style, size: int, rng: Generator) -> np.ndarray:
    """Returns the materials under an even light: float32 (3, size, size), about in [0, 1].

    Painted at twice the size, within the labels' own pixels, so that thin bars come out smooth.
    """
    canvas = np.zeros((3, 2 * size, 2 * size), np.float32)
    for part in parts:
        x0, y0, x1, y1 = (2 * edge for edge in part.pixels(size))
        LOOKS[part.look][1](canvas[:, y0:y1, x0:x1], size / 128, style, rng)
    rows = canvas[:, 0::2] + canvas[:, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) / 4


# Each painter fills `patch`, a float32 (3, h, w) view of the canvas; `unit` is how many of its
# pixels make a 256th of the picture's side.


def grid(patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns y (h, 1) and x (1, w) of the centres of the patch's pixels, in (0, 1)."""
    _, h, w = patch.shape
    y, x = np.arange(h, dtype=np.float32), np.arange(w, dtype=np.float32)
    return (y[:, None] + 0.5) / h, (x[None] + 0.5) / w


def bars(patch: np.ndarray, columns: int, rows: int, width: float, colour: np.ndarray) -> None:
    """Draws the bars that part the patch into columns x rows panes, those on its border too."""
    _, h, w = patch.shape
    thick = max(1, round(width))
    for i in range(columns + 1):
        x = max(w - thick, 0) * i // columns
        patch[:, :, x : x + thick] = colour
    for i in range(rows + 1):
        y = max(h - thick, 0) * i // rows
        patch[:, y : y + thick] = colour


def smooth_noise(patch: np.ndarray, cells: int, rng: Generator) -> np.ndarray:
    """Returns float32 (h, w), about in [-1, 1], that wavers over a part 1 / cells of the patch."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize(patch.shape[:0:-1], Image.Resampling.BILINEAR))


def paint_sky(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """A sky with soft clouds that pales downwards."""
    y, _ = grid(patch)
    white = np.clip(0.2 + 0.5 * y + 0.35 * smooth_noise(patch, 6, rng), 0, 0.9)
    patch[:] = style.sky + (0.95 - style.sky) * white


def paint_ground(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """The slabs of a pavement, then the road."""
    patch[:] = 0.58 - 0.12 * grid(patch)[0]
    bars(patch, 9, 1, 0.8 * unit, rgb(0.42, 0.42, 0.42))
    patch[:, round(patch.shape[1] * 0.75) :] = 0.34


def paint_neighbour(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """The strip of another, dull house."""
    patch[:] = rng.uniform(0.42, 0.6) * rgb(1.05, 1.0, 0.93) - 0.1 * grid(patch)[0]
    bars(patch, 1, 8, 1.2 * unit, rgb(0.38, 0.38, 0.38))


def paint_wall(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Bricks, blocks of stone or stained plaster."""
    tone = 1 + 0.06 * smooth_noise(patch, 5, rng)
    if style.material == "plaster":
        patch[:] = style.wall * (tone + 0.04 * smooth_noise(patch, 90, rng))
        return
    height, length, joint, mortar, variety = {
        "brick": (4.0 * unit, 10.0 * unit, 0.9 * unit, 0.30, 0.13),
        "stone": (11.0 * unit, 26.0 * unit, 0.8 * unit, 0.14, 0.07),
    }[style.material]
    y, x = np.arange(patch.shape[1]), np.arange(patch.shape[2])
    course = (y / height).astype(int) % 64
    along = np.array([x, x + length / 2])  # in the even courses and in the odd ones
    block = (along / length).astype(int) % 64
    tones = rng.uniform(1 - variety, 1 + variety, (64, 64)).astype(np.float32)
    tone *= tones[course[:, None], block[course % 2]]
    is_joint = (y % height < joint)[:, None] | (along % length < joint)[course % 2]
    patch[:] = style.wall * tone
    np.copyto(patch, style.wall * 0.55 + mortar, where=is_joint)


def paint_band(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """A stepped profile of trim: moldings and sills."""
    y, _ = grid(patch)
    patch[:] = style.trim * np.select([y < 0.35, y < 0.7], [1.05, 0.95], 0.82)


def paint_cornice(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """A band with teeth below."""
    paint_band(patch, unit, style, rng)
    is_gap = np.arange(patch.shape[2]) % (5 * unit) < 2 * unit
    patch[:, round(patch.shape[1] * 0.6) :, is_gap] *= 0.62


def paint_pillar(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """A round shaft between a base and a capital."""
    _, x = grid(patch)
    patch[:] = style.trim * (0.7 + 0.33 * np.sqrt(1 - (2 * x - 1 - 0.4 * style.sun) ** 2 / 2))
    block, edge = round(5 * unit), round(6 * unit)
    patch[:, :edge] = patch[:, -edge:] = style.trim * 0.7
    patch[:, :block] = patch[:, -block:] = style.trim


def paint_window(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Dark glass that mirrors the sky, curtains in some, a frame and its panes."""
    y, x = grid(patch)
    streak = np.abs(x + 0.5 * y - rng.uniform(0.2, 1.3)) < 0.11
    mirrored = rng.uniform(0.2, 0.4) * (1 - y) + 0.1 * streak
    patch[:] = rgb(0.13, 0.16, 0.20) + style.sky * mirrored
    opening = rng.uniform(0.35, 0.75)
    if rng.random() < 0.4:
        is_curtain = np.abs(2 * x - 1) > opening - 0.15 * y
        patch += is_curtain * 0.75 * (CLOTH * (0.85 + 0.1 * np.sin(60 * x)) - patch)
    bars(patch, *style.panes, 1.1 * unit, style.frame)
    bars(patch, 1, 1, 2.0 * unit, style.frame)


def paint_door(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Two leaves with panels under a window, in a frame of trim."""
    patch[:] = style.trim * 0.95
    edge = max(1, round(2.5 * unit))
    inner = patch[:, edge:, edge:-edge]
    above = round(inner.shape[1] * 0.2)
    window, leaves = inner[:, :above], inner[:, above:]
    window[:] = 0.2 + 0.25 * style.sky
    bars(window, 4, 1, 1.2 * unit, style.paint)
    leaves[:] = style.paint * (1.1 - 0.25 * grid(leaves)[0])
    bars(leaves, 4, 3, 1.0 * unit, style.paint * 0.6)
    bars(leaves, 2, 1, 1.4 * unit, style.paint * 0.35)


def paint_shop(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """From the top: a sign with letters, a striped awning, the shop window and a plinth."""
    _, h, w = patch.shape
    sign, awning, plinth = round(h * 0.16), round(h * 0.36), round(h * 0.88)
    y, x = grid(patch)
    lit = rgb(0.16, 0.12, 0.06) * smooth_noise(patch, 6, rng)
    patch[:] = rgb(0.24, 0.22, 0.20) + lit + style.sky * 0.25 * (1 - y)
    bars(patch[:, awning:plinth], 2, 1, 1.5 * unit, style.paint * 0.6)
    is_stripe = np.arange(w) % (8 * unit) < 4 * unit
    patch[:, sign:awning] = np.where(is_stripe, style.awning, 0.9) * (0.7 + y[sign:awning])
    patch[:, :sign] = style.paint
    is_letter = (rng.random(24) < 0.6)[(x[0] * 24).astype(int)] & (np.abs(x[0] - 0.5) < 0.36)
    patch[:, round(sign * 0.3) : round(sign * 0.7), is_letter] = LETTERS
    patch[:, plinth:] = style.trim * 0.6


def paint_blind(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Slats in a rim: of painted wood beside a window, of cloth before it."""
    colour = style.paint * 1.15 if style.has_shutters else CLOTH
    phase = np.arange(patch.shape[1])[:, None] % (3 * unit) / (3 * unit)
    patch[:] = colour * (1.1 - 0.35 * phase)
    bars(patch, 1, 1, 1.0 * unit, colour * 0.85)


def paint_rail(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Iron bars on a slab of trim; what is behind shows through."""
    _, h, w = patch.shape
    slab = round(h * 0.8)
    patch[:, :slab] *= 0.8
    bars(patch[:, :slab], max(3, round(w / (3.6 * unit))), 1, 0.9 * unit, IRON)
    patch[:, : round(1.6 * unit)] = IRON
    paint_band(patch[:, slab:], unit, style, rng)


def paint_balustrade(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Bellied balusters between a hand rail and a slab, all of trim."""
    _, h, w = patch.shape
    rail, slab = round(h * 0.16), round(h * 0.78)
    between = patch[:, rail:slab]
    y, x = grid(between)
    belly = 0.24 + 0.16 * np.cos(2 * np.pi * (y - 0.6))
    is_baluster = np.abs(x * max(3, round(w / (5 * unit))) % 1 - 0.5) < belly
    between[:] = np.where(is_baluster, style.trim * 0.95, between * 0.45)
    patch[:, :rail] = style.trim * 1.05
    paint_band(patch[:, slab:], unit, style, rng)


def paint_deco(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """A gable of trim with a rosette; the wall shows beside it."""
    y, x = grid(patch)
    below_edge = y - np.abs(2 * x - 1) * 0.75
    is_rosette = np.hypot((x - 0.5) * patch.shape[2] / patch.shape[1], y - 0.55) < 0.2
    tone = np.where((below_edge < 0.2) | (y > 0.85) | is_rosette, 1.05, 0.78)
    patch[:] = np.where(below_edge > 0, style.trim * tone, patch)


LOOKS = {
    "sky": ("background", paint_sky),
    "ground": ("background", paint_ground),
    "neighbour": ("background", paint_neighbour),
    "wall": ("facade", paint_wall),
    "molding": ("molding", paint_band),
    "cornice": ("cornice", paint_cornice),
    "pillar": ("pillar", paint_pillar),
    "window": ("window", paint_window),
    "door": ("door", paint_door),
    "sill": ("sill", paint_band),
    "blind": ("blind", paint_blind),
    "rail": ("balcony", paint_rail),
    "balustrade": ("balcony", paint_balustrade),
    "shop": ("shop", paint_shop),
    "deco": ("deco", paint_deco),
}


def soften(image: np.ndarray, share: float) -> np.ndarray:
    """Returns float32 (..., h, w) with `share` of each pixel given to its four neighbours."""
    padded = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    around += padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (1 - share) * image + share / 4 * around


def light_on(labels: np.ndarray, style: Style) -> np.ndarray:
    """Returns the light on each pixel of the labels (size, size): float32, about 1 in the open.

    The sun stands high and to one side. A pixel of the house is in shadow where, some way up its
    ray, something stands out of the wall further than the ray has come.
    """
    size = len(labels)
    relief = RELIEF[labels]
    reach = 1 + round(float(RELIEF.max() - RELIEF[1:].min()) * size)
    padded = np.pad(relief, reach, mode="edge")

    def rise_up_the_ray(steps: int) -> np.ndarray:
        y, x = reach - steps, reach + round(0.6 * steps * style.sun)
        return padded[y : y + size, x : x + size] - relief

    shadow = np.zeros((size, size), np.float32)
    for steps in range(1, reach + 1):
        shadow[rise_up_the_ray(steps) > steps / size] = 1
    shadow[labels == 0] = 0  # the background is far behind
    upper_edges = np.clip(-rise_up_the_ray(1), -0.02, 0.02)  # they catch the light
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    open_light = 1 + 0.1 * style.sun * x - 0.05 * y + 6 * upper_edges
    return open_light * (1 - style.contrast * soften(soften(shadow, 0.6), 0.6))


def take_photo(scene: np.ndarray, rng: Generator) -> np.ndarray:
    """Returns the camera's picture, uint8 (h, w, 3), of a lit scene, float32 (3, h, w)."""
    blur, exposure, grain = rng.uniform((0.1, 0.9, 0.008), (0.5, 1.08, 0.022)).astype(np.float32)
    noise = rng.standard_normal(scene.shape, np.float32) * grain
    photo = np.clip(soften(scene, blur) * exposure + noise, 0, 1)
    return (photo * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Prints the error to stderr and exits with code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def read_arguments(parser: Parser, argv: list[str] | None) -> argparse.Namespace:
    """Declares the flags, reads them and checks their ranges."""
    add = parser.add_argument
    add("--output_dir", type=Path, default=Path("data/facades_made"), help="folder to write to")
    add("--train", type=int, default=400, metavar="N", help="pictures for training")
    add("--val", type=int, default=0, metavar="N", help="pictures for validation")
    add("--test", type=int, default=106, metavar="N", help="pictures for testing")
    add("--size", type=int, default=256, metavar="PIXELS", help="side of the photo")
    add("--seed", type=int, default=0, help="another seed makes other buildings")
    add("--format", choices=list(SAVE_OPTIONS), default="png", help="png keeps labels exact")
    args = parser.parse_args(argv)
    for name in (*SPLITS, "seed"):
        if getattr(args, name) < 0:
            parser.error(f"--{name} must be 0 or more, not {getattr(args, name)}")
    if args.size not in SIZES:
        parser.error(f"--size must be from {SIZES[0]} to {SIZES[-1]}, not {args.size}")
    if not any(getattr(args, split) for split in SPLITS):
        parser.error(f"nothing to make: --{', --'.join(SPLITS)} are all 0")
    return args


def find_stranger(folder: Path, names: set[str]) -> Path | None:
    """Returns a picture in the folder that has none of the names, or None."""
    paths = sorted(folder.iterdir()) if folder.exists() else []
    pictures = (path for path in paths if path.suffix.lower() in SUFFIXES)
    return next((path for path in pictures if path.name not in names), None)


def with_progress(jobs: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Passes the jobs on; tells stderr how many are done, with a bar if it is a terminal."""
    if tqdm and sys.stderr.isatty():
        yield from tqdm(jobs, unit="picture")
        return
    for done, job in enumerate(jobs, 1):
        yield job
        if done % LINE_EVERY == 0:
            print(f"{done} of {len(jobs)} pictures", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> None:
    """Makes the set that the command line asks for."""
    parser = Parser(prog="make_facades.py", description=__doc__, allow_abbrev=False)
    args = read_arguments(parser, argv)
    files = {s: [f"{n}.{args.format}" for n in range(1, getattr(args, s) + 1)] for s in SPLITS}
    try:
        # Before anything is made: the pictures of another run would mix with these in training.
        for split, names in files.items():
            if stranger := find_stranger(args.output_dir / split, set(names)):
                parser.error(f"{stranger} is not of this set: remove it or name another folder")
        for split in (split for split, names in files.items() if names):
            (args.output_dir / split).mkdir(parents=True, exist_ok=True)
        jobs = [(split, n) for split in SPLITS for n in range(1, len(files[split]) + 1)]
        for split, number in with_progress(jobs):
            picture = Image.fromarray(make_picture(args.seed, split, number, args.size))
            path = args.output_dir / split / files[split][number - 1]
            picture.save(path, **SAVE_OPTIONS[args.format])
    except OSError as error:
        parser.error(f"cannot write to {args.output_dir}: {error.strerror or error}")
    except MemoryError:
        parser.error(f"--size {args.size} needs more memory than there is")
    made = ", ".join(f"{len(names)} {split}" for split, names in files.items() if names)
    print(f"Wrote {made} pictures of {2 * args.size}x{args.size} pixels to {args.output_dir}")


if __name__ == "__main__":
    main()
