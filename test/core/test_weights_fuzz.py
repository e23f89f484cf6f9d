# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Mutated weight files of every kind: each is read, or refused by one error that names it.

TRACKER_CORE_FUZZ=10000 makes so many instead of 300; `python test_weights_fuzz.py COUNT SEED
FOLDER` does the same without pytest and prints what came out. The files are read in a process of
their own, whose audit hook sees whatever they would execute, import, open or start.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
import faulthandler
import io
import itertools
import json
import os
from pathlib import Path
import pickletools
from random import Random
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib

COUNT = int(os.environ.get('TRACKER_CORE_FUZZ', '300'))
SECONDS = 10  # for one file
MEMORY = 1_000_000_000  # bytes, of the process with all its libraries
SEED = 18
SUFFIXES = ('.pth', '.pt', '.tar', '.mat', '.safetensors', '.bin', '')
EXTREMES = (0, 1, 2, 3, 4, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 33)
EXTREMES += ((1 << 63) - 1, (1 << 64) - 1)
FORBIDDEN = (
    'exec', 'compile', 'import', 'pickle.', 'os.', 'subprocess.', 'shutil.', 'socket.', 'ctypes.',
    'marshal.', 'code.', 'pty.', 'tempfile.', 'webbrowser.', 'mmap.', 'urllib.',
)  # fmt: skip


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    command = [sys.executable, '-W', 'ignore', __file__, str(COUNT), str(SEED), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + COUNT)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    print(report)
    assert report['files'] == COUNT
    assert report['faults'] == []
    assert report['loaded'] + report['refused'] == COUNT
    assert report['loaded'] > COUNT // 50  # not everything is refused
    assert report['peak'] < MEMORY


# -------------------------------------------------------------------------------------- mutations


def flip_bits(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def copy_block(data: bytes, random: Random) -> bytes:
    """A stretch of the file, once more elsewhere: in addition, or in place of what is there."""
    start, place = random.randrange(len(data)), random.randrange(len(data))
    block = data[start : start + random.choice((1, 4, 16, 64, 1000))]
    return data[:place] + block + data[place + random.choice((0, len(block))) :]


def drop_block(data: bytes, random: Random) -> bytes:
    start = random.randrange(len(data))
    return data[:start] + data[start + random.choice((1, 4, 16, 64)) :]


def edit_number(data: bytes, random: Random) -> bytes:
    """A length, count or offset becomes an extreme one."""
    size = random.choice((1, 2, 4, 8))
    place = random.randrange(max(1, len(data) - size))
    place -= place % random.choice((1, 4, 8))
    order = random.choice(('little', 'big'))
    number = (random.choice(EXTREMES) % (1 << 8 * size)).to_bytes(size, order)
    return data[:place] + number + data[place + size :]


BYTES = (flip_bits, cut, copy_block, drop_block, edit_number)


def edit_pickle(data: bytes, random: Random) -> bytes:
    """Instructions inserted, dropped, repeated or exchanged, each as a whole."""
    places = [place for _, _, place in pickletools.genops(data)] + [len(data)]
    parts = [data[a:b] for a, b in itertools.pairwise(places)]
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        place, action = random.randrange(len(parts)), random.randrange(5)
        if action == 0:
            parts.insert(place, random.choice(INSTRUCTIONS))
        elif action == 1 and len(parts) > 2:
            del parts[place]
        elif action == 2:
            parts[place : place + 1] *= random.choice((2, 3, 1000))
        elif action == 3:
            other = random.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        else:
            parts[place] = edit_number(parts[place], random)
    return b''.join(parts)


CALL = b'cos\nmkdir\nX\x08\0\0\0executed\x85R'
INSTRUCTIONS = (
    CALL,
    CALL + b'0',
    b'cbuiltins\neval\nX\x01\0\0\x001\x85R',
    b'\x8c\x02os\x8c\x05mkdir\x93\x8c\x08executed\x85R0',
    b'ios\nmkdir\n',
    b'S"os"\n',
    b'\x82\x01',  # an extension
    b'r\xff\xff\xff\xff',  # a memo of four thousand million entries
    b'X\xff\xff\xff\x7f',
    b'\x8d' + b'\xff' * 8,
    b'\x8b\xff\xff\xff\x7f',  # an integer of two thousand million bytes
    b'\x96' + b'\xff' * 8,
    b'\x95' + b'\xff' * 8,
    b'L' + b'9' * 9000 + b'L\n',
    b'2' * 3000,
    b'2\x86' * 3000,  # a tuple of itself twice, and so on
    b'](' + b'2' * 100 + b'e' + b'2a' * 100,
    b'\x85' * 5000,
    b'}2\x862s0',
    b'}(I1\nI2\nu',
    b'(' * 1000,
    b'N', b')', b']', b'}', b'(', b't', b'R', b'b', b'Q', b'0', b'1', b'2', b'.', b'e', b's', b'u',
    b'\x81', b'\x92', b'\x93', b'\x94', b'h\0', b'q\0', b'K\xff', b'J\xff\xff\xff\xff',
    b'ctorch._utils\n_rebuild_tensor_v2\n',
    b'ctorch.nn.modules.conv\nConv2d\n',
    b'ccollections\nOrderedDict\n',
)  # fmt: skip


def edit_zip(data: bytes, random: Random) -> bytes:
    """Files in a zip renamed, repeated, compressed or changed, and the zip made whole again."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:
        return flip_bits(data, random)
    place, action = random.randrange(len(members)), random.randrange(7)
    pickled = next((i for i, (name, _) in enumerate(members) if name.endswith('data.pkl')), place)
    name, content = members[place]
    folder = name.partition('/')[0]
    compression = zipfile.ZIP_STORED
    if action == 0:
        others = ('constants.pkl', 'code/a.py', 'CODE/a.py', 'data.pkl', 'x/data.pkl', 'data/0')
        members[place] = (f'{folder}/{random.choice(others)}', content)
    elif action == 1:
        members.insert(random.randrange(len(members)), (name, random.choice(members)[1]))
    elif action == 2:
        compression = zipfile.ZIP_DEFLATED
        members[place] = (name, content + bytes(random.choice((0, 1_000_000))))
    elif action == 3:
        members[place] = (name, random.choice(BYTES)(content, random) if content else content)
    elif action == 4:
        return bytes(random.choice((1, 100))) + data
    else:
        name, content = members[pickled]
        try:
            members[pickled] = (name, edit_pickle(content, random))
        except ValueError:
            members[pickled] = (name, CALL + b'.')
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive:
        for member in members:
            archive.writestr(*member)
    return file.getvalue()


def edit_old(data: bytes, random: Random) -> bytes:
    """The instructions of the pickles of an old checkpoint; the numbers behind them stay."""
    stream, ends = io.BytesIO(data), []
    try:
        for _ in range(5):
            for _ in pickletools.genops(stream):
                pass
            ends.append(stream.tell())
        start, end = random.choice(list(zip([0, *ends], ends, strict=False)))
        return data[:start] + edit_pickle(data[start:end], random) + data[end:]
    except (ValueError, IndexError):
        return flip_bits(data, random)


def edit_header(data: bytes, random: Random) -> bytes:
    """Numbers and names in the header of safetensors, its length then right again."""
    size = int.from_bytes(data[:8], 'little')
    header = data[8 : 8 + size]
    old = random.choice((b'0', b'4', b'432', b'conv1.weight', b'F32', b'[', b'"', b'shape', b'{'))
    new = random.choice(
        (
            *(b'-1', b'99999999999999999999', b'1e9', b'conv1.bias', b'F64', b'C64', b'F8_E4M3'),
            *(b'[' * 2000, b'{"a":' * 2000, b'\\ud800', b'9' * 5000, b'[4294967296,4294967296]'),
        )
    )
    header = header.replace(old, new, random.choice((1, 2, -1)))
    return struct.pack('<Q', len(header)) + header + data[8 + size :]


def edit_variable(data: bytes, random: Random) -> bytes:
    """What lies inside the compressed variables of a MATLAB file, or a bomb in its place."""
    parts, position = [], 128
    while position + 8 <= len(data):
        kind, size = struct.unpack_from('<II', data, position)
        parts.append((kind, data[position + 8 : position + 8 + size]))
        position += 8 + size
    try:
        place = random.choice([i for i, (kind, _) in enumerate(parts) if kind == 15])
        content = random.choice(BYTES)(zlib.decompress(parts[place][1]), random)
    except (IndexError, zlib.error):
        return random.choice(BYTES)(data, random)
    if random.random() < 0.1:
        content += bytes(20_000_000)
    parts[place] = (15, zlib.compress(content, 1))
    return data[:128] + b''.join(struct.pack('<II', k, len(p)) + p for k, p in parts)


def mutate(name: str, data: bytes, random: Random) -> bytes:
    """A file, changed once or a few times in ways that suit its kind."""
    special: Callable[[bytes, Random], bytes] | None = None
    if data.startswith(b'PK'):
        special = edit_zip
    elif name.startswith('old'):
        special = edit_old
    elif name.startswith('safetensors'):
        special = edit_header
    elif name.startswith('mat'):
        special = edit_variable
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        change = random.choice(BYTES) if special is None or random.random() < 0.4 else special
        data = change(data, random)
    return data


# ----------------------------------------------------------------------------------- the process


class Watch:
    """An audit hook that notes what happens while it is armed."""

    def __init__(self) -> None:
        self.armed = False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.armed:
            return
        if event == 'open':
            path, mode, flags = arguments
            if not isinstance(mode, str) or mode.strip('rb') or (flags or 0) & 3:
                self.seen.append(f'open {path} {mode} {flags}')
        elif event.startswith(FORBIDDEN):
            self.seen.append(f'{event} {arguments!r}'[:200])


class TooLong(BaseException):
    """A file took too long; not an Exception, which the reader would take for damage."""


def interrupt(*_: object) -> None:
    raise TooLong


def run(count: int, seed: int, folder: Path) -> dict[str, object]:
    """Make and read files; what came out."""
    from weight_files import (
        hostile_files,
        in_zip,
        matlab_bombs,
        pickle_bombs,
        sound_files,
        torchscript,
    )

    from tracker_core import WeightsError
    from tracker_core.weights import read_weight_file

    os.chdir(folder)
    sound = sound_files()
    files = {**sound, **hostile_files(folder), 'torchscript': torchscript(folder)[0]}
    names = [*sound, *sound, *files]  # the sound ones thrice as often
    faults: list[str] = []
    loaded = refused = 0

    def read(path: Path) -> bool:
        try:
            tensors = read_weight_file(path)
        except WeightsError as error:
            message = str(error)
        else:
            message = ''
        if message:
            assert str(path) in message, message
            assert len(message) < 1000, message[:1000]
            assert message.isprintable(), message
            return False
        assert all(isinstance(name, str) for name in tensors)
        sum(float(tensor.double().sum()) for tensor in tensors.values())  # touches all of it
        return True

    bombs = {name: in_zip(program) for name, program in pickle_bombs().items()}
    bombs |= matlab_bombs()
    for name, data in {**files, **bombs}.items():  # imports what is imported late
        path = folder / 'unchanged'
        path.write_bytes(data)
        assert read(path) == (name in sound), name
    for codec in ('cp437', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32-le', 'utf-32-be'):
        codecs.lookup(codec)  # of names in zips and of texts in MATLAB files
    watch = Watch()
    virtual = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (virtual + MEMORY,) * 2)
    signal.signal(signal.SIGALRM, interrupt)
    begin, slowest = time.monotonic(), 0.0
    for index in range(count):
        random = Random(f'{seed} {index}')
        name = random.choice(names)
        path = folder / f'mutant_{index}{random.choice(SUFFIXES)}'
        path.write_bytes(mutate(name, files[name], random))
        started = time.monotonic()
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
        signal.alarm(SECONDS)
        watch.armed = True
        try:
            is_read = read(path)
        except BaseException as error:
            watch.armed = False
            faults.append(f'{path.name} of {name}: {type(error).__name__} {error}'[:300])
        else:
            loaded, refused = loaded + is_read, refused + (not is_read)
        finally:
            watch.armed = False
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
        slowest = max(slowest, time.monotonic() - started)
        if watch.seen:
            faults.append(f'{path.name} of {name}: {watch.seen}'[:600])
            watch.seen.clear()
        if not faults or path.name not in faults[-1]:
            path.unlink()
    if (folder / 'executed').exists() or (folder / 'witness').read_bytes() != bytes(16):
        faults.append('something was executed')
    status = Path('/proc/self/status').read_text()
    return {
        'files': count,
        'loaded': loaded,
        'refused': refused,
        'seconds': round(time.monotonic() - begin, 1),
        'slowest': round(slowest, 3),
        'peak': int(re.search(r'VmHWM:\s*(\d+)', status)[1]) * 1024,
        'faults': faults,
    }


if __name__ == '__main__':
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).resolve())))
