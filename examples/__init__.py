"""Example graphs: each file is one lesson, runs without an API key, and is served by the root langgraph.json."""
