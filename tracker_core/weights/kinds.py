# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What a weight file is, by its own bytes: neither its name nor a library is asked."""

from __future__ import annotations

from enum import Enum

LEGACY_MAGIC = bytes.fromhex('8a0a6cfc9c46f9206aa85019')  # a pickled number, torch's own choice
HDF5_MAGIC = b'\x89HDF\r\n\x1a\n'
ARCHIVE_MAGICS = (b'\x1f\x8b', b'BZh', b'\xfd7zXZ\0', b'7z\xbc\xaf', b'Rar!', b'\x28\xb5\x2f\xfd')


class Kind(Enum):
    """Kinds of files; the value is what a sentence calls them."""

    ZIP = 'PyTorch checkpoint (zip)'
    LEGACY = 'PyTorch checkpoint (old format)'
    MAT = 'MATLAB file'
    SAFETENSORS = 'safetensors file'
    PICKLE = 'plain Python pickle'
    TAR = 'tar archive'
    HDF5 = 'HDF5 file'
    ARCHIVE = 'compressed archive'
    POINTER = 'Git LFS pointer'
    PAGE = 'web page'
    EMPTY = 'empty file'
    OTHER = 'unknown file'


REFUSED = {
    Kind.PICKLE: (
        'is a plain Python pickle, which would have to be executed: load it where it was made '
        'and save the state dict with torch.save or safetensors'
    ),
    Kind.TAR: (
        'is a tar archive: if a PyTorch before 0.1.10 wrote it, load it there and save its '
        'state_dict() with a newer one; if it holds weight files, unpack it'
    ),
    Kind.HDF5: (
        "is an HDF5 file (MATLAB's -v7.3, or Keras): load it where it was made and save it with "
        "MATLAB's -v7, or as safetensors"
    ),
    Kind.ARCHIVE: 'is a compressed archive: unpack it and name the weight file in it',
    Kind.POINTER: 'is a pointer of Git LFS, not the file itself: fetch that with git lfs pull',
    Kind.PAGE: 'is a web page, not a weight file: the download failed',
    Kind.EMPTY: 'is empty: get the file again',
    Kind.OTHER: (
        'is no known kind of weight file; known are safetensors, checkpoints of torch.save (.pth, '
        '.pt) and MatConvNet networks (.mat)'
    ),
}


def kind_of(data: bytes) -> Kind:
    """The kind of a file with this content."""
    start = data[:512].lstrip().lower()
    if not data:
        return Kind.EMPTY
    if data.startswith(b'PK\x03\x04'):
        return Kind.ZIP
    if data[0] == 0x80 and data[1:2] <= b'\x05':
        return Kind.LEGACY if LEGACY_MAGIC in data[2:32] else Kind.PICKLE
    if any(data.startswith(HDF5_MAGIC, place) for place in (0, 512, 1024, 2048)):
        return Kind.HDF5
    if data.startswith(b'MATLAB 5.0 MAT-file') or data[124:128] in (b'\0\1IM', b'\1\0MI'):
        return Kind.MAT
    if data[257:262] == b'ustar':
        return Kind.TAR
    if data[8:9] == b'{':
        return Kind.SAFETENSORS
    if data.startswith(ARCHIVE_MAGICS):
        return Kind.ARCHIVE
    if data.startswith(b'version https://git-lfs'):
        return Kind.POINTER
    if start.startswith((b'<!doctype html', b'<html')):
        return Kind.PAGE
    return Kind.OTHER
