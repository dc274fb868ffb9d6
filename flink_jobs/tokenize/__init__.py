"""The tokenize job: text.clean to tokens.blocks and tokens.windows."""
