"""How fast the server is, and what a run costs: `python -m bench`, `python -m bench rows`."""
