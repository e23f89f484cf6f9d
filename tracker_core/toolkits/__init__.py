# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Our trackers in the evaluation toolkits of others, which are optional.

as_got10k(create_tracker('ocean'))      in the toolkit got10k
serve_vot(create_tracker('ocean'))      in the VOT toolkit, over TraX
"""

from tracker_core.toolkits.got10k import as_got10k
from tracker_core.toolkits.vot import serve_vot

__all__ = ['as_got10k', 'serve_vot']
