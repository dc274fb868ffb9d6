"""`headrace verify`: reads every log up to one cut and proves that each document was trained exactly once, or names
what is wrong.

verify.py is read first. cut.py fixes what is read. outcomes.py, windows.py (with spans.py and seals.py), planlog.py and
gradient.py check one promise each, as functions over iterators of records. findings.py keeps what is wrong.
"""
