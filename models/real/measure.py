"""What a token of the real pair costs and how far it is moved: one stream, by requests to a served config.

    shoulders serve --fusion-configs models/real/pair --speculation on
    python models/real/measure.py URL [ITEMS] [MODEL]

Asks validation items one after another, by the base alone (`"fusion": {"strategy": {"type": "base"}}`) and by the
config, in turn, three times; the first time is not counted. Prints one JSON object. Needs nothing but Python.
"""

import json
import pathlib
import sys
import time
import urllib.request

TASKS = pathlib.Path(__file__).resolve().parent / "work/tasks"
LENGTHS = {"cities": 16, "bookings": 56, "kinds": 12}


def ask(url, model, item, task, strategy):
    body = {
        "model": model,
        "messages": item["messages"],
        "temperature": 0,
        "max_tokens": LENGTHS[task],
        "stop": ["\n"],
        "fusion": {"strategy": strategy} if strategy else {},
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    start = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as reply:
        usage = json.load(reply)["usage"]
    return time.perf_counter() - start, usage


def drafts(url):
    """(tokens guessed, of them accepted) so far."""
    with urllib.request.urlopen(f"{url}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return [
        sum(float(line.split()[-1]) for line in lines if line.startswith(f"shoulders_spec_decode_num_{name}_tokens_total"))
        for name in ("draft", "accepted")
    ]


def measured(url, model, task, items):
    """Seconds and tokens of base and fusion, and what moved the fused answers."""
    found = {name: {"seconds": 0.0, "tokens": 0} for name in ("base", "fused")}
    moved = {"nats": 0.0, "tokens": 0, "certain": 0, "base_passes": 0}
    for turn in range(3):
        before = drafts(url)
        for item in items:
            for name, strategy in (("base", {"type": "base"}), ("fused", None)):
                seconds, usage = ask(url, model, item, task, strategy)
                if turn > 0:
                    found[name]["seconds"] += seconds
                    found[name]["tokens"] += usage["completion_tokens"]
                if turn == 2 and name == "fused":
                    moved = {key: value + usage["fusion"][key] for key, value in moved.items()}
        guessed, accepted = (now - then for now, then in zip(drafts(url), before))
    rates = {name: one["tokens"] / one["seconds"] for name, one in found.items()}
    return {
        "tokens_per_second": {name: round(rate, 2) for name, rate in rates.items()},
        "fused_to_base": round(rates["fused"] / rates["base"], 3),
        "nats_a_token": round(moved["nats"] / max(1, moved["tokens"]), 3),
        "certain": round(moved["certain"] / (moved["tokens"] + moved["certain"]), 3),
        "base_passes": moved["base_passes"],
        "guessed": guessed,
        "accepted": accepted,
    }


def main(url, count="10", model=None):
    found = {}
    for task in LENGTHS:
        lines = (TASKS / f"{task}-validation.jsonl").read_text().splitlines()[: int(count)]
        found[task] = measured(url, model or task, task, [json.loads(line) for line in lines])
        print(task, found[task], file=sys.stderr, flush=True)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
