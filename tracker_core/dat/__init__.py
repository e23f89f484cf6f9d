# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
