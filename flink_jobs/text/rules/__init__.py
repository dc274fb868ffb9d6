"""Quality rules on normalised text. Each raises Rejected with the first limit that a text breaks, or edits its lines.

Thresholds and their order are those of datatrove's filters, and so are the verdicts, with words as `str.split` gives
them: its own tokenizer takes 4 ms for 2 KB and counts commas as words. Short-cuts change no verdict; each says why.

gopher_quality.py     is it prose? (Rae et al. 2021, appendix A.1.1)
gopher_repetition.py  does it say the same again and again? (the same)
c4.py                 are its lines sentences? (Raffel et al. 2020)
fineweb.py            is it a page of text, not a list? (Penedo et al. 2024)
refinedweb.py         which lines belong to the page, not to the text? (Penedo et al. 2023)
"""
