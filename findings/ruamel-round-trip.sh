#!/bin/sh
# ruamel.yaml, the round trip of its default loader and dumper, on valid YAML
#
# version    ruamel.yaml 0.19.1
# expected   comments are kept, as its documentation says of the round trip; and what it has written it can read
# behaviour  A comment inside of a list or a mapping in brackets is dropped, without a word. A plain key longer than
#            `width` is broken over two lines, which YAML 1.2 forbids (7.4.2: an implicit key is on one line); its own
#            loader refuses the text.
# output     list     'a: [1, 2]\n'
#            mapping  'a: {x: 1, y: 2}\n'
#            key      'forward(x, mask, \n  keep): 1\n'
#            again    ScannerError
#
# Exits with 1 where that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ruamel.yaml==0.19.1
cat > "$folder/tried.py" <<'PYTHON'
from io import StringIO

from ruamel.yaml import YAML


def dumped(text, width=80):
    yaml, stream = YAML(), StringIO()
    yaml.width = width
    yaml.dump(yaml.load(text), stream)
    return stream.getvalue()


print("list    ", repr(dumped("a: [1,  # one\n    2]\n")))
print("mapping ", repr(dumped("a: {x: 1,  # one\n    y: 2}\n")))
key = dumped("forward(x, mask, keep): 1\n", width=20)
print("key     ", repr(key))
try:
    print("again   ", YAML().load(key))
except Exception as error:
    print("again   ", type(error).__name__)
PYTHON
"$folder/venv/bin/python" "$folder/tried.py" > "$folder/found"
cat "$folder/found"
sed -n 's/^# output     //p; s/^#            \(mapping\|key\|again\)/\1/p' "$0" > "$folder/expected"
diff "$folder/expected" "$folder/found" && echo "as stated"
