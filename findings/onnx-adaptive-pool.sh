#!/bin/sh
# torch.onnx.export of AdaptiveAvgPool2d(2) whose input has an open height and width
#
# version    torch 2.13.0, onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.32.0
# expected   the means of the model at every size, or an error where a size is no multiple of 2
# behaviour  no error and other values: the cells are an average pool with the stride of a multiple
# output     16  0.0
#            17  wrong
#
# Exits with 1 where that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy onnx==1.23.2 \
    onnxscript==0.7.2 onnxruntime==1.32.0
cat > "$folder/tried.py" <<'PYTHON'
import logging
import sys

import onnxruntime
import torch
from torch import nn
from torch.export import Dim

logging.disable(logging.WARNING)
model = nn.AdaptiveAvgPool2d(2).eval()
shapes = ({2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
program = torch.export.export(model, (torch.randn(1, 3, 16, 16),), dynamic_shapes=shapes)
torch.onnx.export(program, dynamo=True, verbose=False).save(f"{sys.argv[1]}/pool.onnx")
session = onnxruntime.InferenceSession(f"{sys.argv[1]}/pool.onnx")
for size in (16, 17):
    x = torch.arange(3.0 * size * size).reshape(1, 3, size, size)
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    found, meant = torch.from_numpy(found), model(x)
    same = found.shape == meant.shape and torch.allclose(found, meant)
    print(f"{size} ", "0.0" if same else "wrong")
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/tried.py" "$folder" 2>/dev/null | tee "$folder/seen"
sed -n 's/^#  *\(output  *\)\{0,1\}\(\(16\|17\)  .*\)$/\2/p' "$0" | tr -s ' ' > "$folder/stated"
tr -s ' ' < "$folder/seen" | diff "$folder/stated" - && echo "as stated"
