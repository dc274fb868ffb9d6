"""What identifies a person or opens a door is replaced by what it was: <EMAIL>, <PHONE>, <IP>, <CARD>, <IBAN>, <SSN>,
<SECRET>. What was replaced is counted by kind, and never kept, logged or named in a reject.

scan.py      one pass of RE2 over the text finds what may be one
numbers.py   what a run of digits is: most are none of these
"""
