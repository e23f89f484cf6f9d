# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Training: of the weights that come with the package, from photographs, and of the published
architectures, from the field's data sets.

What is trained: `backbone`, then the heads on it (`ocean`, `spm`, `atom`), then `together` all of
them. Each of these files has its losses, its check and a declaration of itself (`parts` says what
belongs to one); `heads` and `stages` list them, and `together`, `everything` and the command
`tracker train` go through these lists. A tracker's heads are added as one file and one entry in
`heads`. `published` has the architectures of the papers, with the same losses and checks
(`architecture` says what belongs to one; `imagenet` has what their backbones begin with).

How: `config` and `batches` go into the `loop` with an optimiser of `optimizers`, which writes a
`record` of itself; `compute` says where, and `processes` on how many GPUs. Chance in losses is
that of pairs (`draws`), so that a run does not depend on how its batches are shared out.
"""
