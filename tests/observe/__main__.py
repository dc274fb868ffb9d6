"""`make observe`: a stack and a real Prometheus; text flows, faults happen, and every panel and alert must show it.

    python -m tests.observe [--pictures FOLDER] [--as-deployed] [--act text] [--act faults] [--act roots] [--act resize]

Prints what is missing and what `headrace verify` finds, then `panels N empty 0 unmoved 0`, `metrics N unused 0`,
`alerts N untested 0`; exits 1 when anything is. Alerts wait for two seconds; --as-deployed, as long as in
deploy/prometheus, and what follows from a root is then not waited for.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from headrace.audit.verify import verify_deployment
from headrace.contract.settings import load
from headrace.local import jars
from headrace.local.stack import Stack
from tests.observe.alertmanager import alertmanager
from tests.observe.pictures import draw
from tests.observe.prom import CONFIG, prometheus
from tests.observe.scene import SETTINGS, Scene, faults, flow, resize, roots
from tests.observe.verdict import gather, judge
from tests.small_stack import make_settings

DRAIN_S = 300.0
ACTS = {"text": flow, "faults": faults, "roots": roots, "resize": resize}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.observe", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="draw each dashboard there, from the same queries")
    parser.add_argument("--as-deployed", action="store_true", help="scrapes and alerts as in deploy/prometheus")
    parser.add_argument("--act", dest="acts", action="append", choices=ACTS, help="only this one; may be repeated")
    given = parser.parse_args()
    for _ in jars.fetch(jars.locked(), load(environment={}).settings.cache_dir):
        pass
    with tempfile.TemporaryDirectory(prefix="observe-") as name:
        folder = Path(name)
        with Stack(make_settings(folder / "data", *SETTINGS)) as stack:
            print("starting", flush=True)
            stack.wait_running(400)
            with (
                alertmanager(folder) as manager,
                prometheus(stack.settings, folder, manager.address, given.as_deployed) as asked,
            ):
                scene, start = Scene(stack, asked, manager, given.as_deployed), time.time()
                with scene.publishing():
                    for act in given.acts or ACTS:
                        ACTS[act](scene)
                shown = gather(asked, start, time.time())
                verdict = judge(asked, shown, scene.windows, (CONFIG / "alerts_test.yml").read_text())
            proof = verify_deployment(stack.settings, "main", DRAIN_S, lambda records: lambda more: None)
            proof.settled = True
    if given.pictures:
        draw(shown, scene.windows, given.pictures)
    for missing in (*verdict.empty, *verdict.unmoved, *verdict.unused, *verdict.untested, *proof.wrong()):
        print(f"MISSING {missing}")
    print(proof.headline, *verdict.lines(), sep="\n", flush=True)
    return int(any(verdict[1:]) or not proof.holds)


if __name__ == "__main__":
    sys.exit(main())
