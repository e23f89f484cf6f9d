# Not tried: no Docker was at hand. docs/autostart.md says how it is used.
FROM ros:jazzy

RUN apt-get update && apt-get install --no-install-recommends -y \
        g++ python3-venv ros-jazzy-launch-ros ros-jazzy-vision-msgs ros-jazzy-diagnostic-msgs ros-jazzy-visualization-msgs \
        ros-jazzy-tf2-ros ros-jazzy-rmw-cyclonedds-cpp \
    && rm -rf /var/lib/apt/lists/*

# The torch that pip takes has CUDA with it; --build-arg TORCH_OPTIONS="..." gives pip options, such as the index of the
# much smaller one for the CPU, which PyTorch's page of installation names
ARG TORCH_OPTIONS=
WORKDIR /workspace
COPY requirements.txt /workspace/
RUN python3 -m venv --system-site-packages /venv \
    && /venv/bin/pip install --no-cache-dir $TORCH_OPTIONS torch \
    && /venv/bin/pip install --no-cache-dir -r requirements.txt 'aiohttp>=3.8'

COPY . /workspace/src/tracker_nodes
RUN . /opt/ros/jazzy/setup.sh && . /venv/bin/activate \
    && colcon build --packages-select tracker_nodes --cmake-args -DBUILD_TESTING=OFF && rm -rf build log

RUN useradd --create-home --groups video robot
USER robot
COPY --chmod=755 packaging/docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ocean.launch.py"]
