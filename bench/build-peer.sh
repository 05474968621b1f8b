#!/bin/sh
# Builds llama-server from the llama.cpp sources that node-llama-cpp carries: the same tag that our engine loads.
# Needs git, cmake and a C++ compiler; fetches nothing. Slow (tens of minutes on two cores); run it once:
#
#   sh bench/build-peer.sh [FOLDER]        default: bench/models/peer, which git ignores
#   npm run bench -- --only peer_1,peer_8 --peer FOLDER/build/bin/llama-server
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/models/peer}
jobs=${JOBS:-1}
mkdir -p "$folder"
[ -d "$folder/source" ] ||
  git clone --quiet "$here/../node_modules/node-llama-cpp/llama/gitRelease.bundle" "$folder/source"
# The ordinary build, for this machine's processor, but no web page, no HTTPS and no downloads.
cmake -S "$folder/source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
  -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF
nice -n 19 cmake --build "$folder/build" --target llama-server -j "$jobs"
echo "$folder/build/bin/llama-server"
