"""Documents out of files, directories and standard input. Nothing is sent here.

names.py      which files a path, a directory or a pattern means
content.py    the bytes of a file, gzip and zstd taken off
cursor.py     lines, and how far they have been read
cut.py        formats and columns: what a document is
rows.py       the documents of each format
files.py      one file that can be left and gone on with: its bookmark
memory.py     which bookmark is this file's
topic.py      another topic
"""
