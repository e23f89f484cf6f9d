# Not tried: no Docker was at hand. docs/autostart.md says how it is used.
FROM ros:jazzy

RUN apt-get update && apt-get install --no-install-recommends -y \
        g++ python3-venv ros-jazzy-launch-ros ros-jazzy-vision-msgs ros-jazzy-diagnostic-msgs ros-jazzy-visualization-msgs \
        ros-jazzy-tf2-ros ros-jazzy-rmw-cyclonedds-cpp \
    && rm -rf /var/lib/apt/lists/*

# torch for the CPU; with --build-arg TORCH_INDEX=https://pypi.org/simple the one for CUDA
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /workspace
COPY requirements.txt /workspace/
RUN python3 -m venv --system-site-packages /venv \
    && /venv/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch \
    && /venv/bin/pip install --no-cache-dir -r requirements.txt 'aiohttp>=3.8'

COPY . /workspace/src/tracker_nodes
RUN . /opt/ros/jazzy/setup.sh && . /venv/bin/activate \
    && colcon build --packages-select tracker_nodes --cmake-args -DBUILD_TESTING=OFF && rm -rf build log

RUN useradd --create-home --groups video robot
USER robot
COPY --chmod=755 packaging/docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ocean.launch.py"]
