# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Write docs/results.md, and the tables of the README and of docs/trackers, from the JSON files in
benchmarks/results.

tracker evaluate --tracker all --peers --dataset otb:DIR --json benchmarks/results/accuracy.json
tracker evaluate --tracker all --peers --dataset longterm:scenes --json .../longterm.json
tracker benchmark --tracker T --preset P --json benchmarks/results/speed_T_P.json
tracker calibrate --tracker T ... --json .../calibration_T.json (docs/weights.md says of what)
python benchmarks/node_latency.py --tracker T --json benchmarks/results/node_latency_T.json
python benchmarks/node_latency.py --tracker T --overhead --json .../node_overhead_T.json
python benchmarks/pose.py --tracker tadt --json benchmarks/results/pose.json
python benchmarks/pose.py --cost --json benchmarks/results/pose_cost.json
python benchmarks/pose.py --minutes 10 --json benchmarks/results/pose_memory.json
python benchmarks/page.py --browser --json benchmarks/results/page.json
python benchmarks/results.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tracker_core import list_trackers, tracker_declaration  # noqa: E402
from tracker_core.evaluation.machine import machine_line  # noqa: E402
from tracker_core.evaluation.plots import write_reliability  # noqa: E402

RESULTS = ROOT / 'benchmarks' / 'results'
BEGIN, END = '<!-- written by benchmarks/results.py -->', '<!-- end -->'


def reports(pattern: str) -> list[dict[str, Any]]:
    """The results whose files have such names."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(pattern))]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ['---', *['---:'] * (len(header) - 1)], *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def number(measures: dict[str, Any], key: str) -> str:
    """A measure, or nothing where it was not taken."""
    return f'{measures[key]:.1f}' if measures.get(key) is not None else ''


def accuracy_page(report: dict[str, Any]) -> str:
    """Success AUC of every tracker on every sequence, and frames per second."""
    trackers = report['trackers']
    header = ['sequence', *(f'{t["name"]} {t["preset"]}'.strip() for t in trackers)]
    rows = [
        [row[0]['name'], *(f'{each["auc"]:.3f}' for each in row)]
        for row in zip(*(t['sequences'] for t in trackers), strict=True)
    ]
    for label, key in (('AUC', 'auc'), ('P@20px', 'precision'), ('SR@0.5', 'success')):
        rows.append([f'**mean {label}**', *(f'**{t["mean"][key]:.3f}**' for t in trackers)])
    rows.append(['frames/s', *(f'{t["mean"]["fps"]:.1f}' for t in trackers)])
    rows.append(['processor ms a frame', *(number(t['mean'], 'cpu_ms') for t in trackers)])
    return table(header, rows)


def speed_page(reports: list[dict[str, Any]]) -> str:
    """Milliseconds of the three calls, by tracker and preset."""
    rows = []
    for report in reports:
        cells = [f'{report["name"]} {report["preset"]}', report['device'], report['precision']]
        for call in ('start', 'track', 'learn'):
            times = report[f'{call}_ms']
            cells.append(f'{times["median"]:.1f}')
            cells.append(f'{times["p99"]:.1f}')
        rows.append([*cells, f'{report["fps"]:.1f}', number(report, 'cpu_ms')])
    header = ['tracker', 'device', 'precision', 'start', 'p99', 'track', 'p99', 'learn', 'p99']
    return table([*header, 'frames/s', 'processor ms'], rows)


def long_page(report: dict[str, Any]) -> str:
    """One line per tracker: what becomes of a target that is out of sight at times."""
    rows = [
        [
            f'{each["name"]} {each["preset"]}',
            *(f'{each[key]:.3f}' for key in ('f_score', 'precision', 'recall')),
            *(f'{100 * each[key]:.0f} %' for key in ('found_1s', 'found_3s')),
            f'{each["astray_per_minute"]:.1f}',
            f'{100 * each["fooled"]:.0f} %' if 'fooled' in each else '-',
        ]
        for each in sorted(report['trackers'], key=lambda each: -each['f_score'])
    ]
    scenes = [each['name'] for each in report['trackers'][0]['sequences']]
    note = (
        f'{report["dataset"]}: {", ".join(scenes)}. F-score, precision and recall at the best '
        'threshold of the score; share of the returns after which the target was TRACKING, and '
        'rightly, within one and three seconds; how often per minute of absence a lost target was '
        'taken up where it is not; share of the frames of absence in which something else was '
        'TRACKING.'
    )
    header = ['tracker', 'F', 'precision', 'recall', 'back in 1 s', 'in 3 s', 'astray per minute']
    header.append('fooled')
    return f'{note}\n\n{table(header, rows)}'


def calibration_page(fits: list[dict[str, Any]]) -> str:
    """What the scores keep of what they promise, as a picture and in figures."""
    rows = [
        [
            f'{each["name"]} {each["preset"]}',
            str(each['held_out']),
            *(f'{each["present"][key]:.3f}' for key in ('error', 'brier')),
            f'{each["brier_base"]:.3f}',
            f'{each["fitted"]["error"]:.3f}',
        ]
        for each in fits
    ]
    note = (
        'Frames of held-out scenes and sequences: by how much the share of right boxes differs '
        'from the score, tenth by tenth (expected calibration error), and the Brier score beside '
        'that of a constant score; what the error would be with a fit to the other scenes. The '
        'larger a dot, the more frames.'
    )
    header = ['tracker', 'frames', 'calibration error', 'Brier score', 'of a constant']
    header.append('error if fitted anew')
    picture = '![Share of right boxes over the score](images/reliability.png)'
    return f'{note}\n\n{table(header, rows)}\n\n{picture}'


def node_page(latency: dict[str, Any], overhead: dict[str, Any]) -> str:
    """What the node makes of the tracker: latency over minutes, and its own time per frame."""
    frames, memory = latency['frames'], latency['memory_mb']
    share = 1 - frames['answered'] / frames['sent']
    rows = [
        [what, *(f'{report[f"{key}_ms"][column]:.1f}' for column in ('median', 'p99'))]
        for what, key, report in (
            ('stamp to publication', 'latency', latency),
            ('... in the first minute', 'latency_first_minute', latency),
            ('... in the last minute', 'latency_last_minute', latency),
            ("the node's own time per frame", 'overhead', overhead),
        )
    ]
    width, height = latency['size']
    note = (
        f'{latency["tracker"]} {latency["preset"]}, {width} x {height}, {latency["rate"]:.0f} Hz, '
        f'{latency["minutes"]:.0f} minutes: {frames["answered"]} of {frames["sent"]} frames '
        f'answered ({100 * share:.2f} % dropped), memory {memory[0]:.0f} MiB at the start and '
        f'{memory[-1]:.0f} MiB at the end; {latency["middleware"]}. {away_sentence(latency)}'
        f"The node's own time is that at {overhead['size'][0]} x {overhead['size'][1]}."
    )
    return f'{note}\n\n{table(["milliseconds", "median", "p99"], rows)}'


def away_sentence(latency: dict[str, Any]) -> str:
    """What became of the target while it was out of sight; empty where it never was."""
    away = latency.get('away')
    if not away:
        return ''
    return (
        f'For {away["seconds"]:.0f} seconds the target was away: LOST in '
        f'{100 * away["lost"]:.0f} % of the frames, TRACKING in {100 * away["tracking"]:.0f} %, '
        f'at {away["rate"]:.1f} frames/s and {away["latency_ms"]["median"]:.1f} ms; TRACKING '
        f'again {away["tracking_again_after_s"]:.1f} s after its return. '
    )


def pose_cells(entry: dict[str, Any], digits: int) -> list[str]:
    values = ('' if value is None else f'{value:.{digits}f}' for value in entry['values'])
    return [f'{entry["source"]}, {entry["boxes"]} boxes', entry['depth'], *values]


def pose_page(report: dict[str, Any]) -> str:
    """Errors of range and bearing by what tells the range, and through an occlusion."""
    width, height = report['size']
    note = (
        f'{report["scenes"]} rendered scenes of {report["frames"]} frames, {width} x {height}; '
        'the object comes and goes between about 2.7 and 6 m. Boxes are exact, with noise of 5 % '
        "of their sides, or a tracker's. Depth has noise that grows with its square (6 cm at 4 m),"
        ' holes over a third of it, boxes half as large again (background), or all of it.'
    )
    header = [
        'range by',
        'depth',
        'range, cm',
        'p95',
        'range, %',
        'p95',
        'bearing, degrees',
        'p95',
    ]
    errors = table(header, [pose_cells(entry, 2) for entry in report['errors']])
    header = ['range by', 'depth', 'predicted, cm', 'p95', 'held, cm', 'p95']
    through = table(header, [pose_cells(entry, 0) for entry in report['occlusions']])
    count = max((entry['count'] for entry in report['occlusions']), default=0)
    after = (
        f'{count} times the target is hidden, while it speeds up, slows down and turns. Error of '
        'its place after a second of that, by prediction, and of the place where it was last (a '
        'tracker calls it LOST before, so that there is none):'
    )
    return '\n\n'.join([machine_line(report['machine']), note, errors, after, through])


def pose_cost_page(report: dict[str, Any]) -> str:
    """Milliseconds of a frame in target_pose."""
    rows = [
        [
            f'{row["size"][0]} x {row["size"][1]} {row["encoding"]}',
            str(row['targets']),
            f'{row["median"]:.2f}',
            f'{row["p99"]:.2f}',
        ]
        for row in report['milliseconds']
    ]
    return table(['depth', 'targets', 'milliseconds a frame', 'p99'], rows)


def pose_memory_page(report: dict[str, Any]) -> str:
    """One sentence."""
    used, minutes = report['memory_mb'], report['minutes']
    return (
        f'target_pose with depth of 1280 x 720 at 30 Hz: {used[3]:.0f} MiB after half a minute, '
        f'{used[-1]:.0f} MiB after {minutes:.0f} minutes.'
    )


def page_page(report: dict[str, Any]) -> str:
    """What the operator's page costs, by viewers."""
    width, height = report['size']
    rows = [
        [
            str(row['viewers']),
            f'{100 * row["processors"]:.0f} %',
            f'{row["rate"]:.1f}' if row['viewers'] else '',
            *(f'{row["age_ms"][key]:.0f}' if row['age_ms'] else '' for key in ('median', 'p99')),
            f'{row["megabits"]:.1f}' if row['viewers'] else '',
        ]
        for row in report['viewers']
    ]
    note = (
        f'{machine_line(report["machine"])}\n\nImages of {width} x {height} at '
        f'{report["rate"]:.0f} Hz with one target; viewers that show {report["width"]} pixels. A '
        "processor's share is that of the node operator alone; the age of a picture goes from the "
        "image's stamp to its arrival in another process of this machine."
    )
    header = ['viewers', 'of a processor', 'pictures/s', 'age, ms', 'p99', 'Mbit/s each']
    parts = [note, table(header, rows)]
    if report['browser']:
        ages = report['browser']['age_ms']
        parts.append(
            f'On the screen of Chromium, without a GPU, on the same machine: '
            f'{report["browser"]["rate"]:.1f} pictures/s, {ages["median"]:.0f} ms after their '
            f'stamps (p99 {ages["p99"]:.0f}).'
        )
    return '\n\n'.join(parts)


def readme_table(accuracy: dict[str, Any], long_term: dict[str, Any]) -> str:
    """One line per tracker, and OpenCV's best one, of one run."""
    back = {(each['name'], each['preset']): each['found_3s'] for each in long_term['trackers']}
    rows = []
    for each in accuracy['trackers']:
        name, mean = each['name'], each['mean']
        if name in list_trackers():
            declaration = tracker_declaration(name)
            about = f'{declaration.title}: {declaration.about}'
            presets = ', '.join(p for p in declaration.presets if not p.startswith('paper_'))
            label = f'`{name}`'
        elif name == 'csrt':
            label, about, presets = "OpenCV's CSRT", 'correlation filters, for comparison', ''
        else:
            continue
        found = back.get((name, each['preset']))
        rows.append(
            [
                label,
                about,
                presets,
                f'{mean["auc"]:.3f}',
                '' if found is None else f'{100 * found:.0f} %',
                f'{mean["fps"]:.0f}',
                number(mean, 'cpu_ms'),
            ]
        )
    header = ['tracker', '', 'presets', 'AUC', 'back in 3 s', 'frames/s', 'processor ms']
    text = table(header, rows).replace('| --- | ---: | ---: |', '| --- | --- | --- |', 1)
    count = len(accuracy['trackers'][0]['sequences'])
    machine = machine_line(accuracy['machine']).replace('\n', '; ')
    note = (
        f'Preset compact. AUC: mean success over {count} real sequences, one pass. Back in 3 s: '
        'of the returns of a lost target in rendered scenes of minutes. Frames a second and '
        f'milliseconds of processor time a frame, updates included, in the same run: {machine}.'
    )
    return f'{text}\n\n{note}'


def tracker_table(name: str, accuracy: dict[str, Any], long: dict[str, Any]) -> str:
    """What a tracker's preset compact was measured at, beside the best and the worst of all."""
    found = {t['name']: t for t in accuracy['trackers'] if t['name'] in list_trackers()}
    away = {t['name']: t for t in long['trackers'] if t['name'] in list_trackers()}
    rows = [
        (label, lambda t, key=key: t['mean'][key], found, '.3f', 1)
        for label, key in (('AUC', 'auc'), ('P@20px', 'precision'), ('SR@0.5', 'success'))
    ]
    rows.append(('frames/s', lambda t: t['mean']['fps'], found, '.0f', 1))
    rows.append(('processor ms a frame', lambda t: t['mean']['cpu_ms'], found, '.1f', -1))
    rows.append(('F-score, out of sight at times', lambda t: t['f_score'], away, '.3f', 1))
    rows.append(('back in 1 s, share', lambda t: t['found_1s'], away, '.2f', 1))
    rows.append(
        ('astray per minute of absence', lambda t: t['astray_per_minute'], away, '.1f', -1)
    )
    cells = []
    for label, value, of, form, sign in rows:
        values = sorted((sign * value(each) for each in of.values()), reverse=True)
        own = value(of[name])
        cells.append(
            [
                label,
                format(own, form),
                f'{1 + values.index(sign * own)} of {len(values)}',
                format(sign * values[0], form),
                format(sign * values[-1], form),
            ]
        )
    sequences = sorted(found[name]['sequences'], key=lambda each: each['auc'])
    worst = ', '.join(f'{each["name"]} ({each["auc"]:.3f})' for each in sequences[:3])
    best = ', '.join(f'{each["name"]} ({each["auc"]:.3f})' for each in sequences[:-4:-1])
    return (
        f'{table(["compact", "here", "rank", "best", "worst"], cells)}\n\n'
        f'Weakest on {worst}; strongest on {best}.\n\n'
        'Of [results.md](../results.md), which says on what machine.'
    )


def renewed(page: Path, text: str) -> str:
    """A page with the part that is written here."""
    before, rest = page.read_text().split(BEGIN)
    return f'{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}'


def pages() -> dict[Path, str]:
    """All that is written here, as it has to be."""
    accuracy = json.loads((RESULTS / 'accuracy.json').read_text())
    speeds = reports('speed_*.json')
    parts = [
        '# Results',
        'Written by `benchmarks/results.py` from the files in `benchmarks/results`; '
        '[benchmarks/README.md](../benchmarks/README.md) says how they are measured.',
        '## Accuracy: success AUC, one-pass evaluation',
        machine_line(accuracy['machine']).replace('\n', '  \n'),
        accuracy_page(accuracy),
    ]
    long_term = RESULTS / 'longterm.json'
    if long_term.is_file():
        report = json.loads(long_term.read_text())
        parts += ['## Out of sight and back', long_page(report)]
    fits = reports('calibration_*.json')
    if fits:
        parts += ['## Does a score mean a probability?', calibration_page(fits)]
    if speeds:
        parts += [
            '## Speed: milliseconds, median and 99th percentile',
            machine_line(speeds[0]['machine']).replace('\n', '  \n'),
            speed_page(speeds),
        ]
    latency, overhead = reports('node_latency_*.json'), reports('node_overhead_*.json')
    if latency and overhead:
        parts += ['## The node', node_page(latency[0], overhead[0])]
    pose = [
        (RESULTS / f'{name}.json', page)
        for name, page in (
            ('pose', pose_page),
            ('pose_cost', pose_cost_page),
            ('pose_memory', pose_memory_page),
        )
    ]
    places = [page(json.loads(path.read_text())) for path, page in pose if path.is_file()]
    parts += ['## Where the target is', *places] if places else []
    page = RESULTS / 'page.json'
    if page.is_file():
        parts += ["## The operator's page", page_page(json.loads(page.read_text()))]
    long = json.loads(long_term.read_text())
    texts = {
        ROOT / 'docs' / 'results.md': '\n\n'.join(parts) + '\n',
        ROOT / 'README.md': renewed(ROOT / 'README.md', readme_table(accuracy, long)),
    }
    for name in list_trackers():
        page = ROOT / 'docs' / 'trackers' / f'{name}.md'
        texts[page] = renewed(page, tracker_table(name, accuracy, long))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description='Write the tables of the results.')
    parser.add_argument('--check', action='store_true', help='only tell whether they are so')
    is_check = parser.parse_args().check
    for page, text in pages().items():
        if not is_check:
            page.write_text(text)
        elif page.read_text() != text:
            sys.exit(f'{page} is out of date; write it again: python benchmarks/results.py')
    fits = reports('calibration_*.json')
    if fits and not is_check:
        write_reliability(
            {f'{each["name"]} {each["preset"]}': each['present']['reliability'] for each in fits},
            ROOT / 'docs' / 'images' / 'reliability.png',
        )


if __name__ == '__main__':
    main()
