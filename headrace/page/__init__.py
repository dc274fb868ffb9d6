"""One run as one page of HTML: read from the topics and manifests, drawn as inline SVG, with nothing to load."""
