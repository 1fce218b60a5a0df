"""Designs a building: its style, and a list of rectangles from back to front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    """Returns a colour in [0, 1] that broadcasts to a (3, h, w) patch: float32 (3, 1, 1)."""
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
    """A rectangle of a building: its look (a key of LOOKS) and its edges in [0, 1], y downwards."""

    look: str
    x0: float
    y0: float
    x1: float
    y1: float

    def pixels(self, size: int) -> tuple[int, int, int, int]:
        """Returns x0, y0, x1, y1 in a size x size image; every part has at least one pixel."""
        x0, y0, x1, y1 = (min(max(round(edge * size), 0), size) for edge in self[1:])
        x0, y0 = min(x0, size - 1), min(y0, size - 1)
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


@dataclass(frozen=True)
class Style:
    """The style that all parts of a building share. Colours are float32 (3, 1, 1) in [0, 1]."""

    material: str  # a key of WALLS
    wall: np.ndarray
    trim: np.ndarray
    frame: np.ndarray
    paint: np.ndarray  # of doors, shutters and shops
    awning: np.ndarray
    sky: np.ndarray
    panes: tuple[int, int]  # columns, rows
    has_shutters: bool  # if not, blinds hang from the tops of windows
    sun: float  # from -1 (far left) to 1 (far right)
    contrast: float  # the share of the light that a shadow removes


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
        centres = columns if rng.random() < 0.5 else columns[[0, -1]]
        centres = np.clip(centres, left + half, right - half)  # pillars at the ends are not cut
        parts += [Part("pillar", x - half, storeys[0], x + half, storeys[-1]) for x in centres]
    if rng.random() < 0.6:
        height = storey * rng.uniform(0.04, 0.07)
        parts += [Part("molding", left, y - height, right, y) for y in storeys[1:-1]]
    band = "cornice" if rng.random() < 0.4 else "molding"
    return [*parts, Part(band, left, storeys[-1] - storey * 0.08, right, storeys[-1])]


def design_windows(
    style: Style, storeys: np.ndarray, columns: np.ndarray, rng: Generator
) -> list[Part]:
    """Draws the windows above the ground floor, with sills, decoration, blinds and balconies."""
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
                continue  # a blank bay
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
