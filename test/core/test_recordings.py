# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of every kind as video, against the same frames in a folder, and results as a bag."""

from __future__ import annotations

import csv
from dataclasses import dataclass
import json
from pathlib import Path
import shutil
import tracemalloc

import cv2
import numpy as np
import pytest

from tracker_core import create_tracker, ParameterError
from tracker_core.commands import main
from tracker_core.errors import VideoError
from tracker_core.media.messages import ANNOTATIONS, DEFINITIONS, DETECTIONS, known_types, STATUS
from tracker_core.media.moments import Moment, Part
from tracker_core.media.scene import render_scene
from tracker_core.media.sources import open_frames

rosbag1 = pytest.importorskip('rosbags.rosbag1', reason='the extra bag is not installed')
rosbag2 = pytest.importorskip('rosbags.rosbag2')
typesys = pytest.importorskip('rosbags.typesys')
highlevel = pytest.importorskip('rosbags.highlevel')

ROOT = Path(__file__).parents[2]
SCENE = render_scene('calm', frames=6, size=(160, 120))
FRAMES = list(SCENE)
BOX = ','.join(map(str, SCENE.boxes[0].as_xywh()))
FIRST, GAP = 1_700_000_000_033_333_333, 40_000_000  # nanoseconds
LATER = 5_000_000_000  # nanoseconds from the stamp to the recording
TADT = ['--tracker', 'tadt', '--device', 'cpu', '--box', BOX]

SQLITE, MCAP = rosbag2.StoragePlugin.SQLITE3, rosbag2.StoragePlugin.MCAP
MODE, STORES = rosbag2.CompressionMode, typesys.Stores
KINDS = {
    'ros1': None,
    'ros1-lz4': rosbag1.Writer.CompressionFormat.LZ4,
    'sqlite': (SQLITE, MODE.NONE),
    'sqlite-zstd-file': (SQLITE, MODE.FILE),
    'sqlite-zstd-message': (SQLITE, MODE.MESSAGE),
    'mcap': (MCAP, MODE.NONE),
    'mcap-zstd-chunk': (MCAP, MODE.STORAGE),
    'mcap-zstd-file': (MCAP, MODE.FILE),
    'mcap-zstd-message': (MCAP, MODE.MESSAGE),
}


@dataclass
class Image:
    """What a topic gets: raw with an encoding, or a file's bytes and their format."""

    data: bytes | np.ndarray
    encoding: str
    is_compressed: bool = False


def raw(frame: np.ndarray) -> Image:
    return Image(np.ascontiguousarray(frame[..., ::-1]), 'bgr8')


def compressed(frame: np.ndarray, suffix: str) -> Image:
    return Image(cv2.imencode(suffix, frame[..., ::-1])[1].tobytes(), suffix[1:], True)


def write_bag(path: Path, kind: str, topics: dict[str, list[Image]], stamped: bool = True) -> Path:
    """A recording with images on topics; returns what is to be opened."""
    is_first = kind.startswith('ros1')
    types = typesys.get_typestore(STORES.ROS1_NOETIC if is_first else STORES.ROS2_JAZZY)
    if is_first:
        path = path.with_suffix('.bag')
        writer = rosbag1.Writer(path)
        if KINDS[kind]:
            writer.set_compression(KINDS[kind])
    else:
        plugin, mode = KINDS[kind]
        writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
        writer.set_compression(mode, rosbag2.CompressionFormat.ZSTD)
    with writer:
        for topic, images in topics.items():
            name = 'CompressedImage' if any(i.is_compressed for i in images) else 'Image'
            connection = writer.add_connection(topic, f'sensor_msgs/msg/{name}', typestore=types)
            for number, image in enumerate(images):
                message = message_of(types, image, number if stamped else None)
                serialize = types.serialize_ros1 if is_first else types.serialize_cdr
                data = serialize(message, connection.msgtype)
                writer.write(connection, FIRST + LATER + number * GAP, data)
    return path


def message_of(types, image, number):
    stamp = 0 if number is None else FIRST + number * GAP
    time = types.types['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9))
    fields = {'seq': 0} if 'seq' in types.types['std_msgs/msg/Header'].__annotations__ else {}
    header = types.types['std_msgs/msg/Header'](**fields, stamp=time, frame_id='camera')
    data = np.frombuffer(bytes(image.data), np.uint8)
    if image.is_compressed:
        kind = types.types['sensor_msgs/msg/CompressedImage']
        return kind(header=header, format=image.encoding, data=data)
    height, width = image.data.shape[:2]
    return types.types['sensor_msgs/msg/Image'](
        header=header,
        height=height,
        width=width,
        encoding=image.encoding,
        is_bigendian=0,
        step=image.data.strides[0],
        data=data,
    )


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """The frames as .png and as .jpg, each in a folder of its own."""
    made = {}
    for suffix in ('.png', '.jpg'):
        made[suffix] = tmp_path_factory.mktemp(suffix[1:])
        for number, frame in enumerate(FRAMES):
            (made[suffix] / f'{number}{suffix}').write_bytes(compressed(frame, suffix).data)
    return made


@pytest.fixture(scope='module')
def tracker():
    return create_tracker('tadt', device='cpu')


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """An .mcap that several tests read."""
    images = [raw(frame) for frame in FRAMES]
    return write_bag(tmp_path_factory.mktemp('bag') / 'a', 'mcap', {'/camera/image': images})


@pytest.fixture(scope='module')
def expected(tracker, folders):
    """Boxes in the frames of the folder."""
    return boxes(tracker, open_frames(folders['.png']))


def boxes(tracker, source):
    frames = iter(source)
    target = tracker.start(next(frames), SCENE.boxes[0])
    return [tracker.track(frame, target).box.as_xywh() for frame in frames]


@pytest.mark.parametrize('form', ['raw', '.png', '.jpg'])
@pytest.mark.parametrize('kind', KINDS)
def test_boxes_are_those_of_the_same_frames_in_a_folder(
    tmp_path, tracker, expected, folders, kind, form
):
    images = [raw(f) if form == 'raw' else compressed(f, form) for f in FRAMES]
    path = write_bag(tmp_path / 'a', kind, {'/camera/image': images})
    folder = open_frames(folders['.png' if form == 'raw' else form])
    with open_frames(path) as source:
        assert (source.size, source.length, source.fps) == ((160, 120), 6, 25.0)
        stamps = [(source.number, source.stamp, source.header.recorded) for _ in source]
        if form == 'raw':  # the frames of the others are equal, too, which is cheaper to see
            np.testing.assert_allclose(boxes(tracker, source), expected, atol=0.01)
        for one, other in zip(source, folder, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.flags.writeable
    assert source.header.frame_id == 'camera'
    assert stamps == [(n, FIRST + n * GAP, FIRST + LATER + n * GAP) for n in range(6)]


@pytest.mark.parametrize('kind', [kind for kind in KINDS if not kind.startswith('ros1')])
def test_a_single_file_of_a_recording(tmp_path, kind):
    path = write_bag(tmp_path / 'a', kind, {'image': [raw(f) for f in FRAMES[:2]]})
    (file,) = (each for each in path.iterdir() if each.suffix != '.yaml')
    with open_frames(file) as source:
        assert len(list(source)) == 2
    alone = tmp_path / file.name
    shutil.copy(file, alone)
    if file.suffix == '.zstd':
        with pytest.raises(VideoError, match=r'zstd -d FILE unpacks it'):
            open_frames(alone)
    elif kind.endswith('message'):
        with pytest.raises(VideoError, match='none of the first images can be read'):
            open_frames(alone)
    else:
        with open_frames(alone) as source:
            np.testing.assert_array_equal(next(iter(source)), FRAMES[0])


def test_what_real_rosbag2_writes(tmp_path, folders):
    rosbag2_py = pytest.importorskip('rosbag2_py', reason='there is no rosbag2 here')
    types = typesys.get_typestore(STORES.ROS2_JAZZY)
    for storage in ('mcap', 'sqlite3'):
        writer = rosbag2_py.SequentialWriter()
        writer.open(
            rosbag2_py.StorageOptions(uri=str(tmp_path / storage), storage_id=storage),
            rosbag2_py.ConverterOptions('cdr', 'cdr'),
        )
        writer.create_topic(
            rosbag2_py.TopicMetadata(
                id=0, name='/image', type='sensor_msgs/msg/Image', serialization_format='cdr'
            )
        )
        for number, frame in enumerate(FRAMES):
            message = message_of(types, raw(frame), number)
            data = types.serialize_cdr(message, 'sensor_msgs/msg/Image')
            writer.write('/image', bytes(data), FIRST + number * GAP)
        del writer
        with open_frames(tmp_path / storage) as source:
            for one, other in zip(source, open_frames(folders['.png']), strict=True):
                np.testing.assert_array_equal(one, other)


def test_an_image_without_a_stamp_has_the_time_of_its_recording(tmp_path):
    path = write_bag(tmp_path / 'a', 'mcap', {'image': [raw(f) for f in FRAMES[:2]]}, False)
    with open_frames(path) as source:
        assert [source.stamp for _ in source] == [FIRST + LATER, FIRST + LATER + GAP]


def numbers(source, *part):
    source.part = Part(*part)
    return [source.number for _ in source]


def test_parts_of_a_recording_and_of_a_folder(bag, folders):
    with open_frames(bag) as recording:
        for source in (recording, open_frames(folders['.png'])):
            gap = 1 / source.fps
            at = [Moment.parse(str(n * gap)) for n in range(6)]
            assert numbers(source) == [0, 1, 2, 3, 4, 5]
            assert numbers(source, at[2]) == [2, 3, 4, 5]
            assert numbers(source, Moment.parse(str(2.4 * gap)), at[4]) == [2, 3, 4]
            assert numbers(source, at[1], None, 2) == [1, 3, 5]
            assert numbers(source, None, at[4], 3) == [0, 3]
            assert numbers(source, Moment.parse('100')) == []
        stamp = FIRST + 3 * GAP
        for text in (str(stamp), f'{stamp // 10**9}.{stamp % 10**9:09}', f'{stamp / 1e9:.2f}'):
            assert numbers(recording, Moment.parse(text)) == [3, 4, 5]
    with pytest.raises(ParameterError, match='is a stamp, which only frames of a recording have'):
        numbers(source, Moment.parse(str(stamp)))


@pytest.mark.parametrize('text', ['', 'noon', '-1', 'nan', '1e400', '10:30'])
def test_what_is_no_time(text):
    with pytest.raises(ParameterError, match='is no time: seconds from the beginning'):
        Moment.parse(text)


def test_only_the_frames_that_are_wanted_are_decoded(bag, monkeypatch):
    from tracker_core.media import recordings

    calls = []
    monkeypatch.setattr(recordings, 'to_rgb', lambda m, s: calls.append(1) or FRAMES[0])
    with open_frames(bag) as source:
        calls.clear()
        frames = iter(source)
        assert not calls
        next(frames)
        assert len(calls) == 1
        assert numbers(source, Moment.parse('0.08'), None, 2) == [2, 4]
        assert len(calls) == 3


@pytest.mark.parametrize('kind', ['ros1', 'sqlite', 'mcap', 'mcap-zstd-chunk'])
def test_memory_does_not_grow_with_the_length(tmp_path, kind):
    peaks = []
    for count in (40, 160):
        path = write_bag(tmp_path / f'{count}', kind, {'image': [raw(FRAMES[0])] * count})
        tracemalloc.start()
        with open_frames(path) as source:
            assert sum(1 for _ in source) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    size = FRAMES[0].nbytes
    assert peaks[1] < peaks[0] + 10 * size, [peak / size for peak in peaks]


def test_images_that_cannot_be_decoded_are_left_out_and_named(tmp_path, capsys):
    images = [compressed(frame, '.jpg') for frame in FRAMES]
    images[2].data, images[4].data = images[2].data[:200], b'nothing'
    path = write_bag(tmp_path / 'a', 'mcap', {'image': images})
    with open_frames(path) as source:
        for _ in range(2):
            assert [source.number for _ in source] == [0, 1, 3, 5]
            assert len(source.unreadable) == 2
            assert source.unreadable[0].startswith('image 2 (compressed image, format')
    assert main(['track', str(path), *TADT, '--weights', 'random']) == 1
    assert '2 of 6 frames could not be read: image 2 (compressed' in capsys.readouterr().err


def test_topics_are_listed_and_chosen(tmp_path):
    colour, depth = [raw(f) for f in FRAMES[:2]], [Image(np.zeros((4, 4, 4), np.uint8), '32FC1')]
    small = [compressed(f, '.jpg') for f in FRAMES[:3]]
    topics = {'/rgb/image': colour, '/rgb/image/compressed': small, '/depth': depth, '/no': []}
    path = write_bag(tmp_path / 'a', 'mcap', topics)
    listed = r'/depth \(Image, 1\), /no \(Image, 0\), /rgb/image \(Image, 2\), /rgb/image/compr'
    with pytest.raises(VideoError, match=f'several topics; choose one, --topic: {listed}'):
        open_frames(path)
    with pytest.raises(VideoError, match=r"no topic /rgb/imag; did you mean '/rgb/image'\?"):
        open_frames(path, topic='rgb/imag')
    with pytest.raises(VideoError, match='the topic /no is empty'):
        open_frames(path, topic='/no')
    with pytest.raises(VideoError, match=r'topic /depth: none .* image 0 .*32FC1.*depth'):
        open_frames(path, topic='/depth')
    for name, count in (('/rgb/image', 2), ('rgb/image', 2), ('/rgb/image/compressed', 3)):
        with open_frames(path, topic=name) as source:
            assert len(list(source)) == count
    with pytest.raises(VideoError, match='scene is no recording, and only these have topics'):
        open_frames('scene', topic='/rgb/image')


def test_a_recording_without_images(tmp_path):
    types = typesys.get_typestore(STORES.ROS2_JAZZY)
    with rosbag2.Writer(tmp_path / 'a', version=9) as writer:
        writer.add_connection('/words', 'std_msgs/msg/String', typestore=types)
    with pytest.raises(VideoError, match='holds no images; topics of images: none'):
        open_frames(tmp_path / 'a')
    with pytest.raises(VideoError, match='/words has messages of std_msgs/msg/String'):
        open_frames(tmp_path / 'a', topic='/words')


@pytest.mark.parametrize('kind', ['ros1', 'mcap', 'sqlite'])
@pytest.mark.parametrize('share', [0.0, 0.01, 0.5, 0.97])
def test_a_recording_that_was_cut_off_is_told(tmp_path, kind, share):
    path = write_bag(tmp_path / 'a', kind, {'image': [raw(frame) for frame in FRAMES]})
    file = path if path.is_file() else next(f for f in path.iterdir() if f.suffix != '.yaml')
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(VideoError, match=r'a(\.bag)?.* read.*\(.+\); .*this may mend it: \w+'):
        list(open_frames(path))


def test_bytes_that_are_damaged_end_in_one_error(tmp_path):
    """Whatever rosbags, SQLite or zstd make of them."""
    random = np.random.default_rng(3)
    for kind in ('ros1', 'mcap-zstd-chunk', 'sqlite', 'mcap-zstd-file'):
        path = write_bag(tmp_path / kind, kind, {'image': [raw(f) for f in FRAMES[:2]]})
        file = path if path.is_file() else next(f for f in path.iterdir() if f.suffix != '.yaml')
        whole = np.frombuffer(file.read_bytes(), np.uint8)
        for _ in range(12):
            damaged = whole.copy()
            places = random.integers(0, min(len(whole), 4000), 40)
            damaged[places] = random.integers(0, 256, 40)
            file.write_bytes(damaged.tobytes())
            complaint = str(path)
            try:
                with open_frames(path) as source:
                    list(source)
            except VideoError as error:
                complaint = str(error)
            assert str(path) in complaint


def test_a_folder_without_metadata_is_told(tmp_path):
    path = write_bag(tmp_path / 'a', 'mcap', {'image': [raw(FRAMES[0])]})
    (path / 'metadata.yaml').unlink()
    with pytest.raises(VideoError, match=r'without metadata\.yaml.*ros2 bag reindex'):
        open_frames(path)


def test_without_rosbags_the_extra_is_named(bag, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, 'rosbags', None)
    with pytest.raises(ParameterError, match=r'a recording needs .*tracker_nodes\[bag\]'):
        open_frames(bag)


def test_track_writes_tables_film_and_recording(bag, tmp_path, capsys):
    files = [tmp_path / name for name in ('a.csv', 'a.json', 'a.mcap', 'a.mp4')]
    begin = f'{(FIRST + GAP) / 1e9:.3f}'
    command = ['track', str(bag), *TADT, '--box', '20,20,40,40', '--at', begin, '--every', '2']
    assert main([*command, *(part for file in files for part in ('--out', str(file)))]) == 0
    assert capsys.readouterr().out.startswith('3 frames, ')
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(f.name for f in files)

    with files[0].open(newline='') as lines:
        rows = list(csv.DictReader(lines))
    expected = [(n, FIRST + n * GAP) for n in (1, 3, 5)]
    assert [(int(r['frame']), int(r['stamp'])) for r in rows[::2]] == expected
    frames = json.loads(files[1].read_text())['frames']
    assert [(frame['frame'], frame['stamp']) for frame in frames] == expected
    assert [t['box'] for f in frames for t in f['targets']] == [
        [float(row[key]) for key in 'xywh'] for row in rows
    ]
    with open_frames(files[3]) as film:
        assert (len(list(film)), film.fps) == (3, 12.5)  # as fast as the recording

    with highlevel.AnyReader([files[2]]) as reader:
        messages = {DETECTIONS: [], STATUS: [], ANNOTATIONS: []}
        for connection, recorded, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages[connection.msgtype].append(message)
            if connection.msgtype == ANNOTATIONS:
                (stamp,) = {(p.timestamp.sec, p.timestamp.nanosec) for p in message.points}
            else:
                stamp = message.header.stamp.sec, message.header.stamp.nanosec
                assert message.header.frame_id == 'camera'
            assert recorded == stamp[0] * 10**9 + stamp[1] + LATER
        topics = {c.topic: c.msgtype for c in reader.connections}
    assert topics == {'/detections': DETECTIONS, '/status': STATUS, '/annotations': ANNOTATIONS}
    assert [len(found) for found in messages.values()] == [3, 3, 3]
    for i, status in enumerate(messages[STATUS]):
        assert (status.tracker, status.preset, status.frames) == ('tadt', 'compact', i + 1)
        for target, row in zip(status.targets, rows[2 * i : 2 * i + 2], strict=True):
            center = target.bbox.center.position
            left_top = center.x - target.bbox.size_x / 2, center.y - target.bbox.size_y / 2
            np.testing.assert_allclose(left_top, (float(row['x']), float(row['y'])), atol=1e-3)
            assert (target.id, target.age) == (row['id'], i)
    seen = [t.id for status in messages[STATUS] for t in status.targets if t.state != t.LOST]
    assert [d.id for found in messages[DETECTIONS] for d in found.detections] == seen
    assert seen[:2] == ['1', '2']
    outline, text = messages[ANNOTATIONS][0].points[0], messages[ANNOTATIONS][0].texts[0]
    assert [(p.x, p.y) for p in outline.points[::2]] == [
        (SCENE.boxes[0].x, SCENE.boxes[0].y),
        (SCENE.boxes[0].x2, SCENE.boxes[0].y2),
    ]
    assert text.text == '1 1.00'


def test_what_is_read_is_not_written_over(bag, capsys):
    (file,) = bag.glob('*.mcap')
    whole = file.read_bytes()
    assert main(['track', str(file), *TADT, '--out', str(file.parent / '.' / file.name)]) == 2
    assert 'is what is read; write to another file' in capsys.readouterr().err
    assert file.read_bytes() == whole


def test_a_table_may_have_any_name(bag, tmp_path):
    command = ['track', str(bag), *TADT, '--weights', 'random', '--frames', '2']
    assert main([*command, '--csv', str(tmp_path / 'boxes.txt')]) == 0
    assert (tmp_path / 'boxes.txt').read_text().startswith('frame,id,x,y,w,h,score')


def test_the_messages_are_those_of_the_repository():
    """The definitions in the library, which is installed without msg/, against these files."""
    types = known_types()
    for name, definition in DEFINITIONS.items():
        package, _, message = name.split('/')
        folder = ROOT if package == 'tracker_nodes' else ROOT / 'third_party' / package
        path = folder / 'msg' / f'{message}.msg'
        if package == 'foxglove_msgs':
            continue
        if not path.is_file():
            pytest.skip('the interfaces are not beside the tests')
        assert definition
        (there,) = typesys.get_types_from_msg(path.read_text(), name).values()
        assert types.fielddefs[name] == there
