#!/bin/bash
# Starts a launch file of tracker_nodes in the container, or another program if its name is given.
set -e
source /opt/ros/"$ROS_DISTRO"/setup.bash
source /workspace/install/setup.bash
source /venv/bin/activate
case "$1" in
    *.launch.py) exec ros2 launch tracker_nodes "$@" ;;
    *) exec "$@" ;;
esac
