"""What Presidio's pattern recognisers find in texts, without a language model.

JSON strings come in, one a line; out goes a line of [kind, start, end] for each. Runs in the environment of
`benchmarks.peers`, and imports nothing of ours.
"""

from __future__ import annotations

import json
import sys

from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

RECOGNISERS = {
    "EMAIL": EmailRecognizer(),
    "CARD": CreditCardRecognizer(),
    "IBAN": IbanRecognizer(),
    "IP": IpRecognizer(),
    "PHONE": PhoneRecognizer(),
    "SSN": UsSsnRecognizer(),
}

if __name__ == "__main__":
    for line in sys.stdin:
        text = json.loads(line)
        hits = [
            [kind, hit.start, hit.end]
            for kind, recogniser in RECOGNISERS.items()
            for hit in recogniser.analyze(text, recogniser.supported_entities, None) or ()
        ]
        print(json.dumps(sorted(hits)))
