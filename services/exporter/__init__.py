"""What only the topics know, as metrics: what became of the documents, how old the text is, who lags behind."""
