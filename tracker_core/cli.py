# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The command `tracker`. What a subcommand needs is imported when it runs, so help comes fast."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys
from typing import Any, NoReturn

DEFAULT = 'default: %(default)s'
SETTING = 'a parameter of the tracker, see `tracker list T`; may be repeated'


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'tracker: error: {message} (see {self.prog} --help)\n')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0, 1 where some frames could not be read, 2 for a refused input, 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = build_parser(with_training=arguments[:1] == ['train']).parse_args(arguments)
    from tracker_core.errors import TrackerError

    try:
        return args.run(args) or 0
    except (TrackerError, OSError) as error:
        print(f'tracker: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def build_parser(with_training: bool = True) -> argparse.ArgumentParser:
    """The parser; `with_training` imports what `tracker train` needs to know its options."""
    parser = Parser(
        prog='tracker',
        description='Follow objects in video with deep single-object trackers.',
    )
    commands = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)

    track = _add(commands, 'track', run_track, 'follow objects in a video, a folder or a camera')
    track.add_argument(
        'video',
        metavar='VIDEO',
        help='video file, folder of images, number of a camera, stream (rtsp://, http://, a '
        "GStreamer pipeline ending in appsink), pipe, or 'scene[:NAME]' (rendered)",
    )
    _add_tracker_options(track)
    track.add_argument(
        '--box',
        type=_box,
        action='append',
        metavar='X,Y,W,H',
        help='the object in the first frame: left, top, width, height in pixels, the top-left '
        'corner of the image being 0,0; give it again for further objects (a rendered scene '
        'knows its object)',
    )
    track.add_argument('--out', metavar='FILE', help='write the video with its boxes, .mp4')
    track.add_argument('--csv', metavar='FILE', help='write a line per object and frame')
    track.add_argument('--frames', type=_count, metavar='N', help='stop after so many frames')
    track.add_argument(
        '--bit-depth',
        type=_bit_depth,
        default=0,
        metavar='auto|8..16',
        help='of a folder of 16-bit images; default: auto (what the images hold)',
    )

    evaluate = _add(commands, 'evaluate', run_evaluate, 'measure accuracy on annotated sequences')
    evaluate.add_argument('--dataset', required=True, metavar='otb:DIR', help='OTB-format folder')
    evaluate.add_argument('--sequences', type=_names, metavar='A,B', help='only these')
    _add_tracker_options(evaluate, several=True)
    evaluate.add_argument(
        '--peers', action='store_true', help="add OpenCV's CSRT, KCF and MIL to the comparison"
    )
    evaluate.add_argument(
        '--peer-model',
        action='append',
        default=[],
        type=_peer_model,
        metavar='NAME=FILES',
        help="add OpenCV's nano=BACKBONE.onnx,HEAD.onnx or vit=FILE.onnx",
    )
    evaluate.add_argument(
        '--starts',
        type=_count,
        default=1,
        metavar='N',
        help='start each sequence at N frames, evenly spaced, and go on to its end; ' + DEFAULT,
    )
    evaluate.add_argument('--json', metavar='FILE', help='write all results')
    evaluate.add_argument('--plots', metavar='DIR', help='write success.png and precision.png')
    evaluate.add_argument(
        '--boxes', metavar='DIR', help='write TRACKER_PRESET/SEQUENCE.txt, boxes in OTB format'
    )

    bench = _add(commands, 'benchmark', run_benchmark, 'measure speed on rendered frames')
    _add_tracker_options(bench, weights_note='; without any: random')
    bench.add_argument('--frames', type=_count, default=100, metavar='N', help=DEFAULT)
    bench.add_argument(
        '--size',
        type=_size,
        default=(640, 480),
        metavar='WxH',
        help='of the frames; default: 640x480',
    )
    bench.add_argument('--json', metavar='FILE', help='write all results')

    calibrate = _add(
        commands, 'calibrate', run_calibrate, "fit a tracker's score to be a probability"
    )
    _add_tracker_options(calibrate)
    calibrate.add_argument('--scenes', type=_count, default=30, metavar='N', help=DEFAULT)
    calibrate.add_argument(
        '--frames',
        type=_count,
        default=120,
        metavar='N',
        help='of each scene; ' + DEFAULT,
    )
    calibrate.add_argument(
        '--photos', metavar='DIR', help='cut every other scene from the photos in this folder'
    )
    calibrate.add_argument('--json', metavar='FILE', help='write the result')

    export = _add(commands, 'export', run_export, "write a tracker's step for other runtimes")
    export.add_argument('--tracker', required=True, metavar='T', help='see `tracker list`')
    export.add_argument('--preset', default='compact', metavar='P', help=DEFAULT)
    export.add_argument('--format', choices=('onnx', 'tensorrt'), default='onnx', help=DEFAULT)
    export.add_argument('--out', metavar='FILE', help='default: TRACKER_PRESET.onnx or .engine')
    export.add_argument(
        '--size',
        type=_size,
        metavar='WxH',
        help='frames of this size only; default: any (onnx), 640x480 (tensorrt)',
    )
    export.add_argument('--targets', type=_count, default=1, metavar='N', help=DEFAULT)
    export.add_argument(
        '--target-size',
        type=_size,
        default=(80, 80),
        metavar='WxH',
        help='a target in a frame of 640x480 (or --size), where the step depends on it: its shape '
        '(tadt), whether it counts as small (ocean); default: 80x80',
    )
    export.add_argument('--weights', metavar='W', help="file or folder, or 'random'")
    export.add_argument('--set', action='append', default=[], metavar='NAME=VALUE', help=SETTING)

    listing = _add(commands, 'list', run_list, 'list trackers, or the parameters of one')
    listing.add_argument('tracker', nargs='?', metavar='NAME', help='show its parameters')
    listing.add_argument('--preset', metavar='P', help='of this preset only')

    weights = commands.add_parser('weights', help='list weight files, convert one')
    weights.set_defaults(run=run_weights)
    actions = weights.add_subparsers(title='actions', metavar='ACTION')
    convert = _add(
        actions, 'convert', run_convert, "turn an authors' weight file into safetensors"
    )
    convert.add_argument('source', metavar='IN', help='safetensors, torch.save or MatConvNet')
    convert.add_argument('target', metavar='OUT', help='.safetensors')
    convert.add_argument('--tracker', required=True, metavar='T')
    convert.add_argument('--preset', default='paper', metavar='P', help=DEFAULT)

    train = commands.add_parser('train', help='train the weights that come with the package')
    if with_training:
        from functools import partial

        from tracker_core.training import commands as training
        from tracker_core.training import everything
        from tracker_core.training.stages import STAGES

        parts = train.add_subparsers(title='what to train', metavar='PART', required=True)
        for stage in STAGES.values():
            run = partial(training.run_stage, stage)
            training.add_arguments(_add(parts, stage.name, run, stage.about), stage)
        everything.add_arguments(
            _add(parts, 'all', everything.run, 'all of these, one after the other')
        )
    return parser


def run_track(args: argparse.Namespace) -> int:
    import csv
    from itertools import chain, islice
    import time

    from tracker_core.errors import BoxError, VideoError
    from tracker_core.evaluation.metrics import box_rows, overlap
    from tracker_core.media.folders import some_names
    from tracker_core.media.gray import GrayRange, Span
    from tracker_core.media.overlay import draw_track
    from tracker_core.media.sources import open_frames
    from tracker_core.media.writer import VideoWriter
    from tracker_core.progress import progress_bar
    from tracker_core.target import Track, TrackStatus

    def tell(span: Span) -> None:
        print(span.sentence('--bit-depth'), file=sys.stderr)

    writer = log = None
    tracks_of_frames: list[list[Track]] = []
    seconds = 0.0
    with open_frames(args.video, GrayRange(args.bit_depth, tell)) as source:
        boxes = args.box or (source.boxes and source.boxes[:1])
        if not boxes:
            raise BoxError('where is the object in the first frame? Give --box X,Y,W,H')
        tracker = _create(args, args.tracker, args.preset)
        frames = islice(source, args.frames)
        first = next(frames, None)
        if first is None:
            raise VideoError(f'{source.name} gives no frames')
        targets = [tracker.start(first, box) for box in boxes]
        if args.out:
            writer = VideoWriter(args.out, source.fps)
        if args.csv:
            Path(args.csv).parent.mkdir(parents=True, exist_ok=True)
            log = open(args.csv, 'w', newline='')  # noqa: SIM115
            table = csv.writer(log)
            table.writerow(['frame', 'id', 'x', 'y', 'w', 'h', 'score', 'raw_score', 'status'])
        total = min(filter(None, (source.length, args.frames)), default=None)
        try:
            for frame in progress_bar(chain([first], frames), 'tracking', total):
                if frame is first:
                    tracks = [Track(t.box, t.score, t.status, t.raw_score) for t in targets]
                else:
                    begin = time.perf_counter()
                    tracks = tracker.track_many(frame, targets)
                    seconds += time.perf_counter() - begin
                for i, track in enumerate(tracks, start=1):
                    if log:
                        numbers = [f'{v:.4f}' for v in (*track.box.as_xywh(), track.score)]
                        row = [source.number, i, *numbers]
                        table.writerow([*row, f'{track.raw_score:.6g}', track.status.name])
                    if writer:
                        draw_track(frame, track, str(i) if len(tracks) > 1 else '')
                if writer:
                    writer.write(frame)
                tracks_of_frames.append(tracks)
        except KeyboardInterrupt:
            pass  # how a camera's video ends
        finally:
            if writer:
                writer.close()
            if log:
                log.close()

    every = [track for tracks in tracks_of_frames for track in tracks]
    sure = sum(track.status is TrackStatus.TRACKING for track in every) / max(len(every), 1)
    speed = f'{(len(tracks_of_frames) - 1) / seconds:.1f}' if seconds else '-'
    line = f'{len(tracks_of_frames)} frames, {speed} frames/s in the tracker, {sure:.0%} tracked'
    if source.boxes and not args.box:
        found = box_rows([tracks[0].box for tracks in tracks_of_frames])
        ious = overlap(found, box_rows(source.boxes[: len(found)]))
        line += f', mean IoU {ious.mean():.3f} with the exact boxes'
    for path in filter(None, (writer and writer.path, args.csv)):
        line += f'; wrote {path}'
    print(line)
    bad = source.unreadable
    if bad:
        read = source.number + 1
        print(f'{len(bad)} of {read} frames could not be read: {some_names(bad)}', file=sys.stderr)
    return 1 if bad else 0


def run_evaluate(args: argparse.Namespace) -> int:
    from tracker_core.data.otb import load_dataset, with_later_starts
    from tracker_core.errors import ParameterError
    from tracker_core.evaluation.machine import describe_machine, machine_line
    from tracker_core.evaluation.peers import available_peers, OpenCvTracker
    from tracker_core.evaluation.run import (
        evaluate_tracker,
        make_report,
        result_table,
        summary_table,
        write_json,
    )
    from tracker_core.media.folders import check_images, some_names
    from tracker_core.registry import list_trackers

    whole = load_dataset(args.dataset, args.sequences)
    for sequence in whole:
        check_images(sequence.frames)
        if sequence.note:
            print(f'warning: {sequence.note}', file=sys.stderr)
    sequences = with_later_starts(whole, args.starts)
    names = list_trackers() if args.tracker == ['all'] else args.tracker
    if args.set and len(names) > 1:
        raise ParameterError('--set goes with a single --tracker')
    trackers: list[Any] = [_create(args, name, args.preset) for name in names]
    if args.peers:
        peers, complaints = available_peers()
        trackers += peers
        print(''.join(f'not compared: {complaint}\n' for complaint in complaints), end='')
    trackers += [OpenCvTracker(name, models) for name, models in args.peer_model]
    print(machine_line(describe_machine()))
    results = []
    for tracker in trackers:
        folder = args.boxes and Path(args.boxes) / f'{tracker.name}_{tracker.preset}'
        result = evaluate_tracker(tracker, sequences, folder)
        results.append(result)
        weights = f', weights {result["weights"]}' if 'weights' in result else ''
        print(f'\n{tracker.name} {tracker.preset}{weights}\n{result_table(result)}', flush=True)
    if len(results) > 1:
        print(f'\n{summary_table(results)}')
    report = make_report(args.dataset, results)
    if args.json:
        write_json(args.json, report)
        print(f'wrote {args.json}')
    if args.plots:
        from tracker_core.evaluation.plots import write_plots

        print(f'wrote {", ".join(map(str, write_plots(report, args.plots)))}')
    bad = sorted(
        {
            Path(path)
            for result in results
            for entry in result['sequences']
            for path in entry['unreadable']
        }
    )
    if bad:
        print(f'{len(bad)} frames could not be read: {some_names(bad)}', file=sys.stderr)
    return 1 if bad else 0


def run_benchmark(args: argparse.Namespace) -> None:
    from tracker_core.errors import WeightsError
    from tracker_core.evaluation.benchmark import benchmark, benchmark_table
    from tracker_core.evaluation.machine import machine_line
    from tracker_core.evaluation.run import write_json

    try:
        tracker = _create(args, args.tracker, args.preset)
    except WeightsError:
        if args.weights is not None:
            raise
        args.weights = 'random'
        tracker = _create(args, args.tracker, args.preset)
    result = benchmark(tracker, args.frames, args.size)
    print(f'{machine_line(result["machine"])}\n\n{benchmark_table(result)}')
    if args.json:
        write_json(args.json, result)
        print(f'wrote {args.json}')


def run_calibrate(args: argparse.Namespace) -> None:
    import dataclasses

    from tracker_core.errors import ParameterError
    from tracker_core.evaluation.calibration import (
        calibrate,
        calibration_table,
        scenes_for_calibration,
    )
    from tracker_core.evaluation.run import write_json
    from tracker_core.media.folders import list_images, read_image

    if args.scenes < 3:
        raise ParameterError('--scenes must be at least 3: every third is held out')
    tracker = _create(args, args.tracker, args.preset, recover=False)
    photos = []
    if args.photos:
        photos = [read_image(path) for path in list_images(args.photos)]
        if not photos:
            raise ParameterError(f'{args.photos} holds no images')
    scenes = scenes_for_calibration(args.scenes, args.frames, photos)
    result = calibrate(tracker, scenes, args.scenes)
    print(f'{tracker.name} {tracker.preset}\n{calibration_table(result)}')
    if args.json:
        write_json(args.json, dataclasses.asdict(result))
        print(f'wrote {args.json}')


def run_export(args: argparse.Namespace) -> None:
    from tracker_core.runtime import export

    is_onnx = args.format == 'onnx'
    args.device, args.runtime = ('cpu', 'onnx') if is_onnx else ('cuda', 'tensorrt')
    args.precision = 'auto'
    tracker = _create(args, args.tracker, args.preset)
    size = args.size or (640, 480)
    program, inputs = export.example(tracker, size, args.target_size, args.targets)
    path = Path(args.out or f'{args.tracker}_{args.preset}.{"onnx" if is_onnx else "engine"}')
    if is_onnx:
        export.write_onnx(program, inputs, path, any_size=args.size is None)
    else:
        from tracker_core.runtime.tensorrt import write_engine

        write_engine(program, inputs, path)
    print(f'wrote {path}: {path.stat().st_size / 2**20:.1f} MiB')


def run_list(args: argparse.Namespace) -> None:
    from tracker_core.errors import ParameterError
    from tracker_core.parameters import describe
    from tracker_core.registry import list_trackers, tracker_declaration
    from tracker_core.tables import format_table

    if not args.tracker:
        if args.preset:
            raise ParameterError(f'of which tracker? tracker list NAME --preset {args.preset}')
        rows = []
        for name in list_trackers():
            tracker = tracker_declaration(name)
            about = f'{tracker.title}: {tracker.about}'
            rows.append([name, ', '.join(tracker.presets), about])
        print(format_table(['tracker', 'presets', 'about'], rows))
        return
    declaration = tracker_declaration(args.tracker)
    presets = {name: preset.config for name, preset in declaration.presets.items()}
    if args.preset:
        presets = {args.preset: declaration.preset(args.preset).config}
    rows = []
    for info in describe(next(iter(presets.values()))):
        bounds = (('>=', info.minimum), ('<=', info.maximum))
        limits = [f'{sign} {bound:g}' for sign, bound in bounds if bound is not None]
        values = ' | '.join(map(str, info.choices)) if info.choices else ', '.join(limits)
        defaults = [_shown(getattr(config, info.name)) for config in presets.values()]
        rows.append([info.name, info.type.__name__, *defaults, values, info.help])
    print(format_table(['parameter', 'type', *presets, 'values', 'effect'], rows))


def run_weights(args: argparse.Namespace) -> None:
    from tracker_core.declaration import weights_folder
    from tracker_core.registry import list_trackers, tracker_declaration
    from tracker_core.tables import format_table

    rows = []
    for name in list_trackers():
        for preset, declared in tracker_declaration(name).presets.items():
            for file in declared.weights:
                place = str(file.path or f'missing: {file.origin}')
                checksum = file.sha256[:16] or '-'
                rows.append([name, preset, file.file, file.licence, checksum, place])
    print(format_table(['tracker', 'preset', 'file', 'licence', 'SHA-256', 'where'], rows))
    print(f"\nThe authors' files are looked for in {weights_folder()} ($TRACKER_WEIGHTS).")


def run_convert(args: argparse.Namespace) -> None:
    from tracker_core.errors import WeightsError
    from tracker_core.factory import create_tracker
    from tracker_core.weights import read_weight_file, save_safetensors

    if Path(args.target).suffix != '.safetensors':
        raise WeightsError(f'{args.target} must end in .safetensors')
    create_tracker(args.tracker, args.preset, weights=args.source)  # refuses what does not fit
    state = read_weight_file(args.source)
    save_safetensors(state, args.target, {'source': Path(args.source).name})
    create_tracker(args.tracker, args.preset, weights=args.target)
    print(f'wrote {args.target}: {len(state)} tensors, fit for {args.tracker} {args.preset}')


def _add(commands: Any, name: str, run: Any, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + '.')
    parser.set_defaults(run=run)
    return parser


def _add_tracker_options(
    parser: argparse.ArgumentParser, several: bool = False, weights_note: str = ''
) -> None:
    parser.add_argument(
        '--tracker',
        required=True,
        type=_names if several else str,
        metavar='T[,T2]|all' if several else 'T',
        help='see `tracker list`',
    )
    parser.add_argument('--preset', default='compact', metavar='P', help=DEFAULT)
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1; ' + DEFAULT)
    parser.add_argument(
        '--precision',
        default='auto',
        metavar='P',
        help='auto, float32, bfloat16 or float16; ' + DEFAULT,
    )
    parser.add_argument('--runtime', default='auto', metavar='R', help=DEFAULT)
    parser.add_argument(
        '--weights',
        metavar='W',
        help=f"file or folder, or 'random'; default: bundled or installed ones{weights_note}",
    )
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help=SETTING,
    )


def _create(args: argparse.Namespace, name: str, preset: str, **fixed: Any) -> Any:
    """The tracker that the options ask for."""
    from tracker_core.errors import ParameterError, suggestion
    from tracker_core.factory import create_tracker
    from tracker_core.parameters import describe
    from tracker_core.registry import tracker_declaration

    infos = {info.name: info for info in describe(tracker_declaration(name).preset(preset).config)}
    parameters = {}
    for setting in args.set:
        key, separator, text = setting.partition('=')
        if not separator:
            raise ParameterError(f'--set takes NAME=VALUE, not {setting!r}')
        if key not in infos:
            raise ParameterError(
                f'{name} has no parameter {key!r}; it has {", ".join(infos)}'
                f'{suggestion(key, infos)}'
            )
        parameters[key] = infos[key].parse(text)
    options = {key: getattr(args, key) for key in ('device', 'precision', 'runtime', 'weights')}
    return create_tracker(name, preset, **options, **{**parameters, **fixed})


def _shown(value: Any) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value)


def _box(text: str) -> Any:
    from tracker_core.boxes import Box, startable
    from tracker_core.errors import BoxError

    try:
        return startable(Box(*(float(part) for part in text.split(','))))
    except BoxError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(f'{text!r} is not four numbers x,y,w,h') from None


def _names(text: str) -> list[str]:
    return [name for part in text.split(',') if (name := part.strip())]


def _peer_model(text: str) -> tuple[str, list[str]]:
    from tracker_core.evaluation.peers import MODELS

    name, _, files = text.partition('=')
    if name not in MODELS or not files:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not {" or ".join(f"{name}=FILES" for name in MODELS)}'
        )
    return name, _names(files)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number from 1')
    return int(text)


def _bit_depth(text: str) -> int:
    from tracker_core.media.gray import AUTO, BIT_DEPTHS

    depth = AUTO if text == 'auto' else int(text) if text.isdecimal() else -1
    if depth not in BIT_DEPTHS:
        raise argparse.ArgumentTypeError(f'{text!r} is neither auto nor 8 to 16')
    return depth


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition('x')
    return _count(width), _count(height)


if __name__ == '__main__':
    sys.exit(main())
