"""Django's PostgreSQL backend, told when PostgreSQL is away."""
