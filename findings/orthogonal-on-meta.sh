#!/bin/sh
# torch.nn.utils.parametrizations.orthogonal, registered on a weight that lies on the meta device
#
# version    torch 2.13.0
# expected   as on the CPU: the parameter `original` and the buffer `0.base`; or an error
# behaviour  for a weight that is not square, no error and no `0.base`: `geqrf` has no kernel for the meta device, and
#            ParametrizationList takes the NotImplementedError for that of a parametrization without `right_inverse`.
#            The state dict of the same model on the CPU then has an unexpected key, and the model that is moved to a
#            device with `to_empty` cannot compute its weight. A square weight fails when it is registered.
# output     cpu   ['bias', 'parametrizations.weight.0.base', 'parametrizations.weight.original']
#            meta  ['bias', 'parametrizations.weight.original']
#            load  Unexpected key(s) in state_dict: "parametrizations.weight.0.base".
#            use   TypeError
#
# Exits with 1 where that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
cat > "$folder/tried.py" <<'PYTHON'
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

print("cpu  ", sorted(orthogonal(nn.Linear(5, 3)).state_dict()))
meta = orthogonal(nn.Linear(5, 3, device="meta"))
print("meta ", sorted(meta.state_dict()))
model = meta.to_empty(device="cpu")
try:
    model.load_state_dict(orthogonal(nn.Linear(5, 3)).state_dict())
    print("load  fine")
except RuntimeError as error:
    print("load ", str(error).splitlines()[-1].strip())
try:
    model.weight
    print("use   fine")
except Exception as error:
    print("use  ", type(error).__name__)
PYTHON
"$folder/venv/bin/python" "$folder/tried.py" | tee "$folder/seen"
sed -n 's/^#  *\(output  *\)\{0,1\}\(\(cpu\|meta\|load\|use\)  .*\)$/\2/p' "$0" | tr -s ' ' > "$folder/stated"
tr -s ' ' < "$folder/seen" | diff "$folder/stated" - && echo "as stated"
