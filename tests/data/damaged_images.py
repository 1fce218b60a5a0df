"""JPEG and PNG files of every kind, damaged in every way that a disk, a program or a person may."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Channels of each colour type: grey, RGB, palette, grey and alpha, RGB and alpha.
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row and column, step between rows and columns, of the passes of an interlaced PNG.
PASSES = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)),
    (1, 0, 2, 1),
)
_OTHER_CHUNKS = (
    *(b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"hIST"),
    *(b"pHYs", b"tIME", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"sPLT", b"PLTE", b"IHDR"),
    *(b"IDAT", b"IEND", b"ABCD", b"abcd", b"aBCd", b"CgBI", b"aB\x00d", b"    "),
)


def noise(height, width, channels=3):
    """A blocky image that no codec compresses to a few bytes."""
    blocks = np.random.default_rng(1).integers(0, 256, (height // 4 + 1, width // 4 + 1, channels))
    return np.uint8(blocks.repeat(4, axis=0).repeat(4, axis=1)[:height, :width])


def chunk(kind, data, checksum=None):
    """A PNG's chunk."""
    right = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum or right)


def header(width, height, bits=8, colour=2, compression=0, filtering=0, interlaced=0):
    """A PNG's chunk IHDR."""
    values = (width, height, bits, colour, compression, filtering, interlaced)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *values))


def rows(height, width, bits, colour, interlaced, rng, filters=5):
    """The uncompressed data of a PNG: random filters, smooth random bytes."""
    per_pixel = bits * CHANNELS.get(colour, 1)
    parts = []
    for top, left, down, right in PASSES if interlaced else ((0, 0, 1, 1),):
        lines, pixels = len(range(top, height, down)), len(range(left, width, right))
        for _ in range(lines if pixels else 0):
            line = rng.integers(0, 4, (pixels * per_pixel + 7) // 8, dtype=np.uint8)
            parts.append(bytes([rng.integers(filters)]) + line.tobytes())
    return b"".join(parts)


def png(height, width, rng, bits=8, colour=2, interlaced=0):
    """The chunks of a PNG as pairs of a type and data."""
    data = zlib.compress(rows(height, width, bits, colour, interlaced, rng))
    middle = len(data) // 2
    chunks = [(b"IHDR", header(width, height, bits, colour, interlaced=interlaced)[8:-4])]
    if colour == 3:
        chunks.append((b"PLTE", rng.integers(0, 256, 3 * 2 ** min(bits, 8), np.uint8).tobytes()))
    chunks.append((b"tEXt", b"Comment\0made by a test"))
    return [*chunks, (b"IDAT", data[:middle]), (b"IDAT", data[middle:]), (b"IEND", b"")]


def joined(chunks):
    """A PNG file of chunks."""
    return SIGNATURE + b"".join(chunk(*part) for part in chunks)


_KINDS = [
    (bits, colour, interlaced)
    for colour, depths in (
        (0, (1, 2, 4, 8, 16)),
        (2, (8, 16)),
        (3, (1, 2, 4, 8)),
        (4, (8, 16)),
        (6, (8, 16)),
    )
    for bits in depths
    for interlaced in (0, 1)
]


def _any_png(rng):
    bits, colour, interlaced = _KINDS[rng.integers(len(_KINDS))]
    height, width = rng.integers(1, 24, 2).tolist()
    return png(height, width, rng, bits, colour, interlaced)


def any_jpeg(rng):
    """A JPEG file of a random kind."""
    height, width = rng.integers(1, 60, 2).tolist()
    mode = ("RGB", "RGB", "L", "CMYK", "YCbCr")[rng.integers(5)]
    options = {"quality": int(rng.integers(5, 100)), "progressive": bool(rng.integers(2))}
    if mode in ("RGB", "YCbCr"):
        options["subsampling"] = int(rng.integers(3))
    if rng.integers(3) == 0:
        options["restart_marker_blocks"] = int(rng.integers(1, 4))
    if rng.integers(4) == 0:
        options |= {"comment": b"a comment", "dpi": (72, 72), "icc_profile": bytes(300)}
    memory = io.BytesIO()
    Image.fromarray(noise(height, width)).convert(mode).save(memory, "JPEG", **options)
    return memory.getvalue()


# Damage of any file


def cut(data, rng):
    return data[: rng.integers(len(data))]


def cut_a_little(data, rng):
    return data[: -int(rng.integers(1, 20))]


def flip_a_bit(data, rng):
    return flip_bits(data, rng, 1)


def flip_bits(data, rng, count=None):
    changed = bytearray(data or b"\0")
    for position in rng.integers(len(changed), size=count or rng.integers(2, 30)):
        changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def change_a_byte(data, rng):
    changed = bytearray(data)
    changed[rng.integers(len(data))] = int(rng.integers(256))
    return bytes(changed)


def change_the_head(data, rng):
    changed = bytearray(data)
    changed[rng.integers(min(64, len(data)))] = int(rng.integers(256))
    return bytes(changed)


def zero_a_block(data, rng):
    first, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    return data[:first] + bytes(len(data[first : first + size])) + data[first + size :]


def remove_bytes(data, rng):
    first, size = int(rng.integers(len(data))), int(rng.integers(1, 60))
    return data[:first] + data[first + size :]


def repeat_bytes(data, rng):
    first, size = int(rng.integers(len(data))), int(rng.integers(1, 60))
    return data[: first + size] + data[first:]


def add_bytes(data, rng):
    return data + rng.integers(0, 256, rng.integers(1, 80), np.uint8).tobytes()


def put_before(data, rng):
    return rng.integers(0, 256, rng.integers(1, 4), np.uint8).tobytes() + data


def insert_zeros(data, rng):
    first = int(rng.integers(len(data)))
    return data[:first] + bytes(int(rng.integers(1, 9))) + data[first:]


ANY = (
    *(cut, cut_a_little, flip_a_bit, flip_bits, change_a_byte, change_the_head, zero_a_block),
    *(remove_bytes, repeat_bytes, add_bytes, put_before, insert_zeros),
)


# Damage of a PNG's chunks, whose checksums stay right


def intact(chunks, rng):
    return joined(chunks)


def remove_a_chunk(chunks, rng):
    removed = int(rng.integers(len(chunks)))
    return joined(chunks[:removed] + chunks[removed + 1 :])


def repeat_a_chunk(chunks, rng):
    place, repeated = rng.integers(len(chunks), size=2).tolist()
    return joined([*chunks[:place], chunks[repeated], *chunks[place:]])


def reorder_chunks(chunks, rng):
    return joined([chunks[i] for i in rng.permutation(len(chunks))])


def swap_chunks(chunks, rng):
    chunks, place = list(chunks), int(rng.integers(len(chunks) - 1))
    chunks[place : place + 2] = chunks[place : place + 2][::-1]
    return joined(chunks)


def insert_a_chunk(chunks, rng):
    kind = _OTHER_CHUNKS[rng.integers(len(_OTHER_CHUNKS))]
    place = int(rng.integers(1, len(chunks) + 1))
    data = rng.integers(0, 256, rng.integers(0, 40), np.uint8).tobytes()
    return joined([*chunks[:place], (kind, data), *chunks[place:]])


def change_a_chunk(chunks, rng):
    chunks, place = list(chunks), int(rng.integers(len(chunks)))
    kind, data = chunks[place]
    chunks[place] = (kind, change_a_byte(data, rng) if data else b"x")
    return joined(chunks)


def cut_a_chunk(chunks, rng):
    chunks, place = list(chunks), int(rng.integers(len(chunks)))
    kind, data = chunks[place]
    chunks[place] = (kind, cut(data, rng) if data else b"xy")
    return joined(chunks)


def wrong_checksum(chunks, rng):
    place = int(rng.integers(len(chunks)))
    parts = [chunk(*part) for part in chunks]
    parts[place] = chunk(*chunks[place], checksum=int(rng.integers(1, 2**32)))
    return SIGNATURE + b"".join(parts)


def wrong_length(chunks, rng):
    parts, place = [chunk(*part) for part in chunks], int(rng.integers(len(chunks)))
    length = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, int(rng.integers(2**16)))[rng.integers(6)]
    parts[place] = struct.pack(">I", length) + parts[place][4:]
    return SIGNATURE + b"".join(parts)


def strange_header(chunks, rng):
    width, height, *others = struct.unpack(">IIBBBBB", chunks[0][1])
    sizes = (0, 1, width, width + 1, 1_000_000, 2**27, 2**31 - 1, 2**31, 2**32 - 1)
    which = int(rng.integers(7))
    if which < 2:
        size = [width, height]
        size[which] = sizes[rng.integers(len(sizes))]
        width, height = size
    else:
        others[which - 2] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 255)[rng.integers(12)]
    return joined([(b"IHDR", struct.pack(">IIBBBBB", width, height, *others)), *chunks[1:]])


def _with_rows(chunks, change, level=6):
    """A PNG with other image data."""
    data = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    before = [part for part in chunks if part[0] not in (b"IDAT", b"IEND")]
    changed = zlib.compress(change(data), level)
    return joined([*before, (b"IDAT", changed), (b"IEND", b"")])


def too_few_rows(chunks, rng):
    return _with_rows(chunks, lambda data: cut(data, rng))


def a_byte_too_few(chunks, rng):
    return _with_rows(chunks, lambda data: data[:-1])


def too_many_rows(chunks, rng):
    extra = int(rng.integers(1, 3000)) ** int(rng.integers(1, 3))
    return _with_rows(chunks, lambda data: data + bytes(extra))


def strange_filters(chunks, rng):
    return _with_rows(chunks, lambda data: change_a_byte(data, rng))


def _with_stream(chunks, change):
    """A PNG with another compressed stream."""
    stream = change(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    before = [part for part in chunks if part[0] not in (b"IDAT", b"IEND")]
    return joined([*before, (b"IDAT", stream), (b"IEND", b"")])


def damaged_stream(chunks, rng):
    return _with_stream(chunks, lambda data: change_a_byte(data, rng))


def cut_stream(chunks, rng):
    return _with_stream(chunks, lambda data: data[: -int(rng.integers(1, min(12, len(data))))])


def wrong_adler(chunks, rng):
    return _with_stream(chunks, lambda data: data[:-4] + bytes(4))


def longer_stream(chunks, rng):
    return _with_stream(chunks, lambda data: add_bytes(data, rng))


def many_streams(chunks, rng):
    """Each byte of the stream in a chunk of its own, with an empty one between."""
    stream = b"".join(data for kind, data in chunks if kind == b"IDAT")
    before = [part for part in chunks if part[0] not in (b"IDAT", b"IEND")]
    parts = [(b"IDAT", stream[i : i + 1]) for i in range(len(stream))]
    parts.insert(int(rng.integers(len(parts))), (b"IDAT", b""))
    return joined([*before, *parts, (b"IEND", b"")])


def strange_palette(chunks, rng):
    palette = bytes(int((0, 1, 2, 3, 4, 6, 30, 48, 765, 768, 769, 771, 900)[rng.integers(13)]))
    others = [part for part in chunks if part[0] != b"PLTE"]
    return joined([others[0], (b"PLTE", palette), *others[1:]])


PNG = (
    *(intact, remove_a_chunk, repeat_a_chunk, reorder_chunks, swap_chunks, insert_a_chunk),
    *(change_a_chunk, cut_a_chunk, wrong_checksum, wrong_length, strange_header, too_few_rows),
    *(a_byte_too_few, too_many_rows, strange_filters, damaged_stream, cut_stream, wrong_adler),
    *(longer_stream, many_streams, strange_palette),
)


# Damage of a JPEG's segments


def segments(data):
    """A JPEG's marker segments up to its scan; the last part is the rest of the file."""
    parts, position = [data[:2]], 2
    while data[position + 1] != 0xDA:
        size = 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        parts.append(data[position : position + size])
        position += size
    return [*parts, data[position:]]


def intact_jpeg(data, rng):
    return data


def remove_a_segment(data, rng):
    parts = segments(data)
    del parts[rng.integers(1, len(parts))]
    return b"".join(parts)


def repeat_a_segment(data, rng):
    parts = segments(data)
    parts.insert(int(rng.integers(1, len(parts))), parts[rng.integers(1, len(parts))])
    return b"".join(parts)


def reorder_segments(data, rng):
    first, *middle, last = segments(data)
    return b"".join([first, *(middle[i] for i in rng.permutation(len(middle))), last])


def change_a_marker(data, rng):
    parts = segments(data)
    place = int(rng.integers(1, len(parts)))
    parts[place] = b"\xff" + bytes([rng.integers(256)]) + parts[place][2:]
    return b"".join(parts)


def insert_a_segment(data, rng):
    parts, content = segments(data), rng.integers(0, 256, rng.integers(0, 30), np.uint8).tobytes()
    kind = int(rng.choice([0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF, 0xFE, 0xDB, 0xC4, 0xDD, 0xF0, 0x01]))
    content = (b"JFIF\0", b"Exif\0\0", b"Adobe", b"MPF\0", b"ICC_PROFILE\0", b"")[
        rng.integers(6)
    ] + content
    segment = bytes([255, kind]) + struct.pack(">H", len(content) + 2) + content
    parts.insert(int(rng.integers(1, len(parts))), segment)
    return b"".join(parts)


def change_a_segments_length(data, rng):
    parts = segments(data)
    place = int(rng.integers(1, len(parts) - 1))
    length = int((0, 1, 2, 3, 65535, int(rng.integers(200)))[rng.integers(6)])
    parts[place] = parts[place][:2] + struct.pack(">H", length) + parts[place][4:]
    return b"".join(parts)


def change_a_segment(data, rng):
    parts = segments(data)
    place = int(rng.integers(1, len(parts)))
    parts[place] = change_the_head(parts[place], rng)
    return b"".join(parts)


def change_the_frame(data, rng):
    """Another size, precision, number of channels or sampling."""
    parts = segments(data)
    place = next(
        i for i, part in enumerate(parts) if part[:1] + part[1:2] in (b"\xff\xc0", b"\xff\xc2")
    )
    frame = bytearray(parts[place])
    frame[rng.integers(4, len(frame))] = int(rng.choice([0, 1, 2, 3, 4, 8, 12, 17, 33, 255]))
    parts[place] = bytes(frame)
    return b"".join(parts)


def cut_the_scan(data, rng):
    parts = segments(data)
    kept = int(rng.integers(len(parts[-1])))
    return b"".join(parts[:-1]) + parts[-1][:kept] + b"\xff\xd9"


def damage_the_scan(data, rng):
    parts = segments(data)
    return b"".join(parts[:-1]) + parts[-1][:20] + flip_bits(parts[-1][20:], rng)


def markers_in_the_scan(data, rng):
    parts = segments(data)
    place = int(rng.integers(10, len(parts[-1])))
    marker = bytes([255, int(rng.choice([0xD0, 0xD3, 0xD8, 0xD9, 0xDA, 0xC0, 0xE0, 0x02, 0xFF]))])
    return b"".join(parts[:-1]) + parts[-1][:place] + marker + parts[-1][place:]


def without_its_end(data, rng):
    return data[:-2]


def another_image_behind(data, rng):
    return data + any_jpeg(rng)


def a_cut_image_behind(data, rng):
    return data + cut(any_jpeg(rng), rng)


JPEG = (
    *(intact_jpeg, remove_a_segment, repeat_a_segment, reorder_segments, change_a_marker),
    *(insert_a_segment, change_a_segments_length, change_a_segment, change_the_frame),
    *(cut_the_scan, damage_the_scan, markers_in_the_scan, without_its_end),
    *(another_image_behind, a_cut_image_behind),
)


def corpus(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Makes damaged files: each kind of damage in turn, of random files.

    Args:
      count: how many.
      seed: of all random choices.

    Yields:
      A file's name, which says the damage, and the contents.
    """
    kinds = [
        *(("png", damage, lambda rng: joined(_any_png(rng))) for damage in ANY),
        *(("png", damage, _any_png) for damage in PNG),
        *(("jpg", damage, any_jpeg) for damage in (*ANY, *JPEG)),
    ]
    for number in range(count):
        suffix, damage, make = kinds[number % len(kinds)]
        rng = np.random.default_rng([seed, number])
        yield f"{number:04d}_{damage.__name__}.{suffix}", damage(make(rng), rng)
