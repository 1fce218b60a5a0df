"""Alpha of PNG files of every depth, as Pillow reads it."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from p2p_graph.data.decode import decode_file


def chunk(name, data):
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png(depth, colour_type, transparency):
    """A PNG of 8x2 pixels; colour type 0 is grey, 3 a palette."""
    count = 2**depth
    header = struct.pack(">IIBBBBB", 8, 2, depth, colour_type, 0, 0, 0)
    # A text that looks like a chunk's name may stand among the pixels.
    rows = (b"\0" + bytes([0b00011011] * depth)) * 2
    chunks = [chunk(b"IHDR", header)]
    if colour_type == 3:
        chunks.append(chunk(b"PLTE", bytes((10 * i) % 256 for i in range(3 * min(count, 256)))))
    if transparency:
        grey = struct.pack(">H", 1)
        chunks.append(chunk(b"tRNS", grey if colour_type == 0 else bytes([7, 200])))
    pixels = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [*chunks, chunk(b"IDAT", pixels), chunk(b"IDAT", b""), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize("transparency", [False, True])
@pytest.mark.parametrize("colour_type", [0, 3])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_alpha(depth, colour_type, transparency):
    contents = png(depth, colour_type, transparency)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(decode_file(tf.constant(contents), 4))
    with Image.open(io.BytesIO(contents)) as image:
        wanted = np.asarray(image.convert("RGBA"))
    if colour_type == 0 and transparency and depth in (2, 4):
        # Pillow compares the transparent grey with values that it has scaled to 8 bits already.
        wanted = wanted.copy()
        step = 255 // (2**depth - 1)
        wanted[..., 3] = np.where(wanted[..., 0] == step, 0, 255)
    np.testing.assert_array_equal(np.rint(found * 255), wanted)
