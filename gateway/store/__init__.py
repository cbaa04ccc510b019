"""All SQL, and only SQL: SQLAlchemy Core on SQLite or PostgreSQL, no ORM, no rules."""
