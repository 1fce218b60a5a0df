"""File names that the file system takes, whatever long names they are made from."""

import contextlib
import os
import sys

# Of the files that hold images.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
ARRAY_SUFFIXES = (".npy", ".tif", ".tiff")
ARCHIVE_SUFFIX = ".npz"
SHARD_SUFFIX = ".tfrecord"
LONGEST_NAME = 255  # bytes of a file's name on the common file systems
_DIGITS = 12  # of the digest: 48 bits


def is_file_name(name: str) -> bool:
    """Whether a file of a folder can have a name: one part of a path, in UTF-8, not too long."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return False
    is_plain = name not in (".", "..") and not {"/", "\0"} & set(name)
    return is_plain and 0 < size <= LONGEST_NAME


def why_not_utf8(name: str) -> str | None:
    """Why TensorFlow, to which every path is UTF-8, would look for another file.

    Returns:
      Words that follow "is"; None if it finds the file.
    """
    with contextlib.suppress(UnicodeEncodeError):
        if os.fsencode(name) == name.encode():
            return None
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return "not UTF-8"
    return f"not UTF-8 in this locale, whose encoding is {encoding}: set PYTHONUTF8=1"


def why_not_encodable(name: str) -> str | None:
    """Why no file can have a name that comes out of a file, or nothing can be read by this name.

    Returns:
      As `why_not_utf8`.
    """
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return why_not_utf8(name)
    return None


def shortened(name: str, longest: int) -> str:
    """Shortens a name of more bytes than a limit, so that different names stay different.

    Args:
      name: the name.
      longest: the limit in bytes, at least 16.

    Returns:
      The name as it is, or its beginning, `~` and the first 12 digits of the whole name's SHA-256.
    """
    # As in UTF-8 locales everywhere: a name that this locale lacks is refused where it is used.
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= longest:
        return name
    import hashlib  # here, because its library takes longer to load than all else of this module

    end = f"~{hashlib.sha256(encoded).hexdigest()[:_DIGITS]}"
    # No part of a character is left behind: only names that are UTF-8 can be given to TensorFlow.
    beginning = encoded[: longest - len(end)].decode(errors="ignore")
    return beginning + end
