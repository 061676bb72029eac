"""The journal in a SQL database, through SQLAlchemy."""
