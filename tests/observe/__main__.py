"""`make observe`: a stack and a real Prometheus; text flows, faults happen, and every panel and alert must show it.

    python -m tests.observe [--pictures FOLDER] [--as-deployed] [--act text] [--act faults] [--act roots] [--act resize]

Prints what is missing, and `panels N empty 0 unmoved 0`, `metrics N unused 0`, `alerts N untested 0`; exits 1 when
anything is missing. --as-deployed lets alerts wait as long as in deploy/prometheus, else two seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from headrace.contract.settings import load
from headrace.local import jars
from headrace.local.stack import Stack
from tests.observe.pictures import draw
from tests.observe.prom import CONFIG, prometheus
from tests.observe.scene import SETTINGS, Scene, long, resize, roots, short
from tests.observe.verdict import gather, judge
from tests.small_stack import make_settings

ACTS = {"text": short, "faults": long, "roots": roots, "resize": resize}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.observe", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="draw each dashboard there, from the same queries")
    parser.add_argument("--as-deployed", action="store_true", help="alerts wait as long as in deploy/prometheus")
    parser.add_argument("--act", dest="acts", action="append", choices=ACTS, help="only this one; may be repeated")
    given = parser.parse_args()
    for _ in jars.fetch(jars.locked(), load(environment={}).settings.cache_dir):
        pass
    with tempfile.TemporaryDirectory(prefix="observe-") as name:
        folder = Path(name)
        with Stack(make_settings(folder / "data", *SETTINGS)) as stack:
            print("starting", flush=True)
            stack.wait_running(400)
            with prometheus(stack.settings, folder, None if given.as_deployed else 2) as asked:
                scene, start = Scene(stack, asked), time.time()
                with scene.publishing():
                    for act in given.acts or ACTS:
                        ACTS[act](scene)
                shown = gather(asked, start, time.time())
                verdict = judge(asked, shown, scene.windows, (CONFIG / "alerts_test.yml").read_text())
    if given.pictures:
        draw(shown, scene.windows, given.pictures)
    for missing in (*verdict.empty, *verdict.unmoved, *verdict.unused, *verdict.untested):
        print(f"MISSING {missing}")
    print("\n".join(verdict.lines()), flush=True)
    return int(any(verdict[1:]))


if __name__ == "__main__":
    sys.exit(main())
