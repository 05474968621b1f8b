#!/bin/sh
# Installs the evaluation harness that test/harness runs against the server, in .venv, where the Python index is reached.
set -e
cd "$(dirname "$0")/../.."
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check "lm-eval[api]==0.4.13"
