"""No model: the rows are langgraph's, see tables.py. Django sends post_migrate only to apps that have this module."""
