"""Paints a designed building twice: as a label map, and as a photo of lit materials."""

from __future__ import annotations

import numpy as np
from facade_design import CLOTH, IRON, LETTERS, Part, Style, rgb
from numpy.random import Generator
from PIL import Image

# The label classes of CMP Facades, in similar colours, and how far each class stands out of the
# wall, as a share of the image's height. The distance decides the shadows.
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


def paint_labels(parts: list[Part], size: int) -> np.ndarray:
    """Returns the class of each pixel, an index of CLASSES: uint8 (size, size)."""
    classes = list(CLASSES)
    labels = np.zeros((size, size), np.uint8)
    for part in parts:
        x0, y0, x1, y1 = part.pixels(size)
        labels[y0:y1, x0:x1] = classes.index(LOOKS[part.look][0])
    return labels


def paint_surface(parts: list[Part], style: Style, size: int, rng: Generator) -> np.ndarray:
    """Returns the materials under uniform light: float32 (3, size, size), roughly in [0, 1].

    The canvas has twice the size, aligned with the labels' pixels, so that thin bars are smooth.
    """
    canvas = np.zeros((3, 2 * size, 2 * size), np.float32)
    for part in parts:
        x0, y0, x1, y1 = (2 * edge for edge in part.pixels(size))
        LOOKS[part.look][1](canvas[:, y0:y1, x0:x1], size / 128, style, rng)
    rows = canvas[:, 0::2] + canvas[:, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) / 4


# Each painter fills `patch`, a float32 (3, h, w) view of the canvas. `unit` is a 256th of the
# canvas's size, in pixels.


def grid(patch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns y (h, 1) and x (1, w) of the centres of the patch's pixels, in (0, 1)."""
    _, h, w = patch.shape
    y, x = np.arange(h, dtype=np.float32), np.arange(w, dtype=np.float32)
    return (y[:, None] + 0.5) / h, (x[None] + 0.5) / w


def bars(patch: np.ndarray, columns: int, rows: int, width: float, colour: np.ndarray) -> None:
    """Draws the bars between and around columns x rows panes."""
    _, h, w = patch.shape
    thick = max(1, round(width))
    for i in range(columns + 1):
        x = max(w - thick, 0) * i // columns
        patch[:, :, x : x + thick] = colour
    for i in range(rows + 1):
        y = max(h - thick, 0) * i // rows
        patch[:, y : y + thick] = colour


def smooth_noise(patch: np.ndarray, cells: int, rng: Generator) -> np.ndarray:
    """Returns float32 (h, w), roughly in [-1, 1], in waves of 1 / cells of the patch."""
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
    along = np.array([x, x + length / 2])  # even courses, odd courses
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
    """Dark glass that mirrors the sky, sometimes curtains, a frame and panes."""
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
    """Slats in a rim: painted wood beside a window, cloth in front of a window."""
    colour = style.paint * 1.15 if style.has_shutters else CLOTH
    phase = np.arange(patch.shape[1])[:, None] % (3 * unit) / (3 * unit)
    patch[:] = colour * (1.1 - 0.35 * phase)
    bars(patch, 1, 1, 1.0 * unit, colour * 0.85)


def paint_rail(patch: np.ndarray, unit: float, style: Style, rng: Generator) -> None:
    """Iron bars on a slab of trim; the background shows through."""
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
    """Returns the light on each pixel of the labels: float32 (size, size), about 1 without shadow.

    The sun stands high and to one side. A pixel of the house is in shadow if something on its ray
    to the sun stands out of the wall further than the ray does.
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
    upper_edges = np.clip(-rise_up_the_ray(1), -0.02, 0.02)  # these are lit more
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    open_light = 1 + 0.1 * style.sun * x - 0.05 * y + 6 * upper_edges
    return open_light * (1 - style.contrast * soften(soften(shadow, 0.6), 0.6))


def take_photo(scene: np.ndarray, rng: Generator) -> np.ndarray:
    """Returns the camera's image, uint8 (h, w, 3), of a lit scene, float32 (3, h, w)."""
    blur, exposure, grain = rng.uniform((0.1, 0.9, 0.008), (0.5, 1.08, 0.022)).astype(np.float32)
    noise = rng.standard_normal(scene.shape, np.float32) * grain
    photo = np.clip(soften(scene, blur) * exposure + noise, 0, 1)
    return (photo * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
